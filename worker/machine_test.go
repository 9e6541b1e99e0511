package worker_test

import (
	"fmt"
	"testing"

	"recount"
	"recount/worker"
)

var payments = []recount.Field{
	{Name: "account", Type: recount.Type{Kind: recount.KindString}},
	{Name: "kind", Type: recount.Type{Kind: recount.KindString}},
	{Name: "amount", Type: recount.Decimal(18, 2)},
	{Name: "coupon", Type: recount.Type{Kind: recount.KindString}},
}

// texts makes a column of texts.
func texts(values ...string) worker.Column {
	c := worker.Column{Offsets: []int32{0}}
	for _, v := range values {
		c.Text += v
		c.Offsets = append(c.Offsets, int32(len(c.Text)))
	}
	return c
}

func TestAFoldStepsThroughABatch(t *testing.T) {
	p, err := balances.Bind(payments, []string{"account"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.Reads()); got != "[kind amount coupon time]" {
		t.Errorf("reads: got %s", got)
	}
	if got := fmt.Sprint(p.Columns()); got != "[{account string  true false} {balance decimal(18,2)  false false} {payments int64  false false} {since timestamp  false false}]" {
		t.Errorf("columns: got %s", got)
	}
	m, err := p.Machine(1, []string{"account", "balance", "payments", "since"})
	if err != nil {
		t.Fatal(err)
	}
	m.Record(true)
	coupon := texts("", "X", "")
	coupon.Valid = []byte{0b010}
	micros := []int64{1_000_000, 2_000_000, 3_000_000}
	steps := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	steps(m.Load([]worker.Column{
		texts("paid", "paid", "refunded"),
		{Decimals: []worker.Decimal{worker.MustDecimal("10.00"), worker.MustDecimal("2.50"), worker.MustDecimal("0.75")}},
		coupon,
		{Ints: micros},
	}, []int64{7, 8, 9}, micros))
	steps(m.Begin([]recount.Value{recount.Text("ann")}, 0, nil))
	_, err = m.Step(0, 2)
	steps(err)
	state, err := m.State()
	steps(err)
	steps(m.Begin([]recount.Value{recount.Text("ann")}, 0, state))
	_, err = m.Step(2, 3)
	steps(err)
	rows, err := m.Rows(nil)
	steps(err)
	if got := fmt.Sprint(rows); got != "[[ann 11.75 3 1970-01-01T00:00:01Z]]" {
		t.Errorf("rows: got %s", got)
	}
	effects := m.Effects()
	if len(effects) != 1 || string(effects[0].Payload) != `{"refunded":"0.75"}` || effects[0].Seq != 9 {
		t.Errorf("effects: got %+v", effects)
	}
}

func BenchmarkStep(b *testing.B) {
	p, err := balances.Bind(payments, []string{"account"})
	if err != nil {
		b.Fatal(err)
	}
	const n = 1 << 14
	var kinds, coupons []string
	var amounts []worker.Decimal
	var micros, seq []int64
	for i := range n {
		kinds, coupons = append(kinds, "paid"), append(coupons, "SUMMER")
		amounts = append(amounts, worker.NewDecimal(int64(i), 2))
		micros, seq = append(micros, int64(i)*1e6), append(seq, int64(i))
	}
	columns := []worker.Column{texts(kinds...), {Decimals: amounts}, texts(coupons...), {Ints: micros}}
	m, err := p.Machine(1, nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Load(columns, seq, micros); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Begin(nil, 0, nil); err != nil {
			b.Fatal(err)
		}
		if _, err := m.Step(0, n); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
}
