package targettest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/target"
)

func reading(t *testing.T, h Harness) {
	t.Run("a scan returns what was stored", func(t *testing.T) { stored(t, h) })
	t.Run("typed values keep all their digits", func(t *testing.T) { digits(t, h) })
	t.Run("keys name the rows to read", func(t *testing.T) { byKeys(t, h) })
	t.Run("a condition bounds the rows", func(t *testing.T) { where(t, h) })
	t.Run("an unknown column is refused with the nearest", func(t *testing.T) { unknownColumn(t, h) })
	t.Run("an error of the receiver ends the scan", func(t *testing.T) { receiver(t, h) })
	t.Run("odd identifiers and composite keys", func(t *testing.T) { odd(t, h) })
	t.Run("rows belong to their receiver", func(t *testing.T) { ownership(t, h) })
	t.Run("ten thousand rows", func(t *testing.T) { many(t, h) })
}

func stored(t *testing.T, h Harness) {
	rows := []recount.Row{
		row("a", "1912.40", "plain"),
		row("b", "", "a \"quote\", a 'quote', a comma; a semicolon"),
		row("c", "  spaces  ", "two\nlines\r\nand a return\rhere"),
		row("d", "0.30000000000000004", "Grüße, 東京, 🙂 e\u0301"),
		row("e", "NULL", "\\N \\x00 $1 ? :x $from --"),
		row("O'Brien\"; DROP TABLE totals; --", "\t", strings.Repeat("long ", 2000)),
	}
	if h.Types {
		rows = append(rows, recount.Row{Key: values("f"), Values: []recount.Value{recount.Null, recount.Text("")}})
	}
	table := totals(rows...)
	live := h.New(t, table)
	wantRows(t, live.Target, table, rows)
	if live.Reopen != nil {
		wantRows(t, live.Reopen(t), table, rows)
	}
}

// typed are values at the edges of their types.
func typed() Table {
	table := Table{
		Name: "typed", Key: []recount.Column{column("n", recount.KindInt64)}, Unique: true,
		Columns: []recount.Column{
			{Name: "amount", Type: recount.Decimal(38, 2)},
			column("ratio", recount.KindDouble), column("big", recount.KindInt64),
			column("ok", recount.KindBool), column("day", recount.KindDate), column("at", recount.KindTimestamp),
		},
	}
	for i, texts := range [][]string{
		{"0.00", "0", "0", "false", "1970-01-01", "1970-01-01T00:00:00Z"},
		{"12.30", "0.1", "9007199254740993", "true", "2024-02-29", "2024-06-10T12:07:00.000001Z"},
		{"-99999999999999999999.99", "0.30000000000000004", "9223372036854775807", "true", "0001-01-01", "2024-06-10T12:07:00.123456Z"},
		{"99999999999999999999.99", "-1.7976931348623157e+308", "-9223372036854775808", "false", "9999-12-31", "1969-12-31T23:59:59.999999Z"},
	} {
		table.Rows = append(table.Rows, row(fmt.Sprint(i-1), texts...))
	}
	nulls := recount.Row{Key: values("9007199254740993")}
	for range table.Columns {
		nulls.Values = append(nulls.Values, recount.Null)
	}
	table.Rows = append(table.Rows, nulls)
	return table
}

func digits(t *testing.T, h Harness) {
	if !h.Types {
		t.Skip("columns have no types")
	}
	table := typed()
	live := h.New(t, table).Target
	info, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A database may store a type as another, SQLite a decimal as REAL: then the
	// text is compared as the table's own type has it.
	rows := slices.Clone(table.Rows)
	for i := range rows {
		rows[i].Values = slices.Clone(rows[i].Values)
		for j, c := range table.Columns {
			own, ok := info.Column(c.Name)
			if !ok {
				t.Fatalf("info lacks column %s", c.Name)
			}
			if v := rows[i].Values[j]; !v.Null && own.Type != c.Type {
				if canonical, err := recount.Canonical(own.Type, v.Text); err == nil {
					rows[i].Values[j].Text = canonical
				}
			}
		}
	}
	wantRows(t, live, table, rows)
}

