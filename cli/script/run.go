package script

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"recount"
)

// run is the ledger's body of a table's part of the run, without what only the
// script knows: the run's id, its moment and who ran it.
func (s *script) run(p *part) (string, error) {
	run := recount.RunOf(s.plan.ID, p.n, *p.body, int64(len(p.writes)), s.opts.Overrides)
	if p.n == 1 && len(s.parts) > 1 {
		run.Tables, run.Total = s.plan.Tables(), int64(s.total)
	}
	text, err := json.Marshal(run)
	if err != nil {
		return "", fmt.Errorf("encode run: %w", err)
	}
	return string(text), nil
}

// runName is the SQL expression of the part's run id, given that of the run's.
func runName(run string, p *part) string {
	if p.n == 1 {
		return run
	}
	return fmt.Sprintf("%s || '/%d'", run, p.n)
}

// known says whether a table's rows name the run or its moment, which only the
// script knows.
func (p *part) known() bool { return p.body.Role != recount.RoleResult }

// separators says whether a value holds one of the two line ends that the
// ledger's JSON escapes and a database's own does not.
func (p *part) separators() bool {
	for _, c := range p.writes {
		for _, v := range slices.Concat(c.Key, c.Before, c.After) {
			if strings.ContainsAny(v.Text, "\u2028\u2029") {
				return true
			}
		}
	}
	return false
}

// entry is a column of a stage whose text may stand for the run or its moment.
type entry struct {
	name string // of the stage
	kind recount.Kind
}

func (p *part) entries() []entry {
	var out []entry
	for i, c := range p.key {
		out = append(out, entry{fmt.Sprintf("k%d", i), c.kind})
	}
	for i, c := range p.columns {
		out = append(out, entry{fmt.Sprintf("a%d", i), c.kind})
	}
	return out
}
