package app

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"recount"
	"recount/internal/app/incident"
	"recount/internal/app/outfile"
)

// EffectsRequest asks what a worker would have sent.
type EffectsRequest struct {
	Calculation string
	Window      WindowRequest
	As          string // the version of the logic that is to be run for all events; empty: each for its time
	Out         string // a file of all effects; empty: none
	OutDiffer   string // a file of those that were not sent so; empty: none
	Overrides   Overrides
}

// effectForms are the endings of a file of effects.
var effectForms = []string{".jsonl", ".csv", ".parquet"}

// Effects lists what a calculation's worker would have sent in a window and, where a
// log of effects is archived, how what was sent differs. It sends nothing. Where
// asJSON, w gets the differences, or all effects where there is no log and no file.
func (a *App) Effects(ctx context.Context, req EffectsRequest, w io.Writer, asJSON bool) (out Effected, err error) {
	began := a.now()
	for _, file := range []string{req.Out, req.OutDiffer} {
		if file != "" && !slices.Contains(effectForms, strings.ToLower(filepath.Ext(file))) {
			return out, wrongFlags(file+" is no file of effects", "the ending says how they are written", "name a file that ends in "+strings.Join(effectForms, ", "))
		}
		if err := a.free(outfile.Effects, file); err != nil {
			return out, err
		}
	}
	a.as = req.As
	r, err := a.prepareEvents(ctx, req.Calculation, req.Window)
	if err != nil {
		return out, err
	}
	calc, err := a.Project.Calculation(req.Calculation)
	if err != nil {
		return out, err
	}
	logged := calc.Effects != nil && calc.Effects.Log != nil
	if !logged && req.OutDiffer != "" {
		return out, wrongFlags("--differences needs a log of effects", "nothing says what was really sent", "name it under effects: log: in recount.yaml, or leave --differences away")
	}
	list := func(add func(recount.Effect) error) error {
		out, err = r.Effects(ctx, req.Overrides, add)
		return err
	}
	written := func(form string) func(io.Writer) error {
		return func(w io.Writer) error {
			file := newEffectFile(form, w)
			return errors.Join(list(func(e recount.Effect) error { return file.add(effectLineOf(e)) }), file.close())
		}
	}
	switch {
	case req.Out != "":
		err = outfile.Effects.Write(a.path(req.Out), req.Out, written(filepath.Ext(req.Out)))
	case asJSON && !logged:
		err = a.deliver(w, "", written(".jsonl"))
	default:
		err = list(func(recount.Effect) error { return nil })
	}
	if err != nil {
		return out, err
	}
	differ := func(form string) func(io.Writer) error {
		return func(w io.Writer) error { return writeDifferences(newEffectFile(form, w), out.Differences) }
	}
	if req.OutDiffer != "" {
		err = outfile.Effects.Write(a.path(req.OutDiffer), req.OutDiffer, differ(filepath.Ext(req.OutDiffer)))
	}
	if err == nil && asJSON && logged {
		err = differ(".jsonl")(w)
	}
	out.Out, out.OutDiffer, out.TookMS = req.Out, req.OutDiffer, a.now().Sub(began).Milliseconds()
	return out, err
}

func writeDifferences(file effectFile, list []incident.EffectDifferent) error {
	for _, d := range list {
		if err := file.add(differenceLine(d)); err != nil {
			return errors.Join(err, file.close())
		}
	}
	return file.close()
}

// effectLine is an effect in a file. An empty text is null.
type effectLine struct {
	Type       string          `json:"type"`
	Schema     int             `json:"schema"`
	Difference *string         `json:"difference"`
	Kind       *string         `json:"kind"`
	Key        *string         `json:"key"`
	EventID    *string         `json:"event_id"`
	Partition  *string         `json:"partition"`
	Position   *string         `json:"position"`
	Time       *string         `json:"time"`
	Payload    json.RawMessage `json:"payload"`
	Sent       *sentLine       `json:"sent"`
	Why        *string         `json:"why"`
	Cause      *string         `json:"cause"`
}

