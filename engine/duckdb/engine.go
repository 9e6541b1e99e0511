package duckdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"recount"
	"recount/adapter"
	"recount/engine"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Engine, "duckdb",
		"Runs SQL in embedded DuckDB, in a process of its own.",
		func(context.Context, adapter.Env, Config) (engine.Engine, error) { return New(), nil }))
}

// Config is the engine's block: it has no key.
type Config struct{}

// Engine runs SQL. It is safe for concurrent use. Close ends its child.
type Engine struct {
	mu     sync.Mutex
	idle   *process // one child is kept between uses: its start costs more than a check
	closed bool
}

// New returns an engine whose first child is already starting, so that it is
// ready when the caller has read its configuration.
func New() *Engine {
	e := &Engine{}
	if p, err := start(); err == nil {
		e.idle = p // an error comes back at the first use, which can report it
	}
	return e
}

// Kind returns "sql".
func (e *Engine) Kind() string { return "sql" }

// Close ends the child that is kept. Open sessions keep theirs.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	if e.idle != nil {
		e.idle.end()
		e.idle = nil
	}
	return nil
}

func (e *Engine) take() (*process, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("use engine: it is closed")
	}
	if p := e.idle; p != nil {
		e.idle = nil
		return p, nil
	}
	return start()
}

func (e *Engine) give(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || e.idle != nil || p.broken() {
		p.end()
		return
	}
	e.idle = p
}

// Check parses the logic, refuses what is not allowed and binds it against an
// empty relation of the stream's columns.
func (e *Engine) Check(ctx context.Context, logic recount.Logic, fields []recount.Field) ([]recount.Column, error) {
	if err := e.onlySQL(logic); err != nil {
		return nil, err
	}
	var answer checkAnswer
	err := e.once(ctx, request{Check: &checkRequest{Text: logic.Text, Path: logic.Path, Fields: fields, Opening: logic.Opening}}, &answer)
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", name(logic), err)
	}
	return answer.Columns, nil
}

// CheckCondition does the same for a condition over one event.
func (e *Engine) CheckCondition(ctx context.Context, condition string, fields []recount.Field) error {
	err := e.once(ctx, request{Check: &checkRequest{Text: condition, Condition: true, Fields: fields}}, &checkAnswer{})
	if err != nil {
		return fmt.Errorf("check condition: %w", err)
	}
	return nil
}

func (e *Engine) once(ctx context.Context, r request, answer any) error {
	p, err := e.take()
	if err != nil {
		return err
	}
	defer e.give(p)
	return p.call(ctx, r, answer)
}

func (e *Engine) onlySQL(logic recount.Logic) error {
	if logic.Kind == e.Kind() {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeUnsupported, What: fmt.Sprintf("this engine does not run logic of kind %q", logic.Kind), Where: logic.Path,
		Why: "it runs SQL alone", Next: "give the calculation `sql: FILE`", Err: recount.ErrUnsupported,
	}
}

// Open hands the input to a child, which reads its marks and no event yet.
func (e *Engine) Open(ctx context.Context, input engine.Input) (engine.Session, error) {
	r := openRequest{
		Stream: input.Stream, Fields: input.Fields, Window: input.Window, Limits: input.Limits,
		Read: input.Read, Hits: input.Hits, Until: input.Until, Order: input.Order, Bucketed: !input.Bucket.None(),
		Upcasts: input.Upcasts, Faults: input.Faults,
	}
	var err error
	if r.Scratch, err = filepath.Abs(input.Scratch); err != nil {
		return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
	}
	for _, f := range input.Files {
		if f.Path, err = plainPath(f.Path); err != nil {
			return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
		}
		r.Files = append(r.Files, openFile{
			Path: f.Path, Rows: f.Data.Rows, FirstSeq: f.Data.FirstSeq, LastSeq: f.Data.LastSeq,
			FirstTime: f.Data.FirstTime, LastTime: f.Data.LastTime, TimeKnown: f.Data.TimeKnown, Before: f.Data.Before, Arrivals: f.Data.Arrivals,
		})
	}
	for _, m := range input.Marks {
		if m, err = plainPath(m); err != nil {
			return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
		}
		r.Marks = append(r.Marks, m)
	}
	if input.Opening != "" {
		if r.Opening, err = plainPath(input.Opening); err != nil {
			return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
		}
	}
	for _, l := range input.Lookups {
		if l.File, err = plainPath(l.File); err != nil {
			return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
		}
		r.Lookups = append(r.Lookups, l)
	}
	s := &session{engine: e, input: input, scratch: r.Scratch, lists: map[*recount.IDList]string{}}
	if r.Hits.IDs, err = s.sentIDs(input.Hits.IDs); err != nil {
		return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
	}
	p, err := e.take()
	if err != nil {
		return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
	}
	if err := p.call(ctx, request{Open: &r}, &struct{}{}); err != nil {
		e.give(p)
		return nil, fmt.Errorf("open replay of %s: %w", input.Stream, err)
	}
	s.child = p
	return s, nil
}

// plainPath returns the absolute path, which must be one that no part of DuckDB
// can take for an address or a list.
func plainPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if strings.ContainsRune(abs, 0) {
		return "", fmt.Errorf("path %q holds a NUL", path)
	}
	return abs, nil
}

func name(logic recount.Logic) string {
	if logic.Path == "" {
		return "SQL"
	}
	return logic.Path
}
