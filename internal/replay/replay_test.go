package replay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/engine"
	"recount/internal/replay"
)

func causes(calc recount.Calculation, repeats bool) ([]string, int) {
	list, cut := replay.Hypotheses(calc, engine.Variant{Dedupe: true}, repeats, nil)
	var out []string
	for _, h := range list {
		out = append(out, string(h.Cause))
	}
	return out, cut
}

func TestHypothesesComeWithTheFewestPartsFirst(t *testing.T) {
	calc := recount.Calculation{Dedupe: true, Previous: &recount.Logic{Text: "v1"}, Missed: make([]recount.EventList, 1)}
	got, cut := causes(calc, true)
	want := []string{"missed", "twice", "previous", "missed+twice", "previous+missed", "previous+twice", "previous+missed+twice"}
	if !slices.Equal(got, want) || cut != 0 {
		t.Errorf("got %v, %d cut, want %v, 0 cut", got, cut, want)
	}
	if got, _ := causes(calc, false); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "twice") }) {
		t.Errorf("twice is tried where the window holds no repeat: %v", got)
	}
	calc.Dedupe = false
	if got, _ := causes(calc, true); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, "twice") }) {
		t.Errorf("twice is tried where repeats count anyway: %v", got)
	}
}

func TestHypothesesAreCutAndSaySo(t *testing.T) {
	calc := recount.Calculation{Dedupe: true, Previous: &recount.Logic{}, Missed: make([]recount.EventList, 3)}
	got, cut := causes(calc, true)
	if len(got) != replay.MostHypotheses || cut != 31-replay.MostHypotheses {
		t.Errorf("got %d hypotheses, %d cut, want %d and %d", len(got), cut, replay.MostHypotheses, 31-replay.MostHypotheses)
	}
	if got[0] != "missed.1" || got[2] != "missed.3" {
		t.Errorf("several lists are not told apart: %v", got[:3])
	}
}

func TestAHypothesisLeavesTheRightVariantAlone(t *testing.T) {
	right := engine.Variant{Dedupe: true, Logic: recount.Logic{Text: "v2"}}
	calc := recount.Calculation{Dedupe: true, Previous: &recount.Logic{Text: "v1"}, Missed: []recount.EventList{{Where: "a"}, {Where: "b"}}}
	list, _ := replay.Hypotheses(calc, right, true, nil)
	for _, h := range list {
		parts := h.Cause.Parts()
		if got, want := h.Variant.Logic.Text == "v1", slices.Contains(parts, "previous"); got != want {
			t.Errorf("%s: previous logic %v, want %v", h.Cause, got, want)
		}
		if got, want := h.Variant.Twice, slices.Contains(parts, "twice"); got != want {
			t.Errorf("%s: counts repeats %v, want %v", h.Cause, got, want)
		}
		missed := 0
		for _, p := range parts {
			if strings.HasPrefix(p, "missed") {
				missed++
			}
		}
		if len(h.Variant.Missed) != missed {
			t.Errorf("%s: %d lists, want %d", h.Cause, len(h.Variant.Missed), missed)
		}
	}
}

// fakeSession runs a function instead of logic.
type fakeSession struct {
	engine.Session
	run   func(engine.Variant) ([]recount.Row, error)
	marks []recount.Mark
}

func (s fakeSession) Quarantined(context.Context) ([]recount.Mark, error) { return s.marks, nil }

func (s fakeSession) Run(_ context.Context, v engine.Variant) (engine.Rows, error) {
	rows, err := s.run(v)
	if err != nil {
		return nil, err
	}
	return &fakeRows{rows: rows}, nil
}

// Same compares by what the rows say, as a digest would.
func (s fakeSession) Same(_ context.Context, v engine.Variant, earlier engine.Rows) (bool, error) {
	rows, err := s.run(v)
	return err == nil && fmt.Sprint(rows) == fmt.Sprint(earlier.(*fakeRows).rows), err
}

type fakeRows struct{ rows []recount.Row }

