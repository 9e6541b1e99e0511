package enginetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
)

// Harness is what an engine's test gives the suite.
type Harness struct {
	// New returns an engine that lives as long as the test. An engine of folds comes
	// with another one below it.
	New func(tb testing.TB) engine.Engine
	// Logic spells a meaning as a fold, with By and all; false: it has none. Nil: the
	// suite's logic is SQL.
	Logic func(m Meaning) (recount.Logic, bool)
	// Kill ends what runs the session's SQL, as a crash would; nil where nothing
	// can crash by itself.
	Kill func(tb testing.TB, s engine.Session)
}

// Run runs the suite: what the doc comments of package engine promise.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"the same rows, and the rows of some keys", sameAndKeys},
		{"window", windows},
		{"marks", marks},
		{"missed", missed},
		{"only and probe", probes},
		{"splits", only(false, splits)},
		{"keys", only(false, keys)},
		{"values", only(false, values)},
		{"events", events},
		{"hit events", hitEvents},
		{"what is read", reading},
		{"lists", only(false, lists)},
		{"hypotheses", hypotheses},
		{"order", ordering},
		{"opening", only(false, opening)},
		{"parts", parts},
		{"each", each},
		{"states", states},
		{"states and each against an oracle", histories},
		{"within", spansOfTime},
		{"upcasts", upcasts},
		{"types", types},
		{"lookups", lookups},
		{"feed", feeds},
		{"count", counts},
		{"count compacted", compacted},
		{"refusals", only(false, refusals)},
		{"failures", only(false, failures)},
		{"limits", only(false, limits)},
		{"folds in splits", only(true, foldSplits)},
		{"folds are what SQL is", only(true, foldsAsSQL)},
		{"folds by bucket", only(true, foldBuckets)},
		{"states as a column, and as opening", only(true, foldStates)},
		{"events that a fold does not survive", only(true, foldPoison)},
		{"effects", only(true, foldEffects)},
		{"single events", only(true, foldSingles)},
		{"single events that a fold does not survive", only(true, foldSinglesPoison)},
		{"several variants", only(true, foldSeveral)},
		{"along given events", only(true, foldAlong)},
		{"refusals of folds", only(true, foldRefusals)},
		{"a fold that never comes back", only(true, foldEndless)},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, h) })
	}
}

// noon is where the suite's windows begin.
var noon = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)

// Fields are the declared fields of the suite's events.
var Fields = []recount.Field{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "value", Type: recount.Decimal(18, 2)},
	{Name: "price", Type: recount.Type{Kind: recount.KindDouble}},
}

// order is one event of the suite: user, value, and price, which is value again.
func order(id string, at time.Time, user, value string) Event {
	return Event{Event: recount.Event{
		ID: id, Type: "order", Partition: "0", Position: fmt.Sprintf("%020s", id), Time: at, Key: []byte(user),
		Data: []byte(user + "," + value), Fields: []recount.Value{recount.Text(user), recount.Text(value), recount.Text(value)},
	}}
}

const totals = "SELECT user_id, sum(value) AS total, count(*) AS n FROM events GROUP BY user_id"

func logic(text string) recount.Logic {
	return recount.Logic{Kind: "sql", Text: text, Path: "logic.sql"}
}

// variant is the totals with dedupe; options change it.
func variant(options ...func(*engine.Variant)) engine.Variant {
	v := engine.Variant{Logic: logic(totals), Key: []string{"user_id"}, Columns: []string{"total", "n"}, Dedupe: true}
	for _, o := range options {
		o(&v)
	}
	return v
}

// lab is one test's engine, inputs and session.
type lab struct {
	*Builder
	t       *testing.T
	harness Harness
	engine  engine.Engine
	session engine.Session
}

func newLab(t *testing.T, h Harness) *lab {
	t.Helper()
	return &lab{Builder: NewBuilder(t, Fields...), t: t, harness: h, engine: h.New(t)}
}

// open opens the half hour from noon, or another window.
func (l *lab) open(window ...time.Time) *lab {
	l.t.Helper()
	if window == nil {
		window = []time.Time{noon, noon.Add(30 * time.Minute)}
	}
	if l.session != nil {
		l.close()
	}
	s, err := l.engine.Open(l.t.Context(), l.Input(window[0], window[1]))
	if err != nil {
		l.t.Fatalf("open: %v", err)
	}
	l.session = s
	l.t.Cleanup(l.close)
	return l
}

func (l *lab) close() {
	if err := l.session.Close(); err != nil {
		l.t.Errorf("close session: %v", err)
	}
}

// rows runs a variant and returns its rows as text: "key|value,value".
func (l *lab) rows(v engine.Variant, options ...func(*engine.Variant)) []string {
	l.t.Helper()
	for _, o := range options {
		o(&v)
	}
	rows, err := l.try(v)
	if err != nil {
		l.t.Fatalf("run %q: %v", v.Logic.Text, err)
	}
	return rows
}

func (l *lab) try(v engine.Variant) (list []string, err error) {
	r, err := l.session.Run(l.t.Context(), l.spell(v))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for row, ok := r.Next(); ok; row, ok = r.Next() {
		list = append(list, join(row.Key)+"|"+join(row.Values))
	}
	return list, r.Err()
}

func join(values []recount.Value) string {
	var parts []string
	for _, v := range values {
		parts = append(parts, v.String())
	}
	return strings.Join(parts, ",")
}

// want compares rows with those that are right.
func want(t *testing.T, what string, got []string, rows ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(rows, "\n"); g != w {
		t.Errorf("%s: got\n%s\nwant\n%s", what, g, w)
	}
}

// refused checks that err is a whole error of that code.
func refused(t *testing.T, what string, err error, code recount.Code) *recount.Error {
	t.Helper()
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%s: got error %v, want code %s", what, err, code)
	}
	if e.What == "" || e.Why == "" || e.Next == "" {
		t.Errorf("%s: the error lacks a part: %+v", what, e)
	}
	return e
}

// wantCode is refused for those who need not look at the error.
func wantCode(t *testing.T, what string, err error, code recount.Code) {
	t.Helper()
	_ = refused(t, what, err, code)
}
