package rowfile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"recount"
)

// open opens a file of texts and unpacks it.
func open(path, packing string) (_ io.Reader, end func() error, err error) {
	f, err := os.Open(path) //nolint:gosec // the configuration's author names the file
	if err != nil {
		return nil, nil, err
	}
	const size = 1 << 18
	in := bufio.NewReaderSize(f, size)
	switch packing {
	case "gz":
		r, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("it is not packed with gz: %w", err), f.Close())
		}
		return bufio.NewReaderSize(r, size), func() error { return errors.Join(r.Close(), f.Close()) }, nil
	case "zst":
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("it is not packed with zst: %w", err), f.Close())
		}
		return bufio.NewReaderSize(r, size), func() error { r.Close(); return f.Close() }, nil
	}
	return in, f.Close, nil
}

// csvForm is CSV (RFC 4180) with a head.
type csvForm struct{ packing string }

// each calls head with the names, then row with every record.
func (c csvForm) each(path string, head func([]string) error, row func(int64, []string) error) (err error) {
	in, end, err := open(path, c.packing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	r := csv.NewReader(in)
	r.ReuseRecord = true
	names, err := r.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty: the first line names the columns")
	}
	if err != nil {
		return err
	}
	names = slices.Clone(names)
	names[0] = string(bytes.TrimPrefix([]byte(names[0]), []byte("\ufeff")))
	if err := head(names); err != nil {
		return err
	}
	for n := int64(1); ; n++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for i, text := range record {
			if !utf8.ValidString(text) {
				return fmt.Errorf("row %d, column %s: the text is not UTF-8", n, names[i])
			}
		}
		if err := row(n, record); err != nil {
			return err
		}
	}
}

func (c csvForm) columns(ctx context.Context, path string) (columns []recount.Column, err error) {
	var learned []Kinds
	rows := false
	err = c.each(path, func(names []string) error {
		for _, name := range names {
			columns = append(columns, recount.Column{Name: name, Nullable: true})
		}
		learned = make([]Kinds, len(names))
		return nil
	}, func(_ int64, record []string) error {
		rows = true
		for i, text := range record {
			if text != "" {
				learned[i].See(text)
			}
		}
		return ctx.Err()
	})
	if err == nil && !rows {
		err = errNoRow
	}
	for i := range columns {
		columns[i].Type = learned[i].Type()
	}
	return columns, err
}

func (c csvForm) read(_ context.Context, path string, columns []recount.Column, each func([]recount.Value) error) error {
	var at []int
	values := make([]recount.Value, len(columns))
	return c.each(path, func(names []string) (err error) {
		at, err = places(names, columns)
		return err
	}, func(n int64, record []string) error {
		for i, column := range columns {
			v := recount.Text(record[at[i]])
			if v.Text == "" && column.Type.Kind != recount.KindString {
				v = recount.Null
			}
			var err error
			if values[i], err = canonical(column, n, v); err != nil {
				return err
			}
		}
		return each(values)
	})
}

// jsonForm is one JSON object a line. Lines as `recount replay --json` writes
// them, {"type":"row","row":{…}}, are read too.
type jsonForm struct{ packing string }

// each calls row with the members of every line.
func (j jsonForm) each(path string, row func(int64, map[string]json.RawMessage) error) (err error) {
	in, end, err := open(path, j.packing)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	lines := bufio.NewReader(in)
	for n := int64(0); ; {
		line, err := lines.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			n++
			members, wrong := membersOf(text)
			if wrong != nil {
				return fmt.Errorf("row %d: %w", n, wrong)
			}
			if err := row(n, members); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func membersOf(line []byte) (members map[string]json.RawMessage, err error) {
	if !utf8.Valid(line) {
		return nil, errors.New("the line is not UTF-8")
	}
	if err := json.Unmarshal(line, &members); err != nil || members == nil {
		return nil, fmt.Errorf("the line is no JSON object: %w", errors.Join(err))
	}
	if row, ok := members["row"]; ok && string(members["type"]) == `"row"` {
		members = nil
		if err := json.Unmarshal(row, &members); err != nil {
			return nil, fmt.Errorf("its row is no JSON object: %w", err)
		}
	}
	return members, nil
}

// valueOf is a member as text: a number keeps its digits as they are written.
func valueOf(raw json.RawMessage) (recount.Value, bool, error) {
	switch text := bytes.TrimSpace(raw); {
	case len(text) == 0 || string(text) == "null":
		return recount.Null, true, nil
	case text[0] == '"':
		var s string
		err := json.Unmarshal(text, &s)
		return recount.Text(s), true, err
	case text[0] == '{' || text[0] == '[':
		return recount.Text(string(text)), false, nil
	default:
		return recount.Text(string(text)), true, nil
	}
}

func (j jsonForm) columns(ctx context.Context, path string) (columns []recount.Column, err error) {
	var names []string
	var rows int64
	learned, nested := map[string]*Kinds{}, map[string]bool{}
	err = j.each(path, func(n int64, members map[string]json.RawMessage) error {
		rows = n
		for name, raw := range members {
			k := learned[name]
			if k == nil {
				k = &Kinds{}
				learned[name], names = k, append(names, name)
			}
			v, plain, err := valueOf(raw)
			if err != nil {
				return fmt.Errorf("row %d, member %s: %w", n, name, err)
			}
			if nested[name] = nested[name] || !plain; !v.Null {
				k.See(v.Text)
			}
		}
		return ctx.Err()
	})
	if err == nil && rows == 0 {
		err = errNoRow
	}
	slices.Sort(names) // members of an object have no order
	for _, name := range names {
		c := recount.Column{Name: name, Type: learned[name].Type(), Nullable: true}
		if nested[name] {
			c.Type = recount.Type{Kind: recount.KindJSON}
		}
		columns = append(columns, c)
	}
	return columns, err
}

func (j jsonForm) read(_ context.Context, path string, columns []recount.Column, each func([]recount.Value) error) error {
	values := make([]recount.Value, len(columns))
	return j.each(path, func(n int64, members map[string]json.RawMessage) error {
		for i, column := range columns {
			v, _, err := valueOf(members[column.Name])
			if err != nil {
				return fmt.Errorf("row %d, member %s: %w", n, column.Name, err)
			}
			if values[i], err = canonical(column, n, v); err != nil {
				return err
			}
		}
		return each(values)
	})
}
