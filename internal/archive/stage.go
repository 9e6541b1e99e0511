package archive

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/engine"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/originals"
	"recount/source"
	"recount/store"
)

// StageOptions say which files are made ready for an engine.
type StageOptions struct {
	Snapshot recount.Snapshot
	Files    []recount.DataFile // of the snapshot: see cover.Select
	Fields   []recount.Field    // that the engine shall find in every file
	// Decoder reads payloads again where a file lacks a field, or has it with
	// another type or from another path.
	Decoder  func(format, header string) (source.Decoder, error)
	Dir      string // an empty folder for copies
	Progress recount.Progress
}

// Staged is files on this machine that an engine may read.
type Staged struct {
	Files []engine.File
	Marks []string
	// Extracted counts the files whose columns were made again from payloads.
	Extracted int
}

// Stage verifies files byte by byte and makes them ready: in place where the
// store is local and the columns are there, else as copies in Dir. Marks are
// left out where none of the files has one.
func (a *Archive) Stage(ctx context.Context, opts StageOptions) (Staged, error) {
	if opts.Progress == nil {
		opts.Progress = recount.Quiet{}
	}
	own, adopted := originals.Group(opts.Files)
	st := &staging{
		archive: a, opts: opts, files: make([]engine.File, len(opts.Files)), extra: make([]string, len(opts.Files)),
		adopted: make([]engine.File, 2*len(adopted)), extraAdopted: make([]string, len(adopted)),
	}
	total, marked := int64(0), int64(0)
	for _, i := range own {
		total += opts.Files[i].Bytes
	}
	for _, o := range adopted {
		total += o.Bytes
	}
	for _, f := range opts.Files {
		marked += f.Repeats + f.Conflicts + f.Faults
	}
	st.act = opts.Progress.Begin("verify archive", total)
	defer st.act.End()
	var marks []recount.MarksFile
	if marked > 0 {
		marks = opts.Snapshot.Marks
	}
	paths := make([]string, len(marks))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers())
	for _, i := range own {
		g.Go(func() error { return st.file(ctx, i, opts.Files[i]) })
	}
	for i, o := range adopted {
		g.Go(func() error {
			defer st.act.Add(o.Bytes)
			return st.original(ctx, i, o)
		})
	}
	for i, m := range marks {
		g.Go(func() (err error) {
			paths[i], err = a.local(ctx, m.Name, m.Bytes, m.SHA256, filepath.Join(opts.Dir, fmt.Sprintf("marks-%06d.parquet", i)))
			return a.damaged(m.Name, err)
		})
	}
	if err := g.Wait(); err != nil {
		return Staged{}, err
	}
	out := Staged{Marks: paths}
	for _, extra := range slices.Concat(st.extra, st.extraAdopted) {
		if extra != "" {
			out.Marks = append(out.Marks, extra)
		}
	}
	for _, i := range own {
		out.Files = append(out.Files, st.files[i])
		if !slices.Equal(opts.Files[i].Fields, st.files[i].Data.Fields) {
			out.Extracted++
		}
	}
	for _, f := range st.adopted {
		if f.Path != "" {
			out.Files = append(out.Files, f)
		}
	}
	return out, nil
}

// staging is one call of Stage.
type staging struct {
	archive *Archive
	opts    StageOptions
	act     recount.Act
	files   []engine.File
	extra   []string // marks of events that are faulty only under the new fields
	// Of each original two files, for known and unknown times, and marks as above.
	adopted      []engine.File
	extraAdopted []string
}

func (st *staging) file(ctx context.Context, i int, f recount.DataFile) error {
	copied := filepath.Join(st.opts.Dir, fmt.Sprintf("archived-%06d.parquet", i))
	path, err := st.archive.local(ctx, f.Name, f.Bytes, f.SHA256, copied)
	if err != nil {
		return st.archive.damagedFile(f, err)
	}
	st.act.Add(f.Bytes)
	if !hasFields(f.Fields, st.opts.Fields) {
		made := filepath.Join(st.opts.Dir, fmt.Sprintf("extracted-%06d.parquet", i))
		extra := filepath.Join(st.opts.Dir, fmt.Sprintf("faults-%06d.parquet", i))
		faults, err := st.extract(ctx, f, made, extra)
		if err != nil {
			return fmt.Errorf("extract fields of %q: %w", f.Name, err)
		}
		if path == copied {
			if err := os.Remove(copied); err != nil {
				return fmt.Errorf("remove copy of %q: %w", f.Name, err)
			}
		}
		path, f.Fields = made, st.opts.Fields
		if faults > 0 {
			f.Faults += faults
			st.extra[i] = extra
		}
	}
	st.files[i] = engine.File{Path: path, Data: f}
	return nil
}

// hasFields says whether a file has each declared field as declared. Its columns
// may be more.
func hasFields(have, want []recount.Field) bool {
	for _, f := range want {
		if !slices.Contains(have, f) {
			return false
		}
	}
	return true
}

// local verifies an object and returns its file: its own, or a copy at path.
func (a *Archive) local(ctx context.Context, name string, size int64, digest, path string) (string, error) {
	if l, ok := a.store.(store.Local); ok {
		if err := a.check(ctx, name, size, digest); err != nil {
			return "", err
		}
		return l.Path(name)
	}
	err := create(path, func(w io.Writer) error { return a.checkInto(ctx, name, size, digest, w) })
	return path, err
}

