// Package rowfile reads files of rows that something else recalculated: Parquet,
// CSV with a head, and JSON lines, the last two also packed with gzip or zstd.
//
// Parquet says what its columns are. The texts of CSV and the values of JSON
// lines do not, so every one of them is looked at: a column is a number, a time,
// a date or a bool only where all its values are one without doubt, and a string
// otherwise; 007 is a string. An empty field of CSV is an empty string in a column
// of strings and NULL in every other.
//
// What always holds: no value loses a digit; a value that its column's type
// cannot hold is an error that names the row; a damaged file is an error, never a
// panic and never fewer rows.
package rowfile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"recount"
)

// File is a file of rows. Its content must not change while it is used.
type File struct {
	path    string // where it is read
	shown   string // as the person named it
	form    form
	columns []recount.Column
}

// form is one way of writing rows.
type form interface {
	// columns returns what columns the file has.
	columns(ctx context.Context, path string) ([]recount.Column, error)
	// read calls each with the values of the columns of those names, canonical
	// under their types. The values are valid until the next call.
	read(ctx context.Context, path string, columns []recount.Column, each func([]recount.Value) error) error
}

// Open finds the columns of the file at path, whose ending says what it is;
// messages name it as shown.
func Open(ctx context.Context, path, shown string) (*File, error) {
	f := &File{path: path, shown: shown, form: formOf(path)}
	var err error
	if f.form == nil {
		return nil, f.refuse(recount.CodeLogicFile, errors.New("its ending names no form of rows"), "name a file that ends in .parquet, .csv or .jsonl (these also .gz or .zst)")
	}
	if f.columns, err = f.form.columns(ctx, path); errors.Is(err, errNoRow) {
		return nil, f.refuse(recount.CodeRows, err, "check that these rows were made for this window")
	}
	if err != nil {
		return nil, f.refuse(recount.CodeLogicFile, err, "write the file again, or name another under rows:")
	}
	for i, c := range f.columns {
		if twice(f.columns[:i], c.Name) {
			return nil, f.refuse(recount.CodeLogicFile, fmt.Errorf("it has two columns %q", c.Name), "give each column a name of its own")
		}
	}
	return f, nil
}

// errNoRow says that a file of texts has no row.
var errNoRow = errors.New("it holds no row, so nothing says what its columns are")

// Lines is a file of JSON lines whose columns are known: it is not looked at.
func Lines(path, shown string, columns []recount.Column) *File {
	return &File{path: path, shown: shown, form: jsonForm{}, columns: columns}
}

func twice(before []recount.Column, name string) bool {
	for _, c := range before {
		if c.Name == name {
			return true
		}
	}
	return false
}

// formOf is nil where the ending says nothing.
func formOf(name string) form {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, ".parquet") {
		return parquetForm{}
	}
	plain, packed := strings.CutSuffix(name, ".gz")
	packing := ""
	if packed {
		packing = "gz"
	} else if plain, packed = strings.CutSuffix(name, ".zst"); packed {
		packing = "zst"
	}
	switch {
	case strings.HasSuffix(plain, ".csv"):
		return csvForm{packing}
	case strings.HasSuffix(plain, ".jsonl"):
		return jsonForm{packing}
	}
	return nil
}

// Columns returns the file's columns, in its order, with their types. A type of
// kind "" belongs to a column that rows cannot be compared by, such as a list;
// Declared then says what it is.
func (f *File) Columns() []recount.Column { return f.columns }

// Typed says whether the file itself says what its columns are. Where it does
// not, Read takes other types than Columns gave.
func (f *File) Typed() bool {
	_, ok := f.form.(parquetForm)
	return ok
}

// Read calls each with every row: the values of the columns of those names, in
// their order, canonical under their types and valid until the next call. Rows
// come in the file's order.
func (f *File) Read(ctx context.Context, columns []recount.Column, each func([]recount.Value) error) error {
	var own error // of each, which says itself what is wrong
	err := f.form.read(ctx, f.path, columns, func(values []recount.Value) error {
		if own = ctx.Err(); own == nil {
			own = each(values)
		}
		return own
	})
	switch {
	case own != nil:
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return f.refuse(recount.CodeRows, err, "mend the rows where they are made, and write the file again")
	}
	return nil
}

func (f *File) refuse(code recount.Code, err error, next string) error {
	return &recount.Error{Code: code, What: "the rows cannot be read", Where: f.shown, Why: err.Error(), Next: next, Err: err}
}

// canonical is v as a value of the column; row counts from 1.
func canonical(c recount.Column, row int64, v recount.Value) (recount.Value, error) {
	if v.Null {
		return v, nil
	}
	text, err := recount.Canonical(c.Type, v.Text)
	if err != nil {
		return v, fmt.Errorf("row %d, column %s: %w", row, c.Name, err)
	}
	return recount.Text(text), nil
}

// places returns where columns stand among names.
func places(names []string, columns []recount.Column) ([]int, error) {
	at := make([]int, len(columns))
	for i, c := range columns {
		at[i] = -1
		for j, name := range names {
			if name == c.Name {
				at[i] = j
			}
		}
		if at[i] < 0 {
			return nil, fmt.Errorf("it has no column %s", c.Name)
		}
	}
	return at, nil
}
