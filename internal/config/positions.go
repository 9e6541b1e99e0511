package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"recount"
)

// maxPositionBytes bounds a file of positions: a topic has thousands of
// partitions at most.
const maxPositionBytes = 8 << 20

// ReadPositions reads where a paused worker stands: the next position to read,
// by partition, as the archive spells it. The file is a JSON object, lines such
// as 3:41200 or "3 41200", or what kafka-consumer-groups.sh --describe prints.
func ReadPositions(path string) (map[string]string, error) {
	text, err := readSmall(path)
	var list positionList
	if err == nil {
		list, err = parsePositions(text)
	}
	if err != nil {
		return nil, &recount.Error{
			Code: recount.CodeUsage, What: "the positions of the paused worker cannot be read", Where: path, Why: err.Error(), Err: err,
			Next: "write one line a partition, such as 3:41200, with the next position that the worker would read; " +
				"or save what kafka-consumer-groups.sh --describe --group GROUP prints while the worker stands still",
		}
	}
	return list, nil
}

func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("it is no plain file")
	}
	var text []byte
	if err == nil && info.Size() <= maxPositionBytes {
		text, err = os.ReadFile(path) //nolint:gosec // the user names the file
	}
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, wrapped.Err
	}
	switch {
	case err != nil:
		return nil, err
	case info.Size() > maxPositionBytes:
		return nil, fmt.Errorf("the file has over %d bytes", maxPositionBytes)
	}
	return text, nil
}

// positionList maps partitions to positions.
type positionList map[string]string

func (l positionList) add(partition, position string) error {
	_, padded, err := ParsePosition(partition + ":" + position)
	if err != nil {
		return fmt.Errorf("partition %q: %w", partition, err)
	}
	if _, twice := l[partition]; twice {
		return fmt.Errorf("partition %q stands twice", partition)
	}
	l[partition] = padded
	return nil
}

func parsePositions(text []byte) (positionList, error) {
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	list := positionList{}
	var err error
	switch {
	case !utf8.Valid(text):
		err = errors.New("the file is not UTF-8")
	case len(text) == 0:
		err = errors.New("the file is empty")
	case text[0] == '{':
		err = list.readJSON(text)
	default:
		err = list.readLines(strings.Split(string(text), "\n"))
	}
	if err == nil && len(list) == 0 {
		err = errors.New("the file names no partition")
	}
	return list, err
}

// readJSON reads {"0": 90100, "1": "88000"}. It goes token by token, since a
// partition that stands twice must not go by unseen.
func (l positionList) readJSON(text []byte) error {
	const form = `the JSON is no object of positions by partition, such as {"0": 90100}`
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", form, err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", form, err)
		}
		partition, ok := key.(string)
		if !ok {
			return errors.New(form)
		}
		value, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", form, err)
		}
		position := ""
		switch v := value.(type) {
		case string:
			position = v
		case json.Number:
			if position = v.String(); strings.Trim(position, "0123456789") != "" {
				return fmt.Errorf("partition %q: %s is no whole number of 0 or more", partition, position)
			}
		default:
			return fmt.Errorf("partition %q has no position; %s", partition, form)
		}
		if err := l.add(partition, position); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", form, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more stands after the JSON object; " + form)
	}
	return nil
}

func (l positionList) readLines(lines []string) error {
	var t *groupTable
	for i, line := range lines {
		cells := strings.Fields(line)
		switch {
		case len(cells) == 0:
			continue
		case slices.Contains(cells, "PARTITION") && slices.Contains(cells, "CURRENT-OFFSET"):
			if t == nil && len(l) > 0 {
				return fmt.Errorf("line %d begins a table after other lines", i+1)
			}
			t = t.head(cells)
		case t != nil:
			if err := t.row(l, cells); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		case strings.HasPrefix(line, "Consumer group ") && len(l) == 0:
			continue // the tool says so above its table: … has no active members.
		default:
			partition, position, ok := pair(cells)
			if !ok {
				return fmt.Errorf("line %d is no position such as 3:41200", i+1)
			}
			if err := l.add(partition, position); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		}
	}
	return nil
}