// create writes a scratch file.
func create(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return scratchError(path, err)
	}
	defer func() {
		if closeErr := f.Close(); err == nil && closeErr != nil {
			err = scratchError(path, closeErr)
		}
	}()
	const buffer = 256 << 10
	w := bufio.NewWriterSize(f, buffer)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return scratchError(path, err)
	}
	return nil
}

func scratchError(path string, err error) error {
	return &recount.Error{
		Code: recount.CodeStorage, What: "a scratch file cannot be written", Where: path, Why: err.Error(), Err: err,
		Next: "make room there, or set TMPDIR to a larger disk, then run the command again",
	}
}

// extract writes a copy of a verified file whose fields are read again from the
// payloads, with the marks of events that cannot be read now.
func (st *staging) extract(ctx context.Context, f recount.DataFile, path, marksPath string) (faults int64, err error) {
	decoder, err := st.decoder(f)
	if err != nil {
		return 0, err
	}
	var marks []recount.Mark
	err = create(path, func(out io.Writer) error {
		return st.archive.openFile(ctx, f.Name, func(ef *eventfile.File) error {
			x := &extraction{decoder: decoder, meta: eventfile.Meta{Stream: st.opts.Snapshot.Stream, Format: f.Format, Header: f.Header, Fields: st.opts.Fields}, out: out}
			for group := range ef.Groups() {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := x.group(ef, group); err != nil {
					return err
				}
			}
			marks = x.marks
			return x.w.Close()
		})
	})
	if err != nil || len(marks) == 0 {
		return 0, err
	}
	return int64(len(marks)), st.writeMarks(marksPath, marks)
}

func (st *staging) writeMarks(path string, marks []recount.Mark) error {
	return create(path, func(out io.Writer) error {
		w := eventfile.NewMarksWriter(out, st.opts.Snapshot.Stream)
		return errors.Join(w.Write(marks), w.Close())
	})
}

// madeFile is a file of the archive's form that is made while its events come.
type madeFile struct {
	path string
	meta eventfile.Meta
	file *os.File
	out  *bufio.Writer
	rows *eventfile.Rows
	w    *eventfile.Writer
}

func newMadeFile(path string, meta eventfile.Meta) (*madeFile, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, scratchError(path, err)
	}
	const buffer = 256 << 10
	return &madeFile{path: path, meta: meta, file: f, out: bufio.NewWriterSize(f, buffer), rows: eventfile.NewRows(meta.Fields)}, nil
}

func (m *madeFile) add(e *originals.Event) error {
	const most = 16 << 20
	if err := m.rows.Append(e.Seq, &e.Event, e.TimeKnown); err != nil {
		return err
	}
	if m.rows.Len() < eventfile.MaxGroupRows && m.rows.Bytes() < most {
		return nil
	}
	return m.flush()
}

func (m *madeFile) flush() (err error) {
	if m.w == nil {
		if m.w, err = eventfile.NewWriter(m.out, m.meta, m.rows); err != nil {
			return err
		}
	}
	err = m.w.Write(m.rows)
	m.rows.Reset()
	return err
}

func (m *madeFile) close() error {
	err := m.flush()
	if err == nil {
		err = m.w.Close()
	}
	if err == nil {
		err = m.out.Flush()
	}
	if err = errors.Join(err, m.file.Close()); err != nil {
		return scratchError(m.path, err)
	}
	return nil
}

func (st *staging) decoder(f recount.DataFile) (source.Decoder, error) {
	if st.opts.Decoder == nil {
		return nil, fmt.Errorf("decode payloads of format %q: %w", f.Format, recount.ErrUnsupported)
	}
	return st.opts.Decoder(f.Format, f.Header)
}

// extraction makes one file again.
type extraction struct {
	decoder source.Decoder
	meta    eventfile.Meta
	out     io.Writer
	w       *eventfile.Writer
	marks   []recount.Mark
}

func (x *extraction) group(ef *eventfile.File, group int) error {
	events, err := ef.Events(group, nil)
	if err != nil {
		return err
	}
	rows := eventfile.NewRows(x.meta.Fields)
	for i := range events {
		e := &events[i]
		now := x.decoder.Decode(e.Event)
		e.Fields = now.Fields
		if len(e.Fields) != len(x.meta.Fields) {
			e.Fields = nulls(len(x.meta.Fields))
		}
		for name, field := eventfile.Unsound(&e.Event, x.meta.Fields); field >= 0; name, field = eventfile.Unsound(&e.Event, x.meta.Fields) {
			e.Fields[field] = recount.Null
			now.Broken = append(now.Broken, name)
			now.Fault = joinFault(now.Fault, fmt.Sprintf("its %s is no UTF-8", name))
		}
		if now.Fault != "" && e.Fault == "" {
			m := recount.Mark{Seq: e.Seq, Kind: recount.MarkFault, ID: e.ID, Broken: now.Broken, Why: now.Fault}
			if e.TimeKnown {
				m.Time = e.Time
			}
			e.Fault = now.Fault
			x.marks = append(x.marks, m)
		}
		if err := rows.Append(e.Seq, &e.Event, e.TimeKnown); err != nil {
			return err
		}
	}
	if x.w == nil {
		if x.w, err = eventfile.NewWriter(x.out, x.meta, rows); err != nil {
			return err
		}
	}
	return x.w.Write(rows)
}
