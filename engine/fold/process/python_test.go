package process_test

import (
	"strings"
	"testing"
)

const totals = `
import recount

@recount.fold(columns={"user_id": "string", "total": "decimal(18,2)", "n": "int64"})
class Totals:
    def __init__(self, key):
        self.user_id, self.total, self.n = key["user_id"], 0, 0

    def step(self, event):
        print("this is no protocol")
        self.total += event["value"]
        self.n += 1

    def rows(self):
        return {"user_id": self.user_id, "total": self.total, "n": self.n}

if __name__ == "__main__":
    recount.run(Totals)
`

// pythons are both formats: one Python has pyarrow, the other has not.
func pythons(t *testing.T, f func(t *testing.T, interpreter string)) {
	t.Helper()
	t.Run("ndjson", func(t *testing.T) { f(t, python(t)) })
	t.Run("arrow", func(t *testing.T) { f(t, arrowPython(t)) })
}

func TestAFoldInPython(t *testing.T) {
	styles := map[string]string{"class": totals, "function": `
import recount

@recount.fold(columns={"user_id": "string", "total": "decimal(18,2)", "n": "int64"})
def totals(state, event):
    state["total"] = state.get("total", 0) + event["value"]
    state["n"] = state.get("n", 0) + 1

@totals.rows
def rows(state, key):
    return {"user_id": key["user_id"], **state}

if __name__ == "__main__":
    recount.run(totals)
`, "columns": strings.NewReplacer("event):", "value):", `event["value"]`, "value").Replace(totals)}
	for name, text := range styles {
		t.Run(name, func(t *testing.T) {
			pythons(t, func(t *testing.T, interpreter string) {
				p := newProject(t, interpreter, text, orderFields, "user_id")
				p.events(order(1, "b", "1.50"), order(2, "a", "2"), order(3, "b", "-0.25"))
				rows, r, err := p.run(1)
				if err != nil {
					t.Fatal(err)
				}
				want(t, rows, "a|2.00|1", "b|1.25|2")
				if r.Events != 3 || r.Keys != 2 {
					t.Errorf("result: got %+v, want 3 events of 2 keys", r)
				}
			})
		})
	}
}
