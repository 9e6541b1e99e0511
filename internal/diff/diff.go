// Package diff compares recalculated rows with live ones. It is pure: it reads
// two streams of rows in key order and never opens a target, an archive or an
// engine. Its outcome is exact: every row that differs under the printed rules,
// and no other.
package diff

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"recount"
)

// Rows is a stream of rows in byte order of their key's text.
type Rows interface {
	Next() (recount.Row, bool)
	Err() error
}

// Input is what Compare compares.
type Input struct {
	// Right gives the recalculated rows, canonical, in key order.
	Right Rows
	// Live gives the live rows in key order; Sorter makes one.
	Live *Sorted
	// Shape has the types under which both sides are compared.
	Shape recount.Shape
	// Round says that Right's values have more digits than Shape's types: they
	// are rounded to be compared, and kept as they are.
	Round bool
	// Rules has one rule for each value column.
	Rules []recount.Rule
	// Excluded holds the keys that a quarantined event touches, by their text.
	Excluded map[string][]recount.Value
	// Touched, where not nil, holds the texts of the keys to which a hit event
	// contributes. Other rows are looked at beside (Outcome.Beside), but for live
	// rows that the right logic does not make.
	Touched map[string]bool
	// Most bounds the rows that are not right, which are held in memory; 0: no
	// bound.
	Most int64
	// Place names the table, for messages.
	Place string
}

// Pair is one row that is not right.
type Pair struct {
	Text string          // the key's text
	Key  []recount.Value // under the result's types
	// Right is the recalculated row's values, nil where there is none.
	Right []recount.Value
	// Live is the live row as stored, and Seen its values under the result's
	// types; nil where there is none.
	Live *recount.Row
	Seen []recount.Value
	// Was, where not nil, is what hypotheses are held against besides Seen: the
	// row without what earlier runs put beside it.
	Was      []recount.Value
	Excluded bool
	// Cause is the hypothesis that explains the pair; empty until one does.
	Cause recount.Cause
	// Event names the event of a cause that is a single one.
	Event string
	// Hold, where not empty, says why the row is not written whatever the policy.
	Hold string
	// At is the position up to which the row had absorbed events, for a person.
	At string
}

// Outcome is what Compare found.
type Outcome struct {
	Checked int64
	Right   int64
	// Rows counts the recalculated rows.
	Rows int64
	// Pairs are the rows that are not right, in key order.
	Pairs []Pair
	// Beside are the rows that no hit event touches.
	Beside Beside
	// Digest is the SHA-256 of the checksums (recount.ChecksumBytes of key and
	// values) of all recalculated rows, in key order, hex.
	Digest string
}

// Beside counts rows that no hit event touches: they should be right.
type Beside struct {
	Rows  int64
	Wrong int64
	First *Pair // a wrong one, nil where there is none
	// Pairs are the first MostBeside of those that are wrong.
	Pairs []Pair
}

// MostBeside bounds the wrong rows beside the touched ones that are kept.
const MostBeside = 50_000

// Add counts a wrong row. It belongs to b from then on.
func (b *Beside) Add(p Pair) {
	b.Wrong++
	if b.First == nil {
		b.First = &p
	}
	if len(b.Pairs) < MostBeside {
		b.Pairs = append(b.Pairs, p)
	}
}

// Compare merges the two sides and returns every row that is not right, in key
// order.
func Compare(ctx context.Context, in Input) (Outcome, error) {
	m := &merge{in: in, hash: sha256.New()}
	right, haveRight := m.nextRight()
	live, haveLive := in.Live.next()
	pending := newPending(in.Excluded)
	for haveRight || haveLive {
		if err := ctx.Err(); err != nil {
			return Outcome{}, err
		}
		var p Pair
		order := compareSides(right.text, haveRight, live.text, haveLive)
		if order <= 0 {
			p.Text, p.Key, p.Right = right.text, right.row.Key, right.row.Values
		}
		if order >= 0 {
			p.Text, p.Key, p.Live, p.Seen = live.text, live.key, &live.row, live.seen
		}
		if err := m.excludedBefore(pending, p.Text, false); err != nil {
			return Outcome{}, err
		}
		if err := m.judge(p, pending); err != nil {
			return Outcome{}, err
		}
		if order <= 0 {
			right, haveRight = m.nextRight()
		}
		if order >= 0 {
			live, haveLive = in.Live.next()
		}
	}
	if err := m.excludedBefore(pending, "", true); err != nil {
		return Outcome{}, err
	}
	if err := in.Right.Err(); err != nil {
		return Outcome{}, err
	}
	if err := in.Live.Err(); err != nil {
		return Outcome{}, err
	}
	m.out.Digest = hex.EncodeToString(m.hash.Sum(nil))
	return m.out, nil
}

