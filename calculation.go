package recount

import "time"

// Logic is one version of what a worker computes.
type Logic struct {
	Kind   string // "sql"
	Text   string // the SQL
	Path   string // where it was read from, for messages
	Digest string // SHA-256 of Text, hex
}

// Calculation is versioned logic with the rules of its replay and of its
// comparison: one entry of `calculations` in recount.yaml.
type Calculation struct {
	Name        string
	Source      string
	Logic       Logic
	Key         []string
	Bucket      Bucket
	BucketNone  bool // `bucket: none` stands in the configuration
	Dedupe      bool
	Previous    *Logic
	Missed      []Missed
	Unexplained Unexplained
	Compare     map[string]Rule
	Columns     map[string]string // result column: table column
	Where       string
	Extra       Extra
	MaxChanges  int64
}

// Hypotheses says whether the configuration names any.
func (c Calculation) Hypotheses() bool { return c.Previous != nil || len(c.Missed) > 0 }

// Missed lists events that are known never to have been processed: those of
// [From, To) for which Where, an SQL condition over `events`, holds. A zero time
// is open; an empty Where holds for all.
type Missed struct {
	From  time.Time `json:"from,omitzero"`
	To    time.Time `json:"to,omitzero"`
	Where string    `json:"where,omitempty"`
}

// Unexplained says what happens to rows that no given hypothesis explains.
type Unexplained string

// What happens to unexplained rows.
const (
	UnexplainedHold    Unexplained = "hold"
	UnexplainedCorrect Unexplained = "correct"
)

// Extra says what happens to live rows that the right logic does not make.
type Extra string

// What happens to extra rows.
const (
	ExtraReport    Extra = "report"
	ExtraExplained Extra = "explained"
	ExtraDelete    Extra = "delete"
)

// Rule says when two values of a column are equal. Abs is empty for exact, else
// the decimal by which they may differ.
type Rule struct {
	Abs string
}

// String returns the rule as recount.yaml spells it.
func (r Rule) String() string {
	if r.Abs == "" {
		return "exact"
	}
	return "abs " + r.Abs
}