func byKeys(t *testing.T, h Harness) {
	table := totals(row("a", "1", ""), row("b", "2", ""), row("c", "3", ""))
	live := h.New(t, table).Target
	s := all(table)
	s.Keys = [][]recount.Value{values("c"), values("a"), values("none")}
	if got, want := lines(scan(t, live, s)), lines([]recount.Row{table.Rows[0], table.Rows[2]}); !slices.Equal(got, want) {
		t.Errorf("rows of two keys: got %q, want %q", got, want)
	}
	s.Keys = [][]recount.Value{}
	if got := scan(t, live, s); len(got) != 0 {
		t.Errorf("rows of no keys: got %d, want none", len(got))
	}
	const n = 3000 // more than one statement takes
	s.Keys = nil
	for i := range n {
		s.Keys = append(s.Keys, values(fmt.Sprintf("k%d", i)))
	}
	s.Keys = append(s.Keys, values("b"))
	if got := scan(t, live, s); len(got) != 1 {
		t.Errorf("rows of %d keys: got %d, want 1", n+1, len(got))
	}
}

func where(t *testing.T, h Harness) {
	table := Table{
		Name: "hourly", Key: []recount.Column{column("at", recount.KindTimestamp)}, Columns: []recount.Column{text("note")}, Unique: true,
	}
	from := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	for i, note := range []string{"before", "first", "$from", "$$to", "at the end"} {
		table.Rows = append(table.Rows, row(recount.FormatTimestamp(from.Add(time.Duration(i-1)*time.Hour)), note))
	}
	s := all(table)
	s.Where = "at >= $from AND at < $to AND note <> '$from'"
	s.Window = recount.Window{From: from, To: from.Add(3 * time.Hour), By: recount.ByEvent}
	live := h.New(t, table).Target
	if !h.Where {
		err := live.Scan(t.Context(), s, func(recount.Row) error { return nil })
		e, ok := errors.AsType[*recount.Error](err)
		if !ok || e.Code != recount.CodeUnsupported {
			t.Errorf("a condition: got %v, want %s", err, recount.CodeUnsupported)
		}
		return
	}
	want := lines([]recount.Row{table.Rows[1], table.Rows[3]})
	if got := lines(scan(t, live, s)); !slices.Equal(got, want) {
		t.Errorf("rows of the condition: got %q, want %q", got, want)
	}
	s.Where = "note = 'first' OR at >= $to"
	want = lines([]recount.Row{table.Rows[1], table.Rows[4]})
	if got := lines(scan(t, live, s)); !slices.Equal(got, want) {
		t.Errorf("rows of a condition with OR: got %q, want %q", got, want)
	}
	for _, bad := range []string{"note = ", "note = 'first'; DROP TABLE hourly", "nothing = 1", "note = 'first') OR (1=1"} {
		s.Where = bad
		rows := 0
		err := live.Scan(t.Context(), s, func(recount.Row) error { rows++; return nil })
		if _, ok := errors.AsType[*recount.Error](err); !ok {
			t.Errorf("condition %q: got error %v and %d rows, want a *recount.Error", bad, err, rows)
		}
	}
	wantRows(t, live, table, table.Rows)
}

func unknownColumn(t *testing.T, h Harness) {
	table := totals(row("a", "1", ""))
	live := h.New(t, table).Target
	for _, s := range []target.Scan{
		{Key: []string{"id"}, Columns: []string{"totel"}},
		{Key: []string{"ident"}, Columns: []string{"total"}},
	} {
		err := live.Scan(t.Context(), s, func(recount.Row) error { return nil })
		e, ok := errors.AsType[*recount.Error](err)
		if !ok || e.Code != recount.CodeNoTable {
			t.Errorf("scan of %v %v: got %v, want %s", s.Key, s.Columns, err, recount.CodeNoTable)
			continue
		}
		if s.Columns[0] == "totel" && !strings.Contains(e.Error()+e.Next, "total") {
			t.Errorf("scan of totel: %q names no nearest column", e.Error())
		}
	}
}

