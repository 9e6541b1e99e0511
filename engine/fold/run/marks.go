package run

import (
	"errors"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/parquet/file"

	"recount"
)

// marks are the sequence numbers of events that are left out, sorted.
type marks []int64

// readMarks reads the marks of a spec: repeats count where it drops them, all
// others always.
func readMarks(paths []string, dedupe bool) (marks, error) {
	var all marks
	for _, path := range paths {
		if err := all.read(path, dedupe); err != nil {
			return nil, err
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (m *marks) read(path string, dedupe bool) (err error) {
	defer recovered(path, &err)
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		return fmt.Errorf("open marks %q: %w", path, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	slots := []slot{{name: "seq", form: formInt64, width: 8}, {name: "kind", form: formText}}
	b := &buffers{}
	for g := range r.NumRowGroups() {
		rows := int(r.MetaData().RowGroups[g].NumRows)
		columns := make([]column, len(slots))
		for i, s := range slots {
			columns[i].width = s.width
			at := r.MetaData().Schema.ColumnIndexByName(s.name)
			if at < 0 {
				return fmt.Errorf("read marks %q: there is no column %q", path, s.name)
			}
			cr, err := r.RowGroup(g).Column(at)
			if err != nil {
				return fmt.Errorf("read marks %q: %w", path, err)
			}
			l := &leaf{slot: s, chunk: cr, optional: cr.Descriptor().MaxDefinitionLevel() > 0, buffers: b}
			n, err := l.read(&columns[i], rows)
			if err = errors.Join(err, cr.Close()); err != nil {
				return fmt.Errorf("read marks %q: %w", path, err)
			}
			if n != rows {
				return fmt.Errorf("read marks %q: column %q has fewer rows than its group", path, s.name)
			}
		}
		for row := range rows {
			if dedupe || string(columns[1].at(row)) != string(recount.MarkRepeat) {
				*m = append(*m, columns[0].int64(row))
			}
		}
	}
	return nil
}

// cursor looks marks up; it is quick where they are asked for in growing order.
type cursor struct {
	marks marks
	at    int
}

func (c *cursor) has(seq int64) bool {
	if len(c.marks) == 0 {
		return false
	}
	if c.at > 0 && c.marks[c.at-1] >= seq || c.at < len(c.marks) && c.marks[c.at] < seq && c.at+1 < len(c.marks) && c.marks[c.at+1] < seq {
		c.at, _ = slices.BinarySearch(c.marks, seq)
	}
	for c.at < len(c.marks) && c.marks[c.at] < seq {
		c.at++
	}
	return c.at < len(c.marks) && c.marks[c.at] == seq
}