// sentLine is what the log says was sent.
type sentLine struct {
	ID        *string         `json:"id"`
	Partition *string         `json:"partition"`
	Position  *string         `json:"position"`
	Time      *string         `json:"time"`
	Payload   json.RawMessage `json:"payload"`
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func effectLineOf(e recount.Effect) effectLine {
	at := recount.FormatTimestamp(e.Time)
	return effectLine{
		Type: "effect", Schema: 1, Kind: &e.Kind, Key: &e.Key, EventID: orNil(e.EventID), Partition: orNil(e.Partition), Position: orNil(recount.ShortPosition(e.Position)),
		Time: &at, Payload: e.Payload,
	}
}

func differenceLine(d incident.EffectDifferent) effectLine {
	var line effectLine
	if d.Right != nil {
		line = effectLineOf(*d.Right)
	} else {
		line = effectLine{Type: "effect", Schema: 1, Kind: &d.Sent.Kind, Key: &d.Sent.Key, EventID: orNil(d.Sent.EventID)}
	}
	if s := d.Sent; s != nil {
		at := recount.FormatTimestamp(s.Time)
		line.Sent = &sentLine{ID: orNil(s.ID), Partition: orNil(s.Partition), Position: orNil(recount.ShortPosition(s.Position)), Time: &at, Payload: json.RawMessage(s.Payload)}
	}
	line.Difference, line.Why, line.Cause = orNil(string(d.Reason)), orNil(d.Why), orNil(string(d.Cause))
	return line
}

// cells are the line as a row: the columns of effectColumns.
func (l effectLine) cells() []*string {
	cells := []*string{l.Difference, l.Kind, l.Key, l.EventID, l.Partition, l.Position, l.Time, orNil(string(l.Payload)), nil, nil, nil, nil, nil, l.Why, l.Cause}
	if s := l.Sent; s != nil {
		sent := string(s.Payload)
		copy(cells[8:], []*string{s.ID, s.Partition, s.Position, s.Time, &sent})
	}
	return cells
}

var effectColumns = []string{
	"difference", "kind", "key", "event_id", "partition", "position", "time", "payload",
	"sent_id", "sent_partition", "sent_position", "sent_time", "sent_payload", "why", "cause",
}

// effectFile writes effects in one form.
type effectFile interface {
	add(effectLine) error
	close() error
}

func newEffectFile(form string, w io.Writer) effectFile {
	switch strings.ToLower(form) {
	case ".csv":
		c := csv.NewWriter(w)
		_ = c.Write(effectColumns) // close tells
		return csvEffects{c}
	case ".parquet":
		return &parquetEffects{out: w}
	}
	b := bufio.NewWriterSize(w, 1<<16)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	return lineEffects{b, enc}
}

type lineEffects struct {
	out *bufio.Writer
	enc *json.Encoder
}

func (l lineEffects) add(line effectLine) error { return l.enc.Encode(line) }
func (l lineEffects) close() error              { return l.out.Flush() }

type csvEffects struct{ out *csv.Writer }

func (c csvEffects) add(line effectLine) error {
	cells := line.cells()
	record := make([]string, len(cells))
	for i, cell := range cells {
		if cell != nil {
			record[i] = *cell
		}
	}
	return c.out.Write(record)
}

func (c csvEffects) close() error {
	c.out.Flush()
	return c.out.Error()
}

// effectGroup is how many effects a row group of Parquet has.
const effectGroup = 1 << 16

type parquetEffects struct {
	out    io.Writer
	file   *pqarrow.FileWriter
	rows   *array.RecordBuilder
	length int
}

func (p *parquetEffects) open() error {
	if p.file != nil {
		return nil
	}
	fields := make([]arrow.Field, len(effectColumns))
	for i, name := range effectColumns {
		fields[i] = arrow.Field{Name: name, Type: arrow.BinaryTypes.String, Nullable: true}
	}
	schema := arrow.NewSchema(fields, nil)
	file, err := pqarrow.NewFileWriter(schema, unclosed{p.out}, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.DefaultWriterProps())
	if err != nil {
		return fmt.Errorf("write effects as Parquet: %w", err)
	}
	p.file, p.rows = file, array.NewRecordBuilder(memory.DefaultAllocator, schema)
	return nil
}

func (p *parquetEffects) add(line effectLine) error {
	if err := p.open(); err != nil {
		return err
	}
	for i, cell := range line.cells() {
		column := p.rows.Field(i).(*array.StringBuilder)
		if cell == nil {
			column.AppendNull()
			continue
		}
		column.Append(*cell)
	}
	if p.length++; p.length < effectGroup {
		return nil
	}
	return p.flush()
}

func (p *parquetEffects) flush() error {
	p.length = 0
	batch := p.rows.NewRecordBatch()
	defer batch.Release()
	return p.file.Write(batch)
}

func (p *parquetEffects) close() error {
	if err := p.open(); err != nil {
		return err
	}
	defer p.rows.Release()
	if p.length > 0 {
		if err := p.flush(); err != nil {
			return errors.Join(err, p.file.Close())
		}
	}
	return p.file.Close()
}

// unclosed keeps a file open when its Parquet ends.
type unclosed struct{ io.Writer }
