package files

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"recount"
	"recount/source"
)

// A sink of Kafka names its files for the partition and the offset of the first
// record. Where the configuration says how, the events of a file have that
// partition, and positions that go on from that offset: Kafka's own, as long as
// the sink wrote every offset.

// namePattern reads a file's name.
type namePattern struct {
	expression *regexp.Regexp
	folders    int // that the pattern looks at, besides the file's own name
}

// named is what a file's name says.
type named struct {
	topic     string
	partition string
	offset    int64
}

// parseNames reads a pattern such as {topic}+{partition}+{offset}. {} stands for
// anything; what follows the pattern begins with a point.
func parseNames(text string) (*namePattern, error) {
	parts := map[string]string{"topic": `(?P<topic>[^/]+?)`, "partition": `(?P<partition>\d{1,18})`, "offset": `(?P<offset>\d{1,20})`, "": `[^/]*?`}
	seen := map[string]bool{}
	var b strings.Builder
	b.WriteString("^")
	for rest := text; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			b.WriteString(regexp.QuoteMeta(rest))
			break
		}
		b.WriteString(regexp.QuoteMeta(rest[:open]))
		name, after, ok := strings.Cut(rest[open+1:], "}")
		part, known := parts[name]
		if !ok || !known {
			return nil, fmt.Errorf("{%s} is none of {topic}, {partition}, {offset} and {}", name)
		}
		if seen[name] && name != "" {
			return nil, fmt.Errorf("{%s} stands twice", name)
		}
		seen[name] = true
		b.WriteString(part)
		rest = after
	}
	b.WriteString(`(?:\.[^/]*)?$`)
	if !seen["partition"] || !seen["offset"] {
		return nil, fmt.Errorf("{partition} and {offset} must both stand in it")
	}
	re, err := regexp.Compile(b.String())
	return &namePattern{re, strings.Count(text, "/")}, err
}

func (p *namePattern) read(name string) (named, bool) {
	parts := strings.Split(name, "/")
	if len(parts) <= p.folders {
		return named{}, false
	}
	m := p.expression.FindStringSubmatch(strings.Join(parts[len(parts)-1-p.folders:], "/"))
	if m == nil {
		return named{}, false
	}
	var n named
	for i, group := range p.expression.SubexpNames() {
		switch group {
		case "topic":
			n.topic = m[i]
		case "partition":
			n.partition = cmp.Or(strings.TrimLeft(m[i], "0"), "0")
		case "offset":
			offset, err := strconv.ParseInt(m[i], 10, 64)
			if err != nil {
				return named{}, false
			}
			n.offset = offset
		}
	}
	return n, true
}

// nameAll takes partition and offset of each file from its name, and puts the
// files in the order of the log.
func (s *Source) nameAll(list []file) error {
	if s.names == nil {
		return nil
	}
	first := map[named]file{}
	topic := ""
	for i := range list {
		f := &list[i]
		n, ok := s.names.read(f.partition)
		if !ok {
			return s.unnamed(*f, "its name is not of the form "+s.config.Names, "correct names:, or narrow paths: to the files that the sink wrote")
		}
		if i > 0 && n.topic != topic {
			return s.unnamed(*f, fmt.Sprintf("it is of topic %q, others are of %q, and partitions of two topics have the same numbers", n.topic, topic),
				"make one source for each topic")
		}
		topic, f.log, f.base = n.topic, n.partition, n.offset
		if other, twice := first[n]; twice {
			return s.outOfOrder(*f, fmt.Sprintf("%s begins at the same offset %d of partition %s", other.partition, n.offset, n.partition))
		}
		first[n] = *f
	}
	slices.SortFunc(list, func(a, b file) int {
		return cmp.Or(cmp.Compare(len(a.log), len(b.log)), cmp.Compare(a.log, b.log), cmp.Compare(a.base, b.base))
	})
	return nil
}

