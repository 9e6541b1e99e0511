package workertest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"recount"
)

// Result is what came of a replay, in order of the keys.
type Result struct {
	Columns []recount.Column
	Rows    [][]recount.Value // canonical, as Columns
	Effects []recount.Effect
	// States are those of the keys at their ends, as Recount would keep them; none
	// where the type of the state cannot be kept.
	States []State
	// Poisoned are the events that the fold did not survive. Their keys are left out.
	Poisoned []Poisoned
}

// State is the state of a key.
type State struct {
	Key  []recount.Value
	Text string
}

// Poisoned is an event that the fold did not survive.
type Poisoned struct {
	Key   []recount.Value
	Event int // its place in the list, from 1
	ID    string
	Err   error
}

func (p part) addTo(r *Result) {
	if p.poisoned != nil {
		r.Poisoned = append(r.Poisoned, *p.poisoned)
		return
	}
	r.Rows, r.Effects = append(r.Rows, p.rows...), append(r.Effects, p.effects...)
	if p.state != nil {
		r.States = append(r.States, State{Key: p.key, Text: string(p.state)})
	}
}

// String shows rows, effects and poisoned events, a line each.
func (r Result) String() string {
	var b strings.Builder
	var names []string
	for _, c := range r.Columns {
		names = append(names, c.Name)
	}
	fmt.Fprintln(&b, strings.Join(names, ","))
	for _, row := range r.Rows {
		fmt.Fprintln(&b, join(row))
	}
	for _, e := range r.Effects {
		fmt.Fprintf(&b, "effect %s %s at event %s: %s\n", e.Kind, e.Key, eventName(e.EventID, e.Seq), e.Payload)
	}
	for _, p := range r.Poisoned {
		fmt.Fprintf(&b, "left out %s at event %s: %v\n", join(p.Key), eventName(p.ID, int64(p.Event)), p.Err)
	}
	return b.String()
}

func eventName(id string, number int64) string {
	if id == "" {
		return fmt.Sprint(number)
	}
	return id
}

func join(values []recount.Value) string {
	var list []string
	for _, v := range values {
		list = append(list, v.String())
	}
	return strings.Join(list, ",")
}

// differs says where another run of the same events first differs; empty: nowhere.
func (r Result) differs(o Result) string {
	if len(r.Rows) != len(o.Rows) {
		return fmt.Sprintf("%d rows, then %d", len(r.Rows), len(o.Rows))
	}
	for i, row := range r.Rows {
		for n, v := range row {
			if v != o.Rows[i][n] {
				return fmt.Sprintf("column %s of row %s is %s, then %s", r.Columns[n].Name, join(row), v, o.Rows[i][n])
			}
		}
	}
	for i, s := range r.States {
		if i < len(o.States) && s.Text != o.States[i].Text {
			return fmt.Sprintf("the state of key %s is %s, then %s", join(s.Key), s.Text, o.States[i].Text)
		}
	}
	if a, b := r.String(), o.String(); a != b {
		lines, others := strings.Split(a, "\n"), strings.Split(b, "\n")
		for i := range lines {
			if i >= len(others) || lines[i] != others[i] {
				return fmt.Sprintf("%q, then %q", lines[i], strings.Join(others[min(i, len(others)):min(i+1, len(others))], ""))
			}
		}
		return "effects"
	}
	return ""
}

// Golden compares a result with a file. With RECOUNT_UPDATE=1 in the environment it
// writes the file instead.
func Golden(tb testing.TB, path string, r Result) {
	tb.Helper()
	got := r.String()
	if os.Getenv("RECOUNT_UPDATE") == "1" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			tb.Fatalf("write the golden file: %v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatalf("read the golden file: %v (RECOUNT_UPDATE=1 go test writes it)", err)
	}
	lines, wanted := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	if slices.Equal(lines, wanted) {
		return
	}
	for i := range max(len(lines), len(wanted)) {
		if line(lines, i) != line(wanted, i) {
			tb.Errorf("%s:%d: got %q, want %q (RECOUNT_UPDATE=1 go test renews the file)", path, i+1, line(lines, i), line(wanted, i))
			return
		}
	}
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}
