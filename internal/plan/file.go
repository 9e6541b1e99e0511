// Package plan makes, seals, writes and reads plans. A plan file is text, one
// JSON object a line: a seal with the digest of all that follows, the header,
// and for each table a body, which says how many changes follow it, and those.
// It holds no secret, and any changed byte of it is refused. Files of format 1,
// of one table, are still read. The package opens no target and runs nothing.
package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"recount"
)

// magic begins every plan file; its number is the format's. magic1 began those
// of one table, whose body is a line of its own and whose changes are all that
// follow.
const (
	magic  = "recount-plan/2 sha256:"
	magic1 = "recount-plan/1 sha256:"
)

// part is the line before the changes of one table.
type part struct {
	Changes int              `json:"changes"` // how many lines follow
	Body    recount.PlanBody `json:"body"`
}

// change is a recount.Change as a line of the file.
type change struct {
	Action recount.Action  `json:"action"`
	Key    []recount.Value `json:"key"`
	Before []recount.Value `json:"before"`
	After  []recount.Value `json:"after"`
	Cause  recount.Cause   `json:"cause,omitempty"`
	Delta  []recount.Value `json:"delta,omitempty"`
	At     string          `json:"at,omitempty"`
	Event  string          `json:"event,omitempty"`
	// Adjusted is omitted where it is false.
	Adjusted bool `json:"adjusted,omitempty"`
}

// Seal gives the plan its id: the digest of its bodies and changes.
func Seal(p *recount.Plan) error {
	body, err := encodeBody(p)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	p.ID = hex.EncodeToString(sum[:])
	return nil
}

// Write writes the sealed plan.
func Write(w io.Writer, p *recount.Plan) error {
	var header bytes.Buffer
	if err := encode(&header, p.Header); err != nil {
		return err
	}
	body, err := encodeBody(p)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, _ = h.Write(header.Bytes()) // a hash never fails
	_, _ = h.Write(body)
	for _, part := range [][]byte{fmt.Appendf(nil, "%s%x\n", magic, h.Sum(nil)), header.Bytes(), body} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// encodeBody is each table's body and its changes, a line each.
func encodeBody(p *recount.Plan) ([]byte, error) {
	var line []byte
	for _, of := range p.Parts() {
		var b bytes.Buffer
		if err := encode(&b, part{Changes: len(of.Changes), Body: of.Body}); err != nil {
			return nil, err
		}
		line = append(line, b.Bytes()...)
		for _, c := range of.Changes {
			line = appendChange(line, c)
		}
	}
	return line, nil
}

// appendChange writes a change as encoding/json writes type change, which reads
// it; a plan may have a million of them.
func appendChange(b []byte, c recount.Change) []byte {
	b = append(append(b, `{"action":`...), quote(string(c.Action))...)
	b = appendValues(append(b, `,"key":`...), c.Key)
	b = appendValues(append(b, `,"before":`...), c.Before)
	b = appendValues(append(b, `,"after":`...), c.After)
	if c.Cause != "" {
		b = append(append(b, `,"cause":`...), quote(string(c.Cause))...)
	}
	if len(c.Delta) > 0 {
		b = appendValues(append(b, `,"delta":`...), c.Delta)
	}
	if c.Adjusted {
		b = append(b, `,"adjusted":true`...)
	}
	if c.At != "" {
		b = append(append(b, `,"at":`...), quote(c.At)...)
	}
	if c.Event != "" {
		b = append(append(b, `,"event":`...), quote(c.Event)...)
	}
	return append(b, '}', '\n')
}

func appendValues(b []byte, values []recount.Value) []byte {
	if values == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case v.Null:
			b = append(b, "null"...)
		case plain(v.Text):
			b = append(append(append(b, '"'), v.Text...), '"')
		default:
			b = append(b, quote(v.Text)...)
		}
	}
	return append(b, ']')
}

