package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	sdk "recount/worker"
)

// foldScripts are scripts of SQL that must come out the same, word for word, where
// folds compute what the SQL does: up to a line, where what follows is about SQL.
var foldScripts = map[string]string{
	"columns": "", "conflict": "", "extra": "", "hypotheses": "", "positions": "",
}

// moreFoldScripts take minutes with folds, each run of which starts a process: they
// are run where RECOUNT_TEST_LONG is set.
var moreFoldScripts = map[string]string{
	"control": "", "control_reasons": "# A worker that rounds each event.", "delta": "# A run that was taken back", "explain": "# Logic that was edited",
	"incident_windows": "", "refused_cut": "", "window_edges": "",
}

// foldOf is the fold of this program that computes what an SQL does, by the SQL.
var foldOf = map[string]string{
	`SELECT account, sum(amount) AS balance FROM events GROUP BY account`:                                                                                                    "balances",
	`SELECT account, sum(amount) AS balance, count(*) AS seen FROM events GROUP BY account`:                                                                                  "counted",
	`SELECT account, max(amount) AS balance FROM events GROUP BY account`:                                                                                                    "max",
	`SELECT account, CAST(avg(amount) AS DECIMAL(18,2)) AS balance FROM events GROUP BY account`:                                                                             "avg",
	`SELECT account, sum(amount) AS balance FROM events GROUP BY account HAVING sum(amount) > 300`:                                                                           "having",
	`SELECT account, count(DISTINCT amount % 3) AS balance FROM events GROUP BY account`:                                                                                     "distinct",
	`SELECT account, CAST(sum(amount) AS DOUBLE) AS balance FROM events GROUP BY account`:                                                                                    "double",
	`SELECT "user", sum(value) AS total FROM events GROUP BY "user"`:                                                                                                         "totals",
	`SELECT "user", sum(value) AS total FROM events GROUP BY 1`:                                                                                                              "totals",
	`SELECT "user", sum(CASE kind WHEN 'refund' THEN -value ELSE value END) AS total FROM events GROUP BY 1`:                                                                 "signed",
	`SELECT "user", sum(value) AS total FROM events WHERE kind = 'sale' GROUP BY 1`:                                                                                          "sales",
	`SELECT date_trunc('hour', time) AS hour, sum(value) AS total FROM events GROUP BY 1`:                                                                                    "hours by bucket",
	`SELECT date_trunc('hour', time) AS hour, shop, sum(value) AS total FROM events GROUP BY 1, 2`:                                                                           "shops",
	`SELECT date_trunc('hour', time) AS hour, shop, sum(CASE WHEN shop IN ('b', 'd') THEN 2 * value ELSE value END) AS total FROM events GROUP BY 1, 2`:                      "shops-v1",
	`SELECT (time AT TIME ZONE 'Europe/Berlin')::DATE AS day, sum(value) AS total FROM events GROUP BY 1`:                                                                    "days by bucket",
	`SELECT country, product, sum(value) AS total, max(value) FILTER (WHERE NOT (country = 'IT' AND product = 'p1')) AS most, count(*) AS ignored FROM events GROUP BY 1, 2`: "revenue",
}

type payment struct{ Amount sdk.Decimal }

type order struct {
	Kind  sdk.Null[string]
	Value sdk.Decimal
}

type sale struct{ Value sdk.Decimal }

type maybeSale struct{ Value sdk.Null[sdk.Decimal] }

type sums struct {
	Sum, Max sdk.Decimal
	N        int64
	Thirds   map[string]bool
}

func (s *sums) add(d sdk.Decimal) {
	s.Sum = s.Sum.Add(d)
	if s.N++; s.N == 1 || s.Max.Less(d) {
		s.Max = d
	}
}

type balance struct {
	Balance sdk.Decimal `recount:"balance,decimal(38,2)"`
}

type total struct {
	Total sdk.Decimal `recount:"total,decimal(38,2)"`
}

type hour struct {
	Hour  time.Time   `recount:"hour"`
	Total sdk.Decimal `recount:"total,decimal(38,2)"`
}

type shop struct {
	Hour  time.Time   `recount:"hour"`
	Total sdk.Decimal `recount:"total,decimal(38,3)"`
}