// compareSides orders the two heads; an ended side comes after every key.
func compareSides(right string, haveRight bool, live string, haveLive bool) int {
	switch {
	case !haveRight:
		return 1
	case !haveLive:
		return -1
	}
	return strings.Compare(right, live)
}

type keyed struct {
	text string
	row  recount.Row
}

type merge struct {
	in    Input
	out   Outcome
	whole []recount.Value // a row's key and values together
	hash  interface {
		Write(b []byte) (int, error)
		Sum(b []byte) []byte
	}
}

func (m *merge) nextRight() (keyed, bool) {
	row, ok := m.in.Right.Next()
	if !ok {
		return keyed{}, false
	}
	m.out.Rows++
	m.whole = append(append(m.whole[:0], row.Key...), row.Values...)
	sum := recount.ChecksumBytes(m.whole)
	_, _ = m.hash.Write(sum[:]) // a hash never fails
	return keyed{text: recount.KeyText(row.Key), row: row}, true
}

// judge decides one key: right, excluded or a pair to be explained.
func (m *merge) judge(p Pair, pending *pending) error {
	p.Excluded = pending.take(p.Text)
	if m.in.Touched != nil && p.Right != nil && !p.Excluded && !m.in.Touched[p.Text] {
		m.beside(p)
		return nil
	}
	m.out.Checked++
	if !p.Excluded && p.Right != nil && p.Live != nil && m.equal(p.Right, p.Seen) {
		m.out.Right++
		return nil
	}
	return m.keep(p)
}

// beside counts a row that no hit event touches.
func (m *merge) beside(p Pair) {
	m.out.Beside.Rows++
	if p.Live != nil && m.equal(p.Right, p.Seen) {
		return
	}
	m.out.Beside.Add(m.own(p))
}

func (m *merge) keep(p Pair) error {
	if m.in.Most > 0 && int64(len(m.out.Pairs)) >= m.in.Most {
		return &recount.Error{
			Code: recount.CodeLimit, What: "too many rows are wrong", Where: m.in.Place,
			Why:  fmt.Sprintf("more than %d rows differ, and no more are looked at", m.in.Most),
			Next: "check that window, logic and table belong together; if they do, raise limits: {changes: …} in recount.yaml",
		}
	}
	m.out.Pairs = append(m.out.Pairs, m.own(p))
	return nil
}

// own is the pair without anything that the streams use again.
func (m *merge) own(p Pair) Pair {
	p.Key = cloneValues(p.Key)
	if p.Right != nil {
		p.Right = cloneValues(p.Right)
	}
	if p.Live != nil {
		live := *p.Live
		p.Live = &live
	}
	return p
}

func (m *merge) equal(right, seen []recount.Value) bool {
	if m.in.Round {
		right = rounded(m.in.Shape, right)
	}
	return EqualRows(m.in.Shape, m.in.Rules, right, seen)
}

func rounded(shape recount.Shape, values []recount.Value) []recount.Value {
	out := make([]recount.Value, len(values))
	for i, v := range values {
		out[i] = Under(shape.Values[i].Type, v)
	}
	return out
}

func cloneValues(values []recount.Value) []recount.Value {
	return append(make([]recount.Value, 0, len(values)), values...)
}

// excludedBefore keeps the excluded keys that neither side has and that sort
// before text; at the end, all that are left.
func (m *merge) excludedBefore(p *pending, text string, end bool) error {
	for {
		next, ok := p.before(text, end)
		if !ok {
			return nil
		}
		m.out.Checked++
		if err := m.keep(Pair{Text: next, Key: m.in.Excluded[next], Excluded: true}); err != nil {
			return err
		}
	}
}