// plain says whether a text is its own JSON spelling.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// quote spells a text in JSON. Bytes that are no UTF-8 become U+FFFD, as JSON
// has no spelling for them: targets refuse such texts before.
func quote(s string) []byte {
	var b bytes.Buffer
	if err := encode(&b, s); err != nil {
		return []byte(`""`) // a string always encodes
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func encode(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Read reads a plan and checks its seal before anything of it is looked at.
// Every failure is a *recount.Error of code CodePlanDamaged, where but for a
// newer format. name is for messages.
func Read(r io.Reader, name string) (*recount.Plan, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read plan %q: %w", name, err)
	}
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	parse := parse
	want, ok := strings.CutPrefix(string(first), magic)
	if !ok {
		parse = parse1
		want, ok = strings.CutPrefix(string(first), magic1)
	}
	if !ok {
		return nil, damaged(name, first)
	}
	sum := sha256.Sum256(rest)
	if want != hex.EncodeToString(sum[:]) {
		return nil, damaged(name, nil)
	}
	p, err := parse(rest)
	if err != nil {
		return nil, damagedBy(name, "it is sealed, but "+err.Error())
	}
	return p, nil
}

func damaged(name string, first []byte) error {
	known := bytes.HasPrefix(first, []byte("recount-plan/1 ")) || bytes.HasPrefix(first, []byte("recount-plan/2 "))
	if bytes.HasPrefix(first, []byte("recount-plan/")) && !known {
		return &recount.Error{
			Code: recount.CodeNewerArchive, What: "the plan is of another format", Where: name,
			Why: "its first line says " + show(first), Next: "use the version of recount that made it, or plan again",
		}
	}
	if first != nil {
		return damagedBy(name, "its first line is "+show(first)+", not the seal of a plan")
	}
	return damagedBy(name, "its content does not match the digest in its first line: it was cut off or edited")
}

func show(line []byte) string {
	const most = 40
	return fmt.Sprintf("%.*q", most, line[:min(most, len(line))])
}

func damagedBy(name, why string) error {
	return &recount.Error{
		Code: recount.CodePlanDamaged, What: "the plan cannot be trusted", Where: name, Why: why,
		Next: "plan again, and apply the new file as it is; a plan is never edited by hand",
	}
}

// header reads the first line and returns the others.
func header(rest []byte, p *recount.Plan) ([][]byte, error) {
	lines := bytes.SplitAfter(rest, []byte("\n"))
	if len(lines) < 3 || len(lines[len(lines)-1]) != 0 { // header, body, and nothing after the last line's end
		return nil, errors.New("it is too short")
	}
	if err := strict(lines[0], &p.Header); err != nil {
		return nil, fmt.Errorf("its header cannot be read: %w", err)
	}
	sum := sha256.Sum256(rest[len(lines[0]):])
	p.ID = hex.EncodeToString(sum[:])
	return lines[1 : len(lines)-1], nil
}

func parse(rest []byte) (*recount.Plan, error) {
	p := &recount.Plan{}
	lines, err := header(rest, p)
	if err != nil {
		return nil, err
	}
	for n := 1; len(lines) > 0; n++ {
		var of part
		if err := strict(lines[0], &of); err != nil {
			return nil, fmt.Errorf("the body of its table %d cannot be read: %w", n, err)
		}
		if lines = lines[1:]; of.Changes < 0 || of.Changes > len(lines) {
			return nil, fmt.Errorf("its table %d has %d changes, and %d lines follow", n, of.Changes, len(lines))
		}
		changes, err := parseChanges(lines[:of.Changes])
		if err != nil {
			return nil, err
		}
		lines = lines[of.Changes:]
		if n == 1 {
			p.Body, p.Changes = of.Body, changes
			continue
		}
		p.With = append(p.With, recount.PlanPart{Body: of.Body, Changes: changes})
	}
	return p, Check(p)
}

// parse1 reads format 1, and says what it did not know in the words of today.
func parse1(rest []byte) (*recount.Plan, error) {
	p := &recount.Plan{}
	lines, err := header(rest, p)
	if err != nil {
		return nil, err
	}
	if err := strict(lines[0], &p.Body); err != nil {
		return nil, fmt.Errorf("its body cannot be read: %w", err)
	}
	p.Body.Touched, p.Body.Memory, p.Body.Write = -1, "window", recount.WriteSet
	if p.Changes, err = parseChanges(lines[1:]); err != nil {
		return nil, err
	}
	return p, Check(p)
}

func parseChanges(lines [][]byte) ([]recount.Change, error) {
	out := make([]recount.Change, len(lines))
	for i, line := range lines {
		var c change
		if err := strict(line, &c); err != nil {
			return nil, fmt.Errorf("change %d cannot be read: %w", i+1, err)
		}
		out[i] = recount.Change{Action: c.Action, Key: c.Key, Before: c.Before, After: c.After, Cause: c.Cause, Delta: c.Delta, At: c.At, Adjusted: c.Adjusted, Event: c.Event}
	}
	return out, nil
}

func strict(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}