// balanceFold is a fold over payments with its row.
func balanceFold[Row any](row func(s *sums, emit func(Row))) sdk.Fold[sums, payment, Row] {
	return sdk.Fold[sums, payment, Row]{
		Step: func(_ *sdk.Context, s *sums, p *payment) error {
			s.add(p.Amount)
			return nil
		},
		Rows: func(_ *sdk.Context, s *sums, emit func(Row)) { row(s, emit) },
	}
}

// totalFold sums up what part of an order's value counts.
func totalFold(part func(order) (sdk.Decimal, bool)) sdk.Fold[sums, order, total] {
	return sdk.Fold[sums, order, total]{
		Step: func(_ *sdk.Context, s *sums, o *order) error {
			if o.Kind.V == "boom" {
				return errors.New("a kind that nobody knows")
			}
			if d, counts := part(*o); counts {
				s.add(d)
			}
			return nil
		},
		Rows: func(_ *sdk.Context, s *sums, emit func(total)) {
			if s.N > 0 {
				emit(total{s.Sum})
			}
		},
	}
}

func hourFold[Row any](times func(c *sdk.Context) int64, row func(time.Time, sdk.Decimal) Row) sdk.Fold[sums, sale, Row] {
	return sdk.Fold[sums, sale, Row]{
		Step: func(c *sdk.Context, s *sums, o *sale) error {
			s.add(o.Value.MulInt(times(c)))
			return nil
		},
		Rows: func(c *sdk.Context, s *sums, emit func(Row)) { emit(row(c.Bucket(), s.Sum)) },
	}
}

// registerFolds gives the test binary folds of its own.
func registerFolds() {
	sdk.Register("balances", balanceFold(func(s *sums, emit func(balance)) { emit(balance{s.Sum}) }))
	sdk.Register("max", balanceFold(func(s *sums, emit func(balance)) { emit(balance{s.Max}) }))
	sdk.Register("avg", balanceFold(func(s *sums, emit func(balance)) { emit(balance{s.Sum.Quo(sdk.NewDecimal(s.N, 0), 2)}) }))
	sdk.Register("having", balanceFold(func(s *sums, emit func(balance)) {
		if sdk.NewDecimal(300, 0).Less(s.Sum) {
			emit(balance{s.Sum})
		}
	}))
	type counted struct {
		balance
		Seen int64
	}
	sdk.Register("counted", balanceFold(func(s *sums, emit func(counted)) { emit(counted{balance{s.Sum}, s.N}) }))
	type double struct{ Balance float64 }
	sdk.Register("double", balanceFold(func(s *sums, emit func(double)) { emit(double{s.Sum.Float64()}) }))
	type number struct{ Balance int64 }
	sdk.Register("distinct", sdk.Fold[sums, payment, number]{
		Step: func(_ *sdk.Context, s *sums, p *payment) error {
			if s.Thirds == nil {
				s.Thirds = map[string]bool{}
			}
			three := sdk.NewDecimal(3, 0)
			s.Thirds[p.Amount.Sub(three.Mul(p.Amount.Quo(three, 0).Round(0))).String()] = true
			return nil
		},
		Rows: func(_ *sdk.Context, s *sums, emit func(number)) { emit(number{int64(len(s.Thirds))}) },
	})
	sdk.Register("totals", sdk.Fold[sums, sale, total]{
		Step: func(_ *sdk.Context, s *sums, o *sale) error {
			s.add(o.Value)
			return nil
		},
		Rows: func(_ *sdk.Context, s *sums, emit func(total)) { emit(total{s.Sum}) },
	})
	sdk.Register("sales", totalFold(func(o order) (sdk.Decimal, bool) { return o.Value, o.Kind.V == "sale" }))
	sdk.Register("signed", totalFold(func(o order) (sdk.Decimal, bool) {
		if o.Kind.V == "refund" {
			return o.Value.Neg(), true
		}
		return o.Value, true
	}))
	once := func(*sdk.Context) int64 { return 1 }
	ofShop := func(at time.Time, sum sdk.Decimal) shop { return shop{at, sum} }
	sdk.Register("hours", hourFold(once, func(at time.Time, sum sdk.Decimal) hour { return hour{at, sum} }))
	sdk.Register("shops", hourFold(once, ofShop))
	sdk.Register("shops-v1", hourFold(func(c *sdk.Context) int64 {
		if shop := c.Key()[0].Text; shop == "b" || shop == "d" {
			return 2
		}
		return 1
	}, ofShop))
	type day struct {
		Day   time.Time   `recount:"day,date"`
		Total sdk.Decimal `recount:"total,decimal(38,2)"`
	}
	sdk.Register("days", sdk.Fold[sums, sale, day]{
		Step: func(_ *sdk.Context, s *sums, o *sale) error {
			s.add(o.Value)
			return nil
		},
		Rows: func(c *sdk.Context, s *sums, emit func(day)) {
			emit(day{c.Bucket().Add(4 * time.Hour).Truncate(24 * time.Hour), s.Sum}) // Berlin's midnight lies before that of UTC
		},
	})
	type revenue struct {
		Total   sdk.Null[sdk.Decimal] `recount:"total,decimal(38,2)"`
		Most    sdk.Null[sdk.Decimal] `recount:"most,decimal(18,2)"`
		Ignored int64
	}
	sdk.Register("revenue", sdk.Fold[sums, maybeSale, revenue]{
		Step: func(_ *sdk.Context, s *sums, o *maybeSale) error {
			if o.Value.Valid {
				s.add(o.Value.V)
			}
			return nil
		},
		Rows: func(c *sdk.Context, s *sums, emit func(revenue)) {
			row := revenue{Ignored: s.N}
			if s.N > 0 {
				row.Total = sdk.Some(s.Sum)
			}
			if s.N > 0 && (c.Key()[0].Text != "IT" || c.Key()[1].Text != "p1") {
				row.Most = sdk.Some(s.Max)
			}
			emit(row)
		},
	})
}

