package replay_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"recount"
	"recount/engine"
	"recount/internal/replay"
)

// certify certifies what run gives, as a fold.
func certify(t *testing.T, run func(engine.Variant) ([]recount.Row, error)) (replay.Certified, error) {
	t.Helper()
	v := engine.Variant{Logic: recount.Logic{Kind: recount.LogicWorker}, Split: 7}
	return replay.Certify(t.Context(), fakeSession{run: run}, v, t.TempDir(), recount.Quiet{})
}

func TestACertificateNamesWhatWasVariedAndTheFirstDifference(t *testing.T) {
	good := []recount.Row{row("a", "1", "2"), row("b", "3", "4"), row("c", "5", "6")}
	text := func(s string) *recount.Value { v := recount.Text(s); return &v }
	for name, c := range map[string]struct {
		rows    []recount.Row
		differ  int64
		first   recount.Difference
		columns string
	}{
		"a value":         {[]recount.Row{row("a", "1", "2"), row("b", "3", "9"), row("c", "5", "8")}, 2, recount.Difference{Key: row("b").Key, Column: "w", Was: text("4"), Is: text("9")}, "w"},
		"two values":      {[]recount.Row{row("a", "x", "y"), row("b", "3", "4"), row("c", "5", "6")}, 1, recount.Difference{Key: row("a").Key, Column: "v", Was: text("1"), Is: text("x")}, "v w"},
		"a row less":      {[]recount.Row{row("a", "1", "2"), row("c", "5", "6")}, 1, recount.Difference{Key: row("b").Key, Was: text("3"), Lacks: "other"}, "k"},
		"a row more":      {slices.Concat(good, []recount.Row{row("d", "7", "8")}), 1, recount.Difference{Key: row("d").Key, Is: text("7"), Lacks: "first"}, "k"},
		"a key otherwise": {[]recount.Row{row("a", "1", "2"), row("bb", "3", "4"), row("c", "5", "6")}, 2, recount.Difference{Key: row("b").Key, Was: text("3"), Lacks: "other"}, "k"},
		"no row":          {nil, 3, recount.Difference{Key: row("a").Key, Was: text("1"), Lacks: "other"}, "k"},
	} {
		t.Run(name, func(t *testing.T) {
			done, err := certify(t, func(v engine.Variant) ([]recount.Row, error) {
				if v.Split != 0 {
					t.Errorf("split: got %d, want 0: one thing is varied at a time", v.Split)
				}
				if v.Shake.Zone {
					return c.rows, nil
				}
				return good, nil
			})
			if err != nil {
				t.Fatalf("certify: %v", err)
			}
			if done.Same() || done.Rows != 3 {
				t.Errorf("got same %t of %d rows, want false of 3", done.Same(), done.Rows)
			}
			for _, r := range done.Runs {
				if want := r.Varied != "zone"; r.Same != want {
					t.Errorf("%s: same is %t, want %t", r.Varied, r.Same, want)
				}
				if r.Same {
					continue
				}
				if got, want := describe(r.First), describe(&c.first); r.Rows != c.differ || got != want {
					t.Errorf("got %d rows, first %s, want %d, first %s", r.Rows, got, c.differ, want)
				}
			}
			var columns []string
			for _, off := range done.Columns {
				columns = append(columns, off.Column)
			}
			if got := strings.Join(columns, " "); got != c.columns {
				t.Errorf("columns: got %q, want %q", got, c.columns)
			}
		})
	}
}

func describe(d *recount.Difference) string {
	show := func(v *recount.Value) string {
		if v == nil {
			return "-"
		}
		return v.String()
	}
	return fmt.Sprintf("%v %q was %s is %s lacks %q", d.Key, d.Column, show(d.Was), show(d.Is), d.Lacks)
}

func TestACertificateKnowsNullFromNothingAndKeepsOddTexts(t *testing.T) {
	odd := []recount.Row{row("", "", "\x00"), row("a\nb", "\xff", strings.Repeat("long ", 1<<15))}
	odd[0].Values[0] = recount.Null
	done, err := certify(t, func(engine.Variant) ([]recount.Row, error) { return odd, nil })
	if err != nil || !done.Same() {
		t.Fatalf("rows that stay the same: got %+v, %v", done, err)
	}
	done, err = certify(t, func(v engine.Variant) ([]recount.Row, error) {
		if v.Shake.Seed {
			return []recount.Row{row("", "", "\x00"), odd[1]}, nil
		}
		return odd, nil
	})
	if err != nil || done.Same() {
		t.Errorf("NULL and an empty text count as the same: %v", err)
	}
}

// TestEveryShakeIsTriedOnce also holds that what differs from run to run is found
// where nothing is varied.
func TestEveryShakeIsTriedOnce(t *testing.T) {
	var tried []string
	done, err := certify(t, func(v engine.Variant) ([]recount.Row, error) {
		tried = append(tried, v.Shake.String())
		return []recount.Row{row("a", fmt.Sprint(len(tried)), "")}, nil
	})
	want := "nothing nothing threads files batches interleave seed clock zone locale cores machine"
	if got := strings.Join(tried, " "); err != nil || got != want {
		t.Errorf("tried %q, %v, want %q", got, err, want)
	}
	if len(done.Runs) != 11 || done.Runs[0].Same {
		t.Errorf("what differs from run to run: got %+v", done.Runs)
	}
}

func TestAWorkerThatDiesWhereSomethingIsVariedIsNotDeterministic(t *testing.T) {
	dies := &recount.Error{Code: recount.CodeWorker, What: "the worker ended early", Why: "exit 1"}
	run := func(fault error) func(engine.Variant) ([]recount.Row, error) {
		return func(v engine.Variant) ([]recount.Row, error) {
			if v.Shake.Locale {
				return nil, fault
			}
			return []recount.Row{row("a", "1", "2")}, nil
		}
	}
	done, err := certify(t, run(dies))
	if err != nil || done.Same() {
		t.Fatalf("got same %t, %v, want a run that failed", done.Same(), err)
	}
	for _, r := range done.Runs {
		if want := "the worker ended early: exit 1"; r.Varied == "locale" && r.Failed != want {
			t.Errorf("failed: got %q, want %q", r.Failed, want)
		}
	}
	broken := errors.New("the disk is full")
	if _, err := certify(t, run(broken)); !errors.Is(err, broken) {
		t.Errorf("what is no fault of the worker: got %v, want %v", err, broken)
	}
}
