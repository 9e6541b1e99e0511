package archive

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/eventfile"
	"recount/internal/archive/originals"
)

// CatEvent is one archived copy of an event: its envelope and its own bytes.
type CatEvent struct {
	recount.Event
	Seq       int64
	TimeKnown bool
	File      string
	Commit    int64
	Format    string // of Data, with Header as it must be read
	Header    string
	Marks     []recount.Mark
}

// Cat returns every archived copy of an event, in order of arrival. name is its
// id, or its partition@position. Each file is verified before one byte of it is
// returned.
func (a *Archive) Cat(ctx context.Context, stream, name string) ([]CatEvent, error) {
	ch, err := a.load(ctx, stream)
	if err != nil {
		return nil, err
	}
	if ch.snapshot.Commit == 0 {
		return nil, a.nothing(stream)
	}
	found, err := a.catByID(ctx, ch, name)
	if err != nil {
		return nil, err
	}
	if at := strings.LastIndexByte(name, '@'); at >= 0 && len(found) == 0 {
		partition := name[:at]
		if found, err = a.catByPosition(ctx, ch, partition, widened(ch, partition, name[at+1:])); err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, &recount.Error{
			Code: recount.CodeNoEvent, What: fmt.Sprintf("the archive has no event %s", name), Where: fmt.Sprintf("stream %s, %s", stream, a.store.Place()),
			Why:  "no archived event has this id, or this partition@position",
			Next: fmt.Sprintf("recount archive ls %s shows what there is; if the event is new: recount archive run %s --once", stream, stream),
		}
	}
	if err := a.addMarks(ctx, ch, found); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(x, y CatEvent) int { return int(x.Seq - y.Seq) })
	return found, nil
}

func (a *Archive) catByID(ctx context.Context, ch *chain, id string) ([]CatEvent, error) {
	if id == "" {
		return nil, nil
	}
	holds := a.holders(ctx, ch, id)
	return a.search(ctx, ch, func(i int) bool { return ch.ids[i].first <= id && id <= ch.ids[i].last && holds(i) },
		func(e *recount.Event) bool { return e.ID == id },
		func(ef *eventfile.File, group int) ([]int, error) { return rowsWith(ef, group, "id", id) })
}

// widened gives a position as a person writes it, such as 17, the fixed width of
// the partition's positions.
func widened(ch *chain, partition, position string) string {
	if strings.Trim(position, "0123456789") != "" {
		return position
	}
	for _, f := range ch.snapshot.Files {
		for _, s := range f.Spans {
			if s.Partition == partition && len(s.First) > len(position) {
				return strings.Repeat("0", len(s.First)-len(position)) + position
			}
		}
	}
	return position
}

func (a *Archive) catByPosition(ctx context.Context, ch *chain, partition, position string) ([]CatEvent, error) {
	may := func(i int) bool {
		return slices.ContainsFunc(ch.snapshot.Files[i].Spans, func(s recount.PositionSpan) bool {
			return s.Partition == partition && s.First <= position && position <= s.Last
		})
	}
	is := func(e *recount.Event) bool { return e.Partition == partition && e.Position == position }
	return a.search(ctx, ch, may, is, func(ef *eventfile.File, group int) ([]int, error) {
		at, err := rowsWith(ef, group, "position", position)
		if err != nil || len(at) == 0 {
			return nil, err
		}
		of, err := rowsWith(ef, group, "partition", partition)
		return slices.DeleteFunc(at, func(row int) bool { _, in := slices.BinarySearch(of, row); return !in }), err
	})
}

func rowsWith(ef *eventfile.File, group int, column, value string) ([]int, error) {
	if low, high, ok := ef.TextSpan(group, column); ok && (value < low || value > high) {
		return nil, nil
	}
	var rows []int
	err := ef.Texts(group, column, func(row int, v []byte) error {
		if v != nil && string(v) == value {
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

// search verifies the files that may hold an event and reads the rows that do; is
// tells the event in an adopted file.
func (a *Archive) search(ctx context.Context, ch *chain, may func(file int) bool, is func(*recount.Event) bool,
	rows func(ef *eventfile.File, group int) ([]int, error),
) ([]CatEvent, error) {
	var mu sync.Mutex
	found, err := a.searchOriginals(ctx, ch, may, is)
	if err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers())
	for i, f := range ch.snapshot.Files {
		if !may(i) || f.Origin != "" {
			continue
		}
		g.Go(func() error {
			if err := a.verifyFile(ctx, f); err != nil {
				return err
			}
			return a.openFile(ctx, f.Name, func(ef *eventfile.File) error {
				for group := range ef.Groups() {
					hits, err := rows(ef, group)
					if err != nil {
						return err
					}
					if len(hits) == 0 {
						continue
					}
					events, err := ef.Events(group, func(row int) bool { _, hit := slices.BinarySearch(hits, row); return hit })
					if err != nil {
						return err
					}
					mu.Lock()
					for _, e := range events {
						found = append(found, CatEvent{
							Event: e.Event, Seq: e.Seq, TimeKnown: e.TimeKnown, File: f.Name, Commit: f.Brought(e.Seq), Format: f.Format, Header: f.Header,
						})
					}
					mu.Unlock()
				}
				return nil
			})
		})
	}
	err = g.Wait()
	return found, err
}

// searchOriginals reads the events out of the adopted files that may hold them.
func (a *Archive) searchOriginals(ctx context.Context, ch *chain, may func(file int) bool, is func(*recount.Event) bool) (events []CatEvent, err error) {
	var files []recount.DataFile
	for i, f := range ch.snapshot.Files {
		if f.Origin != "" && may(i) {
			files = append(files, f)
		}
	}
	_, adopted := originals.Group(files)
	var mu sync.Mutex
	err = a.reader(ch.stream, nil).Each(ctx, adopted, func(o int, e *originals.Event) error {
		if !is(&e.Event) {
			return nil
		}
		f := adopted[o].Parts[e.Part].File
		own := CatEvent{Event: e.Event, Seq: e.Seq, TimeKnown: e.TimeKnown, File: f.Origin, Commit: f.Commit, Format: e.Format, Header: e.Header}
		own.Fields, own.Data = nil, slices.Clone(e.Data)
		mu.Lock()
		defer mu.Unlock()
		events = append(events, own)
		return nil
	})
	return events, err
}

// addMarks adds to each event what marks say of it.
func (a *Archive) addMarks(ctx context.Context, ch *chain, events []CatEvent) error {
	bySeq := map[int64]int{}
	for i, e := range events {
		bySeq[e.Seq] = i
	}
	for _, m := range ch.snapshot.Marks {
		if err := a.verifyMarks(ctx, m); err != nil {
			return err
		}
		err := a.openFile(ctx, m.Name, func(ef *eventfile.File) error {
			marks, err := ef.Marks()
			for _, mark := range marks {
				if i, ok := bySeq[mark.Seq]; ok {
					events[i].Marks = append(events[i].Marks, mark)
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
