// Package script writes a plan as a script that a person can read and run
// without Recount: one guarded transaction of PostgreSQL or SQLite that leaves
// the ledger and undo rows of an apply, or calls of the AWS command line for a
// table that lives in DynamoDB. A script is made from the plan alone: nothing is
// opened and nothing is asked.
//
// What always holds here: no text of a plan, be it a name or a value, ends the
// quotes or the comment in which it stands; and a script that stops halfway has
// written nothing, except where its first lines say otherwise.
package script

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"recount"
)

// Options are what a script needs besides the plan.
type Options struct {
	// File is the plan's name, for messages and for the script's first lines.
	File string
	// Overrides are the flags that the ledger records.
	Overrides []string
	// Table, of DynamoDB, stands for the plan's own table; empty: that one.
	Table string
}

// part is one table of the plan.
type part struct {
	n       int // counted from 1
	body    *recount.PlanBody
	key     []column
	columns []column // those of the plan, then those that an insert fills
	planned int      // how many of columns are the plan's
	writes  []recount.Change
	sets    [][]int // the columns that updates change, one list for each group
	group   []int   // of each write: its place in sets; -1: it is no update
	counts  map[recount.Action]int
}

// column is a table's column with the type as which it stores values.
type column struct {
	name string
	kind recount.Kind
}

// partsOf lists the plan's tables, each with the rows that are written.
func partsOf(p *recount.Plan) ([]*part, error) {
	var parts []*part
	for i, of := range p.Parts() {
		own := &part{n: i + 1, body: &of.Body, key: columnsOf(of.Body.Key), columns: columnsOf(of.Body.Columns), counts: map[recount.Action]int{}}
		own.planned = len(own.columns)
		var fill []recount.Value
		for _, f := range of.Body.Filled {
			v, kind, err := filled(f)
			if err != nil {
				return nil, fmt.Errorf("on_insert: column %s: %w", f.Column, err)
			}
			own.columns, fill = append(own.columns, column{f.Column, kind}), append(fill, v)
		}
		for _, c := range of.Changes {
			if c.Action == recount.ActionInsert {
				c.After = slices.Concat(c.After, fill)
			}
			if c.Action.Writes() {
				own.add(c)
			}
		}
		parts = append(parts, own)
	}
	return parts, nil
}

func columnsOf(list []recount.PlanColumn) []column {
	out := make([]column, len(list))
	for i, c := range list {
		out[i] = column{c.Name, kindOf(c)}
	}
	return out
}

// kindOf is the kind as which the table stores a column.
func kindOf(c recount.PlanColumn) recount.Kind {
	text := c.Type
	if c.Stored != "" {
		text = c.Stored
	}
	t, err := recount.ParseType(text)
	if err != nil {
		return recount.KindString
	}
	return t.Kind
}

// filled is the value that an insert writes into a column beside the plan's.
func filled(f recount.Filled) (recount.Value, recount.Kind, error) {
	t, err := recount.ParseType(f.Type)
	if err != nil { // a plan from before it named the type
		return recount.Text(f.Text), recount.KindString, nil //nolint:nilerr // the script compares what was stored with the text
	}
	text, err := recount.Canonical(t, f.Text)
	return recount.Text(text), t.Kind, err
}

func (p *part) add(c recount.Change) {
	group := -1
	if c.Action == recount.ActionUpdate {
		var set []int
		for i := range c.After {
			if c.After[i] != c.Before[i] {
				set = append(set, i)
			}
		}
		group = slices.IndexFunc(p.sets, func(have []int) bool { return slices.Equal(have, set) })
		if group < 0 {
			group = len(p.sets)
			p.sets = append(p.sets, set)
		}
	}
	p.writes, p.group = append(p.writes, c), append(p.group, group)
	p.counts[c.Action]++
}

// grouped counts the updates of a group.
func (p *part) grouped(g int) (n int) {
	for _, have := range p.group {
		if have == g {
			n++
		}
	}
	return n
}

func (p *part) table() string { return p.body.Target.Table }

// ordered lists the tables so that those to which foreign keys lead come before
// those from which they lead; those of a circle keep the plan's order.
func ordered(parts []*part) []*part {
	var order []*part
	left := slices.Clone(parts)
	for len(left) > 0 {
		free := slices.IndexFunc(left, func(p *part) bool {
			return !slices.ContainsFunc(left, func(other *part) bool {
				return other != p && slices.Contains(p.body.References, other.table())
			})
		})
		if free < 0 {
			return append(order, left...)
		}
		order = append(order, left[free])
		left = slices.Delete(left, free, free+1)
	}
	return order
}

// script is a script that is being written. What cannot be written shows at
// flush.
type script struct {
	out   *bufio.Writer
	plan  *recount.Plan
	opts  Options
	parts []*part
	total int
}

func newScript(w io.Writer, p *recount.Plan, o Options) (*script, error) {
	parts, err := partsOf(p)
	if err != nil {
		return nil, err
	}
	s := &script{out: bufio.NewWriter(w), plan: p, opts: o, parts: parts}
	for _, part := range parts {
		s.total += len(part.writes)
	}
	return s, s.refuse()
}

// line writes a line; format is none where there are no arguments.
func (s *script) line(format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	_, _ = s.out.WriteString(format + "\n")
}

