// Package versions runs a logic that is several: each version over the events of
// the time in which it was in force. It lies over an engine's session and knows
// nothing of what the versions are.
package versions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/engine"
)

// Session replays versions. What it is asked for with any other logic, or about
// events alone, it passes on.
type Session struct {
	engine.Session
	// Span is the event time of what the session reads; a zero edge is open.
	Span recount.Window
	// Time returns the start of the bucket that a key names.
	Time func(key []recount.Value) (time.Time, error)
}

// split returns the variants of the versions that are in force, each for its own
// time; nil: the logic has none.
func (s Session) split(v engine.Variant) (parts []engine.Variant, over []recount.Version) {
	if v.Logic.Kind != recount.LogicVersions {
		return nil, nil
	}
	over = v.Logic.Over(s.Span)
	for _, one := range over {
		part := v
		part.Logic = one.Logic
		if len(over) > 1 { // else nothing of another time is read
			part.Within = within(v.Within, one.Effective)
		}
		parts = append(parts, part)
	}
	return parts, over
}

// within is the time that two spans share.
func within(a, b recount.Window) recount.Window {
	if b.From.After(a.From) {
		a.From = b.From
	}
	if a.To.IsZero() || !b.To.IsZero() && b.To.Before(a.To) {
		a.To = b.To
	}
	return a
}

var errNone = errors.New("no version of the logic was in force")

