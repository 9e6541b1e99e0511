package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/sim/archive/fakebus"
)

// findings are what is wrong with an archive.
type findings struct {
	Lost    int `json:"lost"`    // events that are in no file
	Doubled int `json:"doubled"` // events that are in files more than once
	Damaged int `json:"damaged"` // everything else
	first   string

	compacted bool // the log has a commit of a compaction
}

func (f *findings) note(count *int, format string, args ...any) {
	*count++
	if f.first == "" {
		f.first = fmt.Sprintf(format, args...)
	}
}

func (f *findings) damaged(format string, args ...any) { f.note(&f.Damaged, format, args...) }

func (f *findings) any() bool { return f.Lost+f.Doubled+f.Damaged > 0 }

// logged is what the oracle reads of a commit. It reads the log by itself: of the
// product it uses the reading of rows alone.
type logged struct {
	object   []byte
	Previous string
	LastSeq  int64 `json:"last_seq"`
	Cursor   map[string]string
	Files    []object
	Marks    []object
	Gaps     []recount.Gap
	Replaces []string
}

type object struct {
	Name   string
	SHA256 string
	Bytes  int64
	Rows   int64
}

var framed = regexp.MustCompile(`(?s)^\{"sha256":"([0-9a-f]{64})","body":(\{.*\})\}\n$`)

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readLog reads commits from 1 on, each proved by the one before.
func readLog(files map[string][]byte) ([]logged, error) {
	var log []logged
	previous := ""
	for {
		name := fmt.Sprintf("_recount/%s/commits/%020d.json", stream, len(log)+1)
		text, ok := files[name]
		if !ok {
			for other := range files {
				if strings.HasPrefix(other, "_recount/"+stream+"/commits/") && other > name {
					return log, fmt.Errorf("%s is there, but not %s", other, name)
				}
			}
			return log, nil
		}
		parts := framed.FindSubmatch(text)
		if parts == nil || digest(parts[2]) != string(parts[1]) {
			return log, fmt.Errorf("%s is not as it was written", name)
		}
		c := logged{object: text}
		if err := json.Unmarshal(parts[2], &c); err != nil {
			return log, fmt.Errorf("%s: %w", name, err)
		}
		if c.Previous != previous {
			return log, fmt.Errorf("%s does not follow the commit before it", name)
		}
		previous = string(parts[1])
		log = append(log, c)
	}
}

// oracle judges archives of one scenario. Rows of an object are read once, since
// most of its archives begin alike.
type oracle struct {
	rows  map[string][]eventfile.Stored
	marks map[string][]recount.Mark
}

func newOracle() *oracle {
	return &oracle{rows: map[string][]eventfile.Stored{}, marks: map[string][]recount.Mark{}}
}

// judge compares an archive that has read all with what there was to read. before
// is the commit log that the crash left.
func (o *oracle) judge(files map[string][]byte, truth fakebus.Truth, before []logged) (f findings) {
	log, err := readLog(files)
	if err != nil {
		f.damaged("%v", err)
	}
	if len(log) < len(before) {
		f.damaged("%d commits were there after the crash, and %d are there now", len(before), len(log))
	}
	for i := range min(len(before), len(log)) {
		if !bytes.Equal(before[i].object, log[i].object) {
			f.damaged("commit %d was changed", i+1)
		}
	}
	events := o.events(&f, files, log)
	o.exactlyOnce(&f, events, truth)
	o.tiled(&f, events, log, truth)
	o.judgedRight(&f, files, events, log)
	return f
}

// current are the files that count at the end of the log.
func (f *findings) current(log []logged) []object {
	var list []object
	for _, c := range log {
		f.compacted = f.compacted || len(c.Replaces) > 0
		list = slices.DeleteFunc(list, func(o object) bool { return slices.Contains(c.Replaces, o.Name) })
		list = append(list, c.Files...)
	}
	return list
}

func (o *oracle) intact(f *findings, files map[string][]byte, at object) bool {
	data, ok := files[at.Name]
	switch {
	case !ok:
		f.damaged("%s is missing", at.Name)
	case int64(len(data)) != at.Bytes || digest(data) != at.SHA256:
		f.damaged("%s has other bytes than were committed", at.Name)
	default:
		return true
	}
	return false
}

// events reads all rows, and checks their numbers and folders.
func (o *oracle) events(f *findings, files map[string][]byte, log []logged) []eventfile.Stored {
	var all []eventfile.Stored
	seen := map[int64]bool{}
	for _, at := range f.current(log) {
		if !o.intact(f, files, at) {
			continue
		}
		rows, known := o.rows[at.SHA256]
		if !known {
			var err error
			if rows, err = readEvents(files[at.Name]); err != nil {
				f.damaged("%s: %v", at.Name, err)
			}
			o.rows[at.SHA256] = rows
		}
		for _, e := range rows {
			want := "date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__"
			if e.TimeKnown {
				want = e.Time.UTC().Format("date=2006-01-02/hour=15")
			}
			if !strings.HasPrefix(at.Name, stream+"/"+want+"/") {
				f.damaged("an event of %s lies in %s", e.Time, at.Name)
			}
			if seen[e.Seq] {
				f.damaged("number %d stands twice", e.Seq)
			}
			seen[e.Seq] = true
		}
		all = append(all, rows...)
	}
	slices.SortFunc(all, func(a, b eventfile.Stored) int { return cmp.Compare(a.Seq, b.Seq) })
	return all
}