func receiver(t *testing.T, h Harness) {
	table := totals(row("a", "1", ""), row("b", "2", ""))
	live := h.New(t, table).Target
	enough := errors.New("enough")
	n := 0
	err := live.Scan(t.Context(), all(table), func(recount.Row) error { n++; return enough })
	is(t, "scan", err, enough)
	if n != 1 {
		t.Errorf("rows given after the error: got %d calls, want 1", n)
	}
	wantRows(t, live, table, table.Rows)
}

func odd(t *testing.T, h Harness) {
	table := Table{
		Name: `Daily "totals" of O'Brien; --`, Unique: true,
		Key:     []recount.Column{text("Order"), text(`user "id"`), text("Straße")},
		Columns: []recount.Column{text("select"), text("$from"), text("a.b, c")},
	}
	for i := range 3 {
		n := fmt.Sprint(i)
		table.Rows = append(table.Rows, recount.Row{Key: values("o", n, "x"), Values: values(n, "f"+n, "")})
	}
	// Two keys whose parts make the same text when joined.
	table.Rows = append(table.Rows, recount.Row{Key: values("o", "1x", ""), Values: values("other", "", "")})
	live := h.New(t, table).Target
	wantRows(t, live, table, table.Rows)
	change := update(table.Rows[1].Key, table.Rows[1].Values, values("9", "f1", "set"))
	apply(t, live, table, run(table, live, t, "aaaaaaaaaaaa", "p1"), []recount.Change{change})
	rows := slices.Clone(table.Rows)
	rows[1].Values = change.After
	wantRows(t, live, table, rows)
	s := all(table)
	s.Keys = [][]recount.Value{table.Rows[1].Key, values("o", "1", ""), table.Rows[3].Key}
	if got, want := lines(scan(t, live, s)), lines([]recount.Row{rows[1], rows[3]}); !slices.Equal(got, want) {
		t.Errorf("rows of composite keys: got %q, want %q", got, want)
	}
}

func ownership(t *testing.T, h Harness) {
	table := totals(row("a", "1", "x"), row("b", "2", "y"))
	live := h.New(t, table).Target
	var kept []recount.Row
	err := live.Scan(t.Context(), all(table), func(r recount.Row) error {
		kept = append(kept, recount.Row{Key: append(r.Key, recount.Text("grown")), Values: append(r.Values, recount.Text("grown"))})
		r.Values[0] = recount.Text(r.Values[0].Text + "!")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`"a" "grown" "1" "x" "grown"`, `"b" "grown" "2" "y" "grown"`}
	for i := range kept {
		for j, v := range kept[i].Values {
			kept[i].Values[j].Text = strings.TrimSuffix(v.Text, "!")
		}
	}
	if got := lines(kept); !slices.Equal(got, want) {
		t.Errorf("rows that were kept: got %q, want %q", got, want)
	}
}

func many(t *testing.T, h Harness) {
	const n = 10_000
	table := totals()
	for i := range n {
		table.Rows = append(table.Rows, row(fmt.Sprintf("k%05d", i), fmt.Sprint(i), "n"))
	}
	live := h.New(t, table).Target
	var changes []recount.Change
	rows := slices.Clone(table.Rows)
	for i := 0; i < n; i += 5 {
		c := update(rows[i].Key, rows[i].Values, values(fmt.Sprint(i*2), "m"))
		rows[i].Values = c.After
		changes = append(changes, c)
	}
	apply(t, live, table, run(table, live, t, "aaaaaaaaaaaa", "p1"), changes)
	wantRows(t, live, table, rows)
}