// Run gives the rows of all versions in key order. A key of two versions is
// refused: each bucket has one.
func (s Session) Run(ctx context.Context, v engine.Variant) (engine.Rows, error) {
	parts, over := s.split(v)
	if parts == nil {
		if v.Logic.Kind == recount.LogicVersions {
			return nil, errNone
		}
		return s.Session.Run(ctx, v)
	}
	m := &rows{over: over, heads: make([]*recount.Row, len(parts))}
	for _, part := range parts {
		r, err := s.Session.Run(ctx, part)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.parts = append(m.parts, r)
	}
	if err := m.sameKeys(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Same asks of each version.
func (s Session) Same(ctx context.Context, v engine.Variant, earlier engine.Rows) (bool, error) {
	parts, _ := s.split(v)
	if parts == nil {
		return s.Session.Same(ctx, v, earlier)
	}
	m, ok := earlier.(*rows)
	if !ok || len(m.parts) != len(parts) {
		return false, nil
	}
	for i, part := range parts {
		if same, err := s.Session.Same(ctx, part, m.parts[i]); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// States asks each version for the keys of its time. Events of another version's
// time make no row of a key, and the states of a key have one version.
func (s Session) States(ctx context.Context, v engine.Variant, q engine.StatesQuery) (engine.States, error) {
	parts, over := s.split(v)
	others := slices.ContainsFunc(q.Touching, func(t engine.Variant) bool { return t.Logic.Kind == recount.LogicVersions })
	if parts == nil && !others {
		return s.Session.States(ctx, v, q)
	}
	if parts == nil { // the other logics alone have versions
		parts, over = []engine.Variant{v}, []recount.Version{{}}
		for _, t := range q.Touching {
			if list := t.Logic.Over(s.Span); t.Logic.Kind == recount.LogicVersions && len(list) > 0 {
				over = list
				parts = slices.Repeat([]engine.Variant{v}, len(list))
				break
			}
		}
	}
	keys := map[string][][]recount.Value{}
	for _, key := range q.Keys {
		name, err := s.versionOf(over, key)
		if err != nil {
			return nil, err
		}
		keys[name] = append(keys[name], key)
	}
	m := &states{}
	for i, part := range parts {
		one := q
		one.Keys = keys[over[i].Name]
		if len(one.Keys) == 0 {
			continue
		}
		one.Touching = nil
		for _, t := range q.Touching {
			if t.Logic.Kind == recount.LogicVersions {
				at := slices.IndexFunc(t.Logic.Versions, func(v recount.Version) bool { return v.Name == over[i].Name })
				if at < 0 {
					continue
				}
				t.Logic = t.Logic.Versions[at].Logic
			}
			one.Touching = append(one.Touching, t)
		}
		// Every event of a key is of its bucket, and so of its version: the span
		// would leave out none but those that are no events of the key.
		got, err := s.Session.States(ctx, part, one)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.parts = append(m.parts, got)
	}
	if len(m.parts) == 0 {
		q.Keys = nil
		return s.Session.States(ctx, parts[0], engine.StatesQuery{Most: q.Most, Unhit: q.Unhit})
	}
	return m, nil
}

// versionOf names the version that makes the rows of a key.
func (s Session) versionOf(over []recount.Version, key []recount.Value) (string, error) {
	if len(over) == 1 {
		return over[0].Name, nil
	}
	at, err := s.Time(key)
	if err != nil {
		return "", fmt.Errorf("find the version of key %s: %w", recount.KeyText(key), err)
	}
	for _, v := range over {
		if (v.Effective.From.IsZero() || !at.Before(v.Effective.From)) && (v.Effective.To.IsZero() || at.Before(v.Effective.To)) {
			return v.Name, nil
		}
	}
	return over[0].Name, nil
}

// Each lists what the events of all versions contribute.
func (s Session) Each(ctx context.Context, v engine.Variant) (engine.Contributions, error) {
	parts, _ := s.split(v)
	if parts == nil {
		return s.Session.Each(ctx, v)
	}
	m := &contributions{}
	for _, part := range parts {
		c, err := s.Session.Each(ctx, part)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.add(c)
	}
	return m, nil
}

// Effects lists what all versions would have sent.
func (s Session) Effects(ctx context.Context, v engine.Variant) (engine.Effects, error) {
	parts, _ := s.split(v)
	if parts == nil {
		return s.Session.Effects(ctx, v)
	}
	m := &effects{}
	for _, part := range parts {
		e, err := s.Session.Effects(ctx, part)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.add(e)
	}
	return m, nil
}

// rows are those of several versions, merged by key.
type rows struct {
	parts  []engine.Rows
	over   []recount.Version
	heads  []*recount.Row
	primed bool
	last   string
	any    bool
	err    error
}

func (m *rows) Shape() recount.Shape { return m.parts[0].Shape() }

// sameKeys refuses versions whose rows cannot be told to be the same.
func (m *rows) sameKeys() error {
	first := m.parts[0].Shape()
	for i, p := range m.parts {
		for j, c := range p.Shape().Key {
			if c.Type.Kind != first.Key[j].Type.Kind {
				return &recount.Error{
					Code: recount.CodeVersion, What: fmt.Sprintf("key column %s is of another type in version %s", c.Name, m.over[i].Name), Where: m.over[i].Logic.Path,
					Why: fmt.Sprintf("it is %s there and %s in version %s", c.Type, first.Key[j].Type, m.over[0].Name), Next: "cast it to the same type in both",
				}
			}
		}
	}
	return nil
}

func (m *rows) Next() (recount.Row, bool) {
	if m.err != nil {
		return recount.Row{}, false
	}
	if !m.primed {
		m.primed = true
		for i := range m.parts {
			m.fill(i)
		}
	}
	least, text := -1, ""
	for i, head := range m.heads {
		if head == nil {
			continue
		}
		if t := recount.KeyText(head.Key); least < 0 || t < text {
			least, text = i, t
		}
	}
	if least < 0 || m.err != nil {
		return recount.Row{}, false
	}
	if m.any && text == m.last {
		m.err = &recount.Error{
			Code: recount.CodeVersion, What: "two versions of the logic make the same row", Where: m.over[least].Logic.Path,
			Why:  "the row " + strings.ReplaceAll(text, "\x00", ", ") + " comes from version " + m.over[least].Name + " and from an earlier one, though each bucket has one version",
			Next: "let each version make rows of the bucket of their events alone, or choose one with --as",
		}
		return recount.Row{}, false
	}
	m.any, m.last = true, text
	row := *m.heads[least]
	m.fill(least)
	return row, true
}

// fill reads the next row of a version. It is copied: it is valid until the next
// call alone.
func (m *rows) fill(i int) {
	row, ok := m.parts[i].Next()
	m.heads[i] = nil
	if ok {
		m.heads[i] = &recount.Row{Key: slices.Clone(row.Key), Values: slices.Clone(row.Values)}
		return
	}
	m.err = errors.Join(m.err, m.parts[i].Err())
}

func (m *rows) Err() error { return m.err }

func (m *rows) Close() error { return closeAll(m.parts) }

func closeAll[C interface{ Close() error }](parts []C) error {
	var err error
	for _, p := range parts {
		err = errors.Join(err, p.Close())
	}
	return err
}
