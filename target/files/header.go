package files

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"recount"
)

// dialect is what a file's header says about how the file is written.
type dialect struct {
	delimiter byte
	names     []string
	bom       bool
	eol       string // the header's line end; "\n" where it has none
	body      int    // where the first record begins
}

// maxRecord bounds a record, so that a quote that nobody closed does not load
// all of a large file.
const maxRecord = 1 << 26

// readHeader reads the dialect from the beginning of a file.
func (t *Target) readHeader(r io.Reader) (dialect, error) {
	const least = 1 << 12
	head := make([]byte, 0, least)
	for {
		block := max(least, len(head)) // twice as much each time
		head = slices.Grow(head, block)
		n, err := io.ReadFull(r, head[len(head):len(head)+block])
		head = head[:len(head)+n]
		final := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !final {
			return dialect{}, t.unreadable(err)
		}
		d, err := t.parseHeader(head, final)
		if !errors.Is(err, errMore) {
			return d, err
		}
		if len(head) > maxRecord {
			return dialect{}, t.broken("the header goes on for more than 64 MiB: is a quote not closed?")
		}
	}
}

// parseHeader reads the dialect from b; errMore where the header goes on.
func (t *Target) parseHeader(b []byte, final bool) (dialect, error) {
	d := dialect{delimiter: t.delimiter, eol: "\n"}
	if len(b) < len(bom) && !final {
		return d, errMore
	}
	rest, marked := bytes.CutPrefix(b, []byte(bom))
	d.bom = marked
	if len(rest) == 0 {
		return d, t.broken("it has no header")
	}
	var rec record
	if err := d.parse(rest, final, &rec); err != nil {
		if errors.Is(err, errMore) {
			return d, err
		}
		return d, t.broken("line 1: " + err.Error())
	}
	if len(rec.fields) == 0 {
		return d, t.broken("line 1 is blank; it has to be the header")
	}
	seen := make(map[string]bool, len(rec.fields))
	for _, f := range rec.fields {
		name := string(appendText(nil, rest, f))
		switch {
		case !utf8.ValidString(name) || bytes.IndexByte([]byte(name), 0) >= 0:
			return d, t.broken("its header is no text in UTF-8: it is compressed, or of another encoding or format")
		case seen[name]:
			return d, t.broken(fmt.Sprintf("column %q stands twice in the header", name))
		}
		seen[name] = true
		d.names = append(d.names, name)
	}
	if end := rest[rec.end:rec.next]; len(end) > 0 {
		d.eol = string(end)
	}
	d.body = len(b) - len(rest) + rec.next
	return d, nil
}

// fingerprint is the SHA-256 of what a plan depends on, hex.
func (d dialect) fingerprint() (string, error) {
	text, err := json.Marshal(struct {
		Names     []string
		Delimiter string
		BOM       bool
	}{d.names, string(d.delimiter), d.bom})
	if err != nil {
		return "", fmt.Errorf("describe header: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// columns finds the places of the named columns.
func (t *Target) columns(d dialect, names []string) ([]int, error) {
	out := make([]int, len(names))
	for i, name := range names {
		if out[i] = slices.Index(d.names, name); out[i] < 0 {
			return nil, t.noColumn(name, d.names)
		}
	}
	return out, nil
}

// info describes the table.
func (t *Target) info(d dialect, ledger, lastRun string) (recount.TableInfo, error) {
	info := recount.TableInfo{
		Identity: recount.Identity{Adapter: name, Place: t.place, Table: t.place, Ledger: ledger},
		LastRun:  lastRun,
	}
	for _, n := range d.names {
		info.Columns = append(info.Columns, recount.Column{
			Name: n, Type: recount.Type{Kind: recount.KindString}, Declared: "csv", Nullable: true,
		})
	}
	var err error
	info.Fingerprint, err = d.fingerprint()
	return info, err
}