// say writes a comment: what the plan says in it is kept on its line.
func (s *script) say(mark, format string, args ...any) {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	s.line("%s", strings.TrimRight(mark+" "+printable(format), " "))
}

// printable is the text without line ends and without what a terminal or a
// reader takes for something else.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// refuse says what no script can carry out.
func (s *script) refuse() error {
	for _, p := range s.parts {
		paused := p.body.Taken != nil && p.body.Taken.Kind == recount.CutPaused
		if p.body.Write == recount.WriteDelta && !paused {
			return s.unsupported("it adds differences to rows while the worker goes on, and whether a row may be added to is found in the archive, which a script cannot read",
				"recount apply "+shellWord(s.opts.File)+"; or stop the worker, plan again with cut: {paused: FILE} or {paused: \"group:NAME\"}, and write that plan as a script")
		}
		if p.body.Kind == recount.PlanRollback {
			return s.unsupported("it takes back a run, and which rows moved since is found while it is applied", "recount rollback "+p.body.Run)
		}
		if slices.ContainsFunc(p.sets, func(set []int) bool { return len(set) == 0 }) {
			return s.unsupported("an update of table "+p.table()+" changes no column", "plan again")
		}
		for _, c := range p.writes {
			for _, v := range slices.Concat(c.Key, c.Before, c.After) {
				if strings.ContainsRune(v.Text, 0) {
					return s.unsupported("a value of row "+printable(recount.KeyText(c.Key))+" holds a NUL character, which no script can", "recount apply "+shellWord(s.opts.File))
				}
			}
		}
	}
	if s.total == 0 {
		return s.unsupported("it writes no row", "recount show "+shellWord(s.opts.File))
	}
	return nil
}

func (s *script) unsupported(why, next string) error {
	return &recount.Error{
		Code: recount.CodeUnsupported, What: "this plan cannot be written as a script", Where: s.opts.File, Why: why, Next: next, Err: recount.ErrUnsupported,
	}
}

// about writes what a person wants to know first.
func (s *script) about(mark string) {
	b := &s.plan.Body
	s.say(mark, "Plan        %s", s.plan.ID)
	var names []string
	for _, p := range s.parts {
		if !slices.Contains(names, p.body.Calculation) {
			names = append(names, p.body.Calculation)
		}
	}
	s.say(mark, "calculation %s, window %s (by %s)", strings.Join(names, ", "), b.Window, b.Window.By)
	for _, p := range s.parts {
		s.say(mark, "table       %s: %d updates, %d inserts, %d deletes", p.table(),
			p.counts[recount.ActionUpdate], p.counts[recount.ActionInsert], p.counts[recount.ActionDelete])
		if r := p.body.Rows; r.Held+r.Extra+r.Excluded > 0 {
			s.say(mark, "            left as they are: %d held, %d extra, %d excluded", r.Held, r.Extra, r.Excluded)
		}
	}
	server := b.Target.Server
	if server != "" {
		server = ", " + server
	}
	s.say(mark, "made for    %s %s%s", b.Target.Adapter, b.Target.Place, server)
	s.say(mark, "made        %s by %s, expires %s", recount.FormatTimestamp(s.plan.Header.Made), s.plan.Header.By, recount.FormatTimestamp(s.plan.Header.Expires))
	s.warn(mark)
}

// warn names what an apply would ask about.
func (s *script) warn(mark string) {
	for _, p := range s.parts {
		for _, h := range p.body.Hazards {
			s.say(mark, "mind        table %s: %s", p.table(), h)
		}
		if c := p.body.Control; c != nil && c.Wrong > 0 {
			s.say(mark, "MIND        the control window is red: %d of %d rows beside the window differ; --no-control let this script be made", c.Wrong, c.Rows)
		}
		if p.body.WorkerState == recount.StateOwn {
			s.say(mark, "MIND        the worker keeps a state of its own and must reload these rows afterwards, or it overwrites them")
		}
		if t := p.body.Taken; t != nil && t.Kind == recount.CutPaused {
			s.say(mark, "MIND        the worker must stand still until this script has ended: %s", t.How)
		}
	}
}

// shellWord quotes a word for a shell where it needs it.
func shellWord(word string) string {
	plain := word != "" && strings.IndexFunc(word, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("_-./:,=@%+", r)
	}) < 0
	if plain {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// SQL writes the plan as one guarded transaction of its target's database. What
// it cannot write is refused with recount.ErrUnsupported before the first byte.
func SQL(w io.Writer, p *recount.Plan, o Options) error {
	s, err := newScript(w, p, o)
	if err != nil {
		return err
	}
	switch adapter := p.Body.Target.Adapter; adapter {
	case "postgres":
		return s.postgres()
	case "sqlite":
		return s.sqlite()
	case "files":
		return s.unsupported("its target "+p.Body.Target.Table+" is a file, no table of a database", "recount show "+shellWord(o.File)+" --csv")
	default:
		return s.unsupported("there is no script for the target "+adapter, "recount apply "+shellWord(o.File))
	}
}

// Ledger returns the statements that make the ledger's tables in a database of
// that adapter; empty where there is none.
func Ledger(adapter string) string {
	return map[string]string{"postgres": postgresLedger, "sqlite": sqliteLedger}[adapter]
}