func (r *fakeRows) Shape() recount.Shape {
	text := recount.Type{Kind: recount.KindString}
	return recount.Shape{Key: []recount.Column{{Name: "k", Type: text}}, Values: []recount.Column{{Name: "v", Type: text}, {Name: "w", Type: text}}}
}
func (r *fakeRows) Err() error   { return nil }
func (r *fakeRows) Close() error { return nil }
func (r *fakeRows) Next() (recount.Row, bool) {
	if len(r.rows) == 0 {
		return recount.Row{}, false
	}
	row := r.rows[0]
	r.rows = r.rows[1:]
	return row, true
}

func row(key string, values ...string) recount.Row {
	r := recount.Row{Key: []recount.Value{recount.Text(key)}}
	for _, v := range values {
		r.Values = append(r.Values, recount.Text(v))
	}
	return r
}

func TestProveNamesTheColumnsThatDisagree(t *testing.T) {
	for name, c := range map[string]struct {
		second []recount.Row
		want   string
	}{
		"same":          {[]recount.Row{row("a", "1", "2"), row("b", "3", "4")}, ""},
		"one column":    {[]recount.Row{row("a", "1", "2"), row("b", "3", "5")}, "columns that disagree: w"},
		"first differs": {[]recount.Row{row("a", "x", "y"), row("b", "3", "4")}, "columns that disagree: v, w"},
		"a key":         {[]recount.Row{row("a", "1", "2"), row("c", "3", "4")}, "columns that disagree: k"},
		"fewer rows":    {[]recount.Row{row("a", "1", "2")}, "columns that disagree: (number of rows)"},
		"more rows":     {[]recount.Row{row("a", "1", "2"), row("b", "3", "4"), row("c", "3", "4"), row("d", "", "")}, "columns that disagree: (number of rows)"},
	} {
		t.Run(name, func(t *testing.T) {
			session := fakeSession{run: func(v engine.Variant) ([]recount.Row, error) {
				if v.Split == 0 {
					return []recount.Row{row("a", "1", "2"), row("b", "3", "4")}, nil
				}
				return c.second, nil
			}}
			rows, err := replay.Prove(t.Context(), session, engine.Variant{})
			if err != nil {
				t.Fatalf("prove: %v", err)
			}
			n, err := replay.Drain(rows)
			if n != 2 {
				t.Errorf("rows: got %d, want those of the first run, 2", n)
			}
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			e := recount.AsError(err)
			if e.Code != recount.CodeNondetermined || e.Where != c.want {
				t.Errorf("got %s %q, want %s %q", e.Code, e.Where, recount.CodeNondetermined, c.want)
			}
		})
	}
}

// TestAFoldThatIsLuckyOnceIsNotBelieved: one that races may agree with itself in the
// run that was to tell where it differs.
func TestAFoldThatIsLuckyOnceIsNotBelieved(t *testing.T) {
	runs := 0
	session := fakeSession{run: func(engine.Variant) ([]recount.Row, error) {
		runs++
		return []recount.Row{row("a", fmt.Sprint(runs%2), "")}, nil
	}}
	rows, err := replay.Prove(t.Context(), session, engine.Variant{Logic: recount.Logic{Kind: recount.LogicGo}})
	if err != nil {
		t.Fatalf("prove: %v", err)
	}
	if _, err = replay.Drain(rows); err == nil || recount.AsError(err).Code != recount.CodeNondetermined {
		t.Errorf("got %v, want %s", err, recount.CodeNondetermined)
	}
}

// TestAFoldThatDisagreesIsSentToVerify: of a fold more is varied than threads and
// files, and a function with an order is no advice.
func TestAFoldThatDisagreesIsSentToVerify(t *testing.T) {
	session := fakeSession{run: func(v engine.Variant) ([]recount.Row, error) {
		return []recount.Row{row("a", fmt.Sprint(v.Split), "2")}, nil
	}}
	rows, err := replay.Prove(t.Context(), session, engine.Variant{Logic: recount.Logic{Kind: recount.LogicWorker}})
	if err != nil {
		t.Fatalf("prove: %v", err)
	}
	_, err = replay.Drain(rows)
	if e := recount.AsError(err); e.Code != recount.CodeNondetermined || e.Where != "columns that disagree: v" || !strings.Contains(e.Next, "recount verify") {
		t.Errorf("got %+v, want %s that names column v and recount verify", e, recount.CodeNondetermined)
	}
}

