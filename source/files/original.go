package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"recount"
	"recount/source"
)

// ReadOriginals hands over the files that cursor does not know, each read as one
// that cannot grow. Where Read has begun a file and not come to its end, there is
// no watermark: what is left of it may be of any time.
func (s *Source) ReadOriginals(ctx context.Context, cursor source.Cursor, emit func(source.Original, source.Batch) error) (source.End, error) {
	behind := false
	end, err := s.readAll(ctx, cursor, func(q *sequence, f file) (int64, error) {
		if note, known := cursor[f.partition]; known {
			size, ended, err := s.untouched(ctx, f, note)
			behind = behind || !ended
			return size, err
		}
		f.whole = true
		following, err := q.follow(f, func(b source.Batch) error {
			o, err := s.original(f, b.Cursor)
			if err != nil {
				return err
			}
			return emit(o, b)
		})
		if err != nil {
			return 0, err
		}
		return s.readFile(ctx, f, "", following)
	})
	if behind {
		end.Watermark = time.Time{}
	}
	return end, err
}

// untouched checks a file that is archived already. One that Read has begun is
// Read's to end.
func (s *Source) untouched(ctx context.Context, f file, note string) (size int64, ended bool, err error) {
	st, err := parseCursor(note)
	if err != nil {
		return 0, false, recount.Located(err, s.where(f.partition))
	}
	if st.Whole && st.Done {
		size, err = s.readFile(ctx, f, note, func(source.Batch) error { return nil })
		return size, true, err
	}
	size, err = f.size()
	if err != nil {
		return 0, false, s.fault(f, "it cannot be read", err)
	}
	return size, !st.Whole && size == st.Size, nil
}

// original says what a file is, by the cursor of one of its batches.
func (s *Source) original(f file, cursor string) (source.Original, error) {
	st, err := parseCursor(cursor)
	if err != nil {
		return source.Original{}, err
	}
	note := originalNote{Packing: string(f.packing), Hive: len(f.columns) > 0}
	if s.names != nil {
		note.Log, note.Base = f.log, f.base
	}
	return source.Original{
		Origin: s.shelf.origin(f.partition), Format: string(f.format), Header: note.String(), Bytes: st.Size, SHA256: st.SHA256,
	}, nil
}

// ReadOriginal reads a file again whose bytes are still those of o.
func (s *Source) ReadOriginal(ctx context.Context, o source.Original, emit func(source.Batch) error) error {
	f, err := s.adopted(o)
	if err != nil {
		return err
	}
	expected := state{Size: o.Bytes, SHA256: o.SHA256, Whole: true}
	if f.log != f.partition {
		expected.Log, expected.Base = f.log, f.base
	}
	_, err = s.readFile(ctx, f, expected.String(), func(b source.Batch) error {
		b.Cursor, b.Gaps = "", nil
		return emit(b)
	})
	told, _ := errors.AsType[*recount.Error](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.damaged(o, "an adopted file is missing", "it is not where it was adopted", err)
	case told != nil && told.Code == recount.CodeSourceChanged:
		return s.damaged(o, "an adopted file was changed", told.Why, err)
	}
	return err
}

func (s *Source) damaged(o source.Original, what, why string, err error) error {
	return &recount.Error{
		Code: recount.CodeDamaged, What: what, Where: o.Origin, Why: why, Err: err,
		Next: "put the file back as it was when it was adopted, then: recount archive verify " + s.env.Stream,
	}
}

// adopted describes a file as it was adopted.
func (s *Source) adopted(o source.Original) (file, error) {
	var note originalNote
	if o.Header != "" {
		if err := json.Unmarshal([]byte(o.Header), &note); err != nil {
			return file{}, fmt.Errorf("read the note about %q: %w", o.Origin, err)
		}
	}
	if !slices.Contains(formats, format(o.Format)) {
		return file{}, &recount.Error{
			Code: recount.CodeNewerArchive, What: fmt.Sprintf("adopted files of format %q cannot be read", o.Format), Where: o.Origin,
			Why: "this version does not know it", Next: "use a newer version of recount",
		}
	}
	name, ok := s.shelf.name(o.Origin)
	if !ok {
		return file{}, &recount.Error{
			Code: recount.CodeConfig, What: "an adopted file lies in another place than the source", Where: o.Origin,
			Why:  fmt.Sprintf("source %q reads %s", s.env.Stream, s.Info().Place),
			Next: "put store: of the source back as it was when the file was adopted, and give new files a source of their own",
		}
	}
	f := file{path: s.shelf.path(name), partition: name, log: name, base: 1, format: format(o.Format), packing: packing(note.Packing), listed: -1, whole: true}
	if note.Log != "" {
		f.log, f.base = note.Log, note.Base
	}
	if note.Hive {
		f.columns = hiveColumns(name)
	}
	return f, nil
}

// originalNote is what Original.Header holds: how the file was read, so that it is
// read so again whatever the configuration says by then.
type originalNote struct {
	Packing string `json:"packing,omitempty"`
	Hive    bool   `json:"hive,omitempty"`
	Log     string `json:"partition,omitempty"` // where the name says it
	Base    int64  `json:"offset,omitempty"`
}

func (n originalNote) String() string {
	b, err := json.Marshal(n)
	if err != nil || string(b) == "{}" { // texts and numbers always have a JSON form
		return ""
	}
	return string(b)
}