func (s *Source) unnamed(f file, why, next string) error {
	return &recount.Error{
		Code: recount.CodeConfig, What: fmt.Sprintf("file %q cannot be used", f.partition), Where: s.where(f.partition), Why: why, Next: next,
	}
}

func (s *Source) outOfOrder(f file, why string) error {
	return &recount.Error{
		Code: recount.CodeFileOrder, What: fmt.Sprintf("file %q does not follow the files of its partition", f.partition), Where: s.where(f.partition), Why: why,
		Next: "take the file that is there twice, or in the wrong order, out of paths:; where the sink passes offsets by, have it write them into the records and map event.position",
	}
}

// sequence holds the files of a log to their offsets: each begins where the one
// before it ended, or a gap is told.
type sequence struct {
	source *Source
	// starts are the offsets of all files that are there or were, by log; ends the
	// offset after the last record that was read, by file.
	starts map[string][]int64
	ends   map[string]map[int64]int64
	cursor source.Cursor
}

func (s *Source) newSequence(list []file, cursor source.Cursor) (*sequence, error) {
	if s.names == nil {
		return nil, nil
	}
	q := &sequence{source: s, starts: map[string][]int64{}, ends: map[string]map[int64]int64{}, cursor: cursor}
	for _, name := range slices.Sorted(maps.Keys(cursor)) {
		n, ok := s.names.read(name)
		if !ok {
			continue
		}
		st, err := parseCursor(cursor[name])
		if err != nil {
			return nil, recount.Located(err, s.where(name))
		}
		q.starts[n.partition] = append(q.starts[n.partition], n.offset)
		q.end(n.partition, n.offset, n.offset+st.Records)
	}
	for _, f := range list {
		if _, known := cursor[f.partition]; known {
			continue
		}
		for archived := range q.ends[f.log] {
			if archived > f.base {
				return nil, s.outOfOrder(f, fmt.Sprintf("a file of partition %s that begins at the later offset %d was archived before", f.log, archived))
			}
		}
		q.starts[f.log] = append(q.starts[f.log], f.base)
	}
	for _, starts := range q.starts {
		slices.Sort(starts)
	}
	return q, nil
}

func (q *sequence) end(log string, base, end int64) {
	if q.ends[log] == nil {
		q.ends[log] = map[int64]int64{}
	}
	q.ends[log][base] = end
}

// follow checks where a file begins and ends while its batches pass.
func (q *sequence) follow(f file, emit func(source.Batch) error) (func(source.Batch) error, error) {
	if q == nil {
		return emit, nil
	}
	starts := q.starts[f.log]
	at, _ := slices.BinarySearch(starts, f.base)
	var gaps []recount.Gap
	if _, known := q.cursor[f.partition]; !known && at > 0 {
		end, read := q.ends[f.log][starts[at-1]]
		if !read { // an empty file
			end = starts[at-1]
		}
		switch {
		case end > f.base:
			return nil, q.source.outOfOrder(f, fmt.Sprintf("it begins at offset %d, and the file before it reaches to %d", f.base, end-1))
		case end < f.base:
			gaps = []recount.Gap{{Partition: f.log, From: position(end), To: position(f.base), Reason: recount.GapRetention}}
		}
	}
	return func(b source.Batch) error {
		last, err := strconv.ParseInt(b.Events[len(b.Events)-1].Position, 10, 64)
		if err != nil {
			return fmt.Errorf("position of %q: %w", f.partition, err)
		}
		if at+1 < len(starts) && last >= starts[at+1] {
			return q.source.outOfOrder(f, fmt.Sprintf("it has a record of offset %d, where the next file of partition %s begins at %d", last, f.log, starts[at+1]))
		}
		q.end(f.log, f.base, last+1)
		b.Gaps, gaps = gaps, nil
		return emit(b)
	}, nil
}

func position(n int64) string { return fmt.Sprintf("%0*d", recount.PositionWidth, n) }