// pair reads P:N or P N.
func pair(cells []string) (partition, position string, ok bool) {
	switch len(cells) {
	case 1:
		i := strings.LastIndexByte(cells[0], ':')
		if i < 0 {
			return "", "", false
		}
		return cells[0][:i], cells[0][i+1:], true
	case 2:
		return cells[0], cells[1], true
	}
	return "", "", false
}

// groupTable is the table that kafka-consumer-groups.sh --describe prints.
type groupTable struct {
	at           map[string]int // columns by name
	topic, group string
}

// head begins a table; one tool's output can have several.
func (t *groupTable) head(cells []string) *groupTable {
	if t == nil {
		t = &groupTable{}
	}
	t.at = map[string]int{}
	for i, name := range cells {
		t.at[name] = i
	}
	return t
}

func (t *groupTable) row(l positionList, cells []string) error {
	cell := func(name string) string {
		if i, ok := t.at[name]; ok && i < len(cells) {
			return cells[i]
		}
		return ""
	}
	partition, offset := cell("PARTITION"), cell("CURRENT-OFFSET")
	switch {
	case offset == "":
		return errors.New("the row is shorter than the table's head")
	case partition == "-" || strings.Trim(partition, "0123456789") != "":
		return fmt.Errorf("%q is no partition", partition)
	case offset == "-":
		return fmt.Errorf("partition %s has no committed offset: the worker never committed there, or it was dropped", partition)
	case strings.Trim(offset, "0123456789") != "":
		return fmt.Errorf("partition %s: %q is no offset", partition, offset)
	}
	if id := cell("CONSUMER-ID"); id != "" && id != "-" {
		return fmt.Errorf("partition %s is held by the consumer %s, so the worker is not paused", partition, id)
	}
	for _, one := range []struct {
		name string
		seen *string
	}{{"TOPIC", &t.topic}, {"GROUP", &t.group}} {
		switch got := cell(one.name); {
		case got == "":
		case *one.seen == "":
			*one.seen = got
		case *one.seen != got:
			return fmt.Errorf("the table has a second %s, %s beside %s; keep the rows of one", strings.ToLower(one.name), got, *one.seen)
		}
	}
	return l.add(partition, offset)
}

// ParsePosition reads a partition and a position of it, as in 3:41200. The last
// colon divides them. The position comes back as the archive spells it.
func ParsePosition(text string) (partition, position string, err error) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 {
		return "", "", errors.New("a position is written with its partition, as in 3:41200")
	}
	partition, position = text[:i], text[i+1:]
	odd := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar }
	switch {
	case partition == "":
		return "", "", errors.New("the partition before the colon is missing, as in 3:41200")
	case position == "":
		return "", "", errors.New("the position after the colon is missing, as in 3:41200")
	case strings.ContainsFunc(text, odd):
		return "", "", errors.New("it has a space or a control character in it; a position is written as in 3:41200")
	case strings.HasPrefix(position, "-") || strings.HasPrefix(position, "+"):
		return "", "", errors.New("a position has no sign")
	case !strings.ContainsAny(position, "0123456789"):
		return "", "", errors.New("a position has a digit at least, as in 3:41200")
	}
	return partition, recount.PadPosition(position), nil
}

// PositionWindow joins the two edges of one partition, or says why they are no
// window.
func PositionWindow(from, to string) (recount.PositionWindow, error) {
	var w recount.PositionWindow
	var err error
	if w.Partition, w.From, err = ParsePosition(from); err != nil {
		return w, fmt.Errorf("%q: %w", clip(from), err)
	}
	partition, end, err := ParsePosition(to)
	switch {
	case err != nil:
		return w, fmt.Errorf("%q: %w", clip(to), err)
	case partition != w.Partition:
		return w, fmt.Errorf("the edges are of partition %q and of partition %q; a window has one", clip(w.Partition), clip(partition))
	case len(end) != len(w.From):
		// Positions compare as texts, which is their order only at one width.
		return w, errors.New("the edges are positions of different kinds: one is longer than the other")
	case w.From >= end:
		return w, errors.New("from is not before to; the end is excluded")
	}
	w.To = end
	return w, nil
}