func readEvents(data []byte) (rows []eventfile.Stored, err error) {
	ef, err := eventfile.Open(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer func() { _ = ef.Close() }()
	for group := range ef.Groups() {
		events, err := ef.Events(group, nil)
		if err != nil {
			return rows, err
		}
		rows = append(rows, events...)
	}
	return rows, nil
}

func (o *oracle) exactlyOnce(f *findings, events []eventfile.Stored, truth fakebus.Truth) {
	got := map[string]int{}
	for _, e := range events {
		key := e.Partition + "@" + e.Position
		want, ok := truth.Events[key]
		if !ok {
			want = truth.Optional[key]
		}
		if want != digest(e.Data) {
			f.damaged("the event at %s has other bytes", key)
		}
		if at := truth.Times[key]; e.TimeKnown && !e.Time.Equal(at) || !e.TimeKnown && at.Year() < 10_000 && !at.IsZero() {
			f.damaged("the event at %s has time %s, not %s", key, e.Time, at)
		}
		if got[key]++; got[key] > 1 {
			f.note(&f.Doubled, "the event at %s is there %d times", key, got[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(truth.Events)) {
		if got[key] == 0 {
			f.note(&f.Lost, "the event at %s is not there", key)
		}
	}
}

// tiled checks that each position of a partition holds an event or lies in a gap
// that the log tells, and not both.
func (o *oracle) tiled(f *findings, events []eventfile.Stored, log []logged, truth fakebus.Truth) {
	type span struct{ from, to int64 }
	spans := map[string][]span{}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			f.damaged("position %q is none", text)
		}
		return n
	}
	for _, e := range events {
		n := number(e.Position)
		spans[e.Partition] = append(spans[e.Partition], span{n, n + 1})
	}
	for _, c := range log {
		for _, g := range c.Gaps {
			spans[g.Partition] = append(spans[g.Partition], span{number(g.From), number(g.To)})
		}
	}
	for _, partition := range slices.Sorted(maps.Keys(truth.Next)) {
		list := spans[partition]
		slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		next := int64(0)
		for _, s := range list {
			switch {
			case s.from < next && s.to == s.from+1: // an event: it was counted
			case s.from != next:
				f.damaged("partition %s: after position %d comes %d", partition, next, s.from)
			}
			next = max(next, s.to)
		}
		if next != truth.Next[partition] {
			f.damaged("partition %s ends at %d, not at %d", partition, next, truth.Next[partition])
		}
	}
}

// judgedRight compares the marks with a naive judgment in order of arrival.
func (o *oracle) judgedRight(f *findings, files map[string][]byte, events []eventfile.Stored, log []logged) {
	got := map[string]int{}
	for _, c := range log {
		for _, at := range c.Marks {
			if !o.intact(f, files, at) {
				continue
			}
			marks, known := o.marks[at.SHA256]
			if !known {
				var err error
				if marks, err = readMarks(files[at.Name]); err != nil {
					f.damaged("%s: %v", at.Name, err)
				}
				o.marks[at.SHA256] = marks
			}
			for _, m := range marks {
				got[fmt.Sprintf("%d %s", m.Seq, m.Kind)]++
			}
		}
	}
	want := naive(events)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != 1 {
			f.damaged("mark %s is there %d times", key, got[key])
		}
		delete(got, key)
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		f.damaged("mark %s is wrong", key)
	}
}

func readMarks(data []byte) ([]recount.Mark, error) {
	ef, err := eventfile.Open(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer func() { _ = ef.Close() }()
	return ef.Marks()
}

// naive judges events that are sorted by arrival.
func naive(events []eventfile.Stored) map[string]bool {
	want := map[string]bool{}
	mark := func(e eventfile.Stored, kind recount.MarkKind) { want[fmt.Sprintf("%d %s", e.Seq, kind)] = true }
	byID := map[string][]eventfile.Stored{}
	for _, e := range events {
		if e.Fault != "" {
			mark(e, recount.MarkFault)
		}
		if e.ID == "" {
			continue
		}
		for _, other := range byID[e.ID] {
			if bytes.Equal(other.Data, e.Data) {
				mark(e, recount.MarkRepeat)
			} else {
				mark(e, recount.MarkConflict)
				mark(other, recount.MarkConflict)
			}
		}
		byID[e.ID] = append(byID[e.ID], e)
	}
	return want
}