func TestExcludedKnowsARowOnlyIfNoProbeMovesIt(t *testing.T) {
	at := time.Unix(1, 0).UTC()
	nullKey := &recount.Error{Code: recount.CodeResultKey}
	for name, c := range map[string]struct {
		mark    recount.Mark
		run     func(engine.Variant) ([]recount.Row, error)
		keys    []string
		unknown bool
	}{
		"value broken": {
			recount.Mark{Seq: 7, Kind: recount.MarkFault, Time: at, Broken: []string{"amount"}},
			func(v engine.Variant) ([]recount.Row, error) {
				return []recount.Row{row("u1", fmt.Sprint(v.Probe), "")}, nil
			},
			[]string{"u1"},
			false,
		},
		"filtered by the broken value": {
			recount.Mark{Seq: 7, Kind: recount.MarkFault, Time: at, Broken: []string{"amount"}},
			func(v engine.Variant) ([]recount.Row, error) {
				if v.Probe < 2 {
					return nil, nil
				}
				return []recount.Row{row("u1", "", "")}, nil
			},
			[]string{"u1"},
			false,
		},
		"key broken": {
			recount.Mark{Seq: 7, Kind: recount.MarkFault, Time: at, Broken: []string{"user"}},
			func(v engine.Variant) ([]recount.Row, error) {
				if v.Probe == 0 {
					return nil, nullKey
				}
				return []recount.Row{row(fmt.Sprint("probe", v.Probe), "", "")}, nil
			},
			nil, true,
		},
		"no row under any probe": {
			recount.Mark{Seq: 7, Kind: recount.MarkFault, Time: at, Broken: []string{"amount"}},
			func(engine.Variant) ([]recount.Row, error) { return nil, nil },
			nil, true,
		},
		"time unknown": {recount.Mark{Seq: 7, Kind: recount.MarkFault}, nil, nil, true},
		"conflict without a row": {
			recount.Mark{Seq: 7, Kind: recount.MarkConflict, Time: at},
			func(engine.Variant) ([]recount.Row, error) { return nil, nil },
			nil, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			session := fakeSession{marks: []recount.Mark{c.mark}, run: func(v engine.Variant) ([]recount.Row, error) {
				if !slices.Equal(v.Only, []int64{7}) {
					return nil, errors.New("not replayed alone")
				}
				return c.run(v)
			}}
			keys, unknown, err := replay.Excluded(t.Context(), session, []engine.Variant{{}})
			if err != nil {
				t.Fatalf("excluded: %v", err)
			}
			if len(keys) != len(c.keys) || (len(unknown) > 0) != c.unknown {
				t.Errorf("got keys %v, unknown %v, want %v, %v", keys, unknown, c.keys, c.unknown)
			}
		})
	}
}

func TestRowsThatSomethingElseMadeAreTriedAlone(t *testing.T) {
	sql, rows := recount.Logic{Kind: recount.LogicSQL}, recount.Logic{Kind: recount.LogicRows}
	missed := []recount.EventList{{Where: "true"}}
	for _, c := range []struct {
		right, previous recount.Logic
		missed          []recount.EventList
		want            string
	}{
		{sql, sql, missed, "missed twice previous missed+twice previous+missed previous+twice previous+missed+twice"},
		{sql, rows, missed, "missed twice previous missed+twice"},
		{rows, rows, nil, "previous"},
		{rows, sql, nil, "previous previous+twice"},
	} {
		calc := recount.Calculation{Logic: c.right, Previous: &c.previous, Missed: c.missed, Dedupe: true}
		list, cut := replay.Hypotheses(calc, engine.Variant{Logic: c.right, Dedupe: true}, true, nil)
		var got []string
		for _, h := range list {
			got = append(got, string(h.Cause))
		}
		if strings.Join(got, " ") != c.want || cut != 0 {
			t.Errorf("%s after %s: %v, %d left out; want %s", c.right.Kind, c.previous.Kind, got, cut, c.want)
		}
	}
}