// TestScriptsOfFolds runs scripts of SQL again, with folds in its place.
func TestScriptsOfFolds(t *testing.T) {
	dir := t.TempDir()
	scripts := maps.Clone(foldScripts)
	if os.Getenv("RECOUNT_TEST_LONG") != "" {
		maps.Copy(scripts, moreFoldScripts)
	}
	for name, until := range scripts {
		text, err := os.ReadFile(filepath.Join("testdata", "script", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		folded, n := withFolds(cut(string(text), until))
		if n == 0 && !strings.Contains(folded, "project balances") && !strings.Contains(folded, "\norders") && !strings.HasPrefix(folded, "orders\n") {
			t.Errorf("%s: it has no SQL that a fold stands for", name)
		}
		if err := os.WriteFile(filepath.Join(dir, name+"_folded.txtar"), []byte(folded), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runScripts(t, dir, true)
}

// cut leaves out a script's lines from one that begins so, up to its files.
func cut(script, from string) string {
	start := strings.Index(script, "\n"+from)
	if from == "" || start < 0 {
		return script
	}
	files := strings.Index(script, "\n-- ")
	return script[:start] + script[files:]
}

// withFolds replaces the SQL files of a script that folds stand for.
func withFolds(script string) (text string, replaced int) {
	text = script
	parts := strings.Split("\n"+script, "\n-- ")
	for _, part := range parts[1:] {
		name, body, _ := strings.Cut(part, " --\n")
		if fold, ok := foldOf[strings.Join(strings.Fields(body), " ")]; ok {
			text = foldFile(text, name, fold)
			replaced++
		}
	}
	return text, replaced
}

// foldFile lets configurations name a fold where they name a file of SQL. A fold
// whose rows have no key but their bucket says so.
func foldFile(text, file, fold string) string {
	if name, keyless := strings.CutSuffix(fold, " by bucket"); keyless {
		return strings.ReplaceAll(text, "    sql: "+file, fmt.Sprintf("    go: %s\n    by: []", name))
	}
	return strings.ReplaceAll(text, "sql: "+file, "go: "+fold)
}

func runScripts(t *testing.T, dir string, folds bool) {
	t.Helper()
	seed, err := filepath.Abs(filepath.Join("..", "..", "examples", "seed"))
	if err != nil {
		t.Fatal(err)
	}
	orders, err := filepath.Abs(filepath.Join("testdata", "orders"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// The seed's files, for scripts that copy them.
			env.Setenv("SEED", seed)
			env.Setenv("ORDERS", orders)
			env.Setenv("FROM", "2024-06-10T12:00:00Z")
			env.Setenv("TO", "2024-06-10T12:30:00Z")
			// The package for workers in Python, of which their folders take a copy.
			env.Setenv("PYTHON", filepath.Join(filepath.Dir(filepath.Dir(seed)), "python", "src", "recount"))
			if folds {
				env.Setenv("FOLDS", "yes")
			}
			return nil
		},
		Cmds: commands(),
		Condition: func(name string) (bool, error) {
			if name == "tmpfs" {
				return canMount(), nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
	})
}
