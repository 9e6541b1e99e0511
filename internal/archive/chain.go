package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/positions"
	"recount/source"
	"recount/store"
)

// chain is the commit log of a stream, read from its first entry to its last.
type chain struct {
	stream   string
	snapshot recount.Snapshot
	ids      []idSpan // of the snapshot's files, in their order
	cursor   source.Cursor
	pulled   source.Cursor // which logs were pulled from, where cursor says nothing
	lastSeq  int64
	totals   counts
	commits  []commitInfo
	reached  positions.Reached
	dropped  []droppedFile // files that later commits took out, in their order

	reading bool     // nobody else has the snapshot's files yet
	head    *head    // that the chain was read from, or that was made last; never nil
	keeps   bool     // since is wanted
	since   [][]byte // the commits after it, for the next one
}

func newChain(stream string) *chain {
	return &chain{stream: stream, cursor: source.Cursor{}, pulled: source.Cursor{}, snapshot: recount.Snapshot{Stream: stream}, head: &head{}}
}

// idSpan is the smallest and largest id of a file; both empty where no event has
// one.
type idSpan struct{ first, last string }

// commitInfo is what is worth knowing of a commit once it has been read.
type commitInfo struct {
	number    int64
	digest    string
	at        time.Time
	watermark time.Time
	program   string
	counts    counts
	upkeep    bool
}

// droppedFile is a file that a commit took out: older snapshots have it.
type droppedFile struct {
	file recount.DataFile
	by   int64 // the commit
	at   time.Time
}

// load reads the commit log of a stream up to its end, beginning with the newest
// head; one without a commit gives an empty chain.
func (a *Archive) load(ctx context.Context, stream string) (*chain, error) {
	if err := checkStream(stream); err != nil {
		return nil, err
	}
	return a.follow(ctx, a.fromHead(ctx, stream, ""))
}

// loadToWrite is load for who makes commits and heads.
func (a *Archive) loadToWrite(ctx context.Context, stream string) (*chain, error) {
	if err := checkStream(stream); err != nil {
		return nil, err
	}
	ch := a.fromHead(ctx, stream, "")
	ch.keeps = true
	return a.follow(ctx, ch)
}

// loadWhole reads and proves the whole commit log, and no head.
func (a *Archive) loadWhole(ctx context.Context, stream string) (*chain, error) {
	if err := checkStream(stream); err != nil {
		return nil, err
	}
	return a.follow(ctx, newChain(stream))
}

// follow reads the commits after those that the chain has.
func (a *Archive) follow(ctx context.Context, ch *chain) (*chain, error) {
	ch.reading = true
	defer func() { ch.reading = false }()
	for n := ch.snapshot.Commit + 1; ; n++ {
		found, err := a.loadNext(ctx, ch, n)
		if err != nil {
			return nil, err
		}
		if !found {
			again, err := a.hole(ctx, ch, n)
			if err != nil || !again {
				return ch, err
			}
			n--
		}
	}
}

func (a *Archive) loadNext(ctx context.Context, ch *chain, n int64) (bool, error) {
	name := commitName(ch.stream, n)
	object, err := a.read(ctx, name)
	if errors.Is(err, recount.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read commit %d of stream %q: %w", n, ch.stream, err)
	}
	c, digest, err := decodeCommit(object)
	if err == nil {
		err = ch.add(c, digest)
	}
	if newer, ok := errors.AsType[*newerError](err); ok {
		return false, &recount.Error{
			Code: recount.CodeNewerArchive, What: "a newer version of recount wrote this archive", Where: a.where(name), Why: newer.Error(), Err: err,
			Next: "install the newer version and run the command again",
		}
	}
	if err != nil {
		return false, a.damagedCommit(ch, name, err)
	}
	ch.note(c, digest)
	const most = 4096
	if len(ch.since) == most { // of a log that has no head yet
		_ = a.putHead(ctx, ch, ch.head.IDs)
	}
	return true, nil
}

// hole tells the end of the log from a missing commit: if a later one is there,
// commit n was lost, or was written just now, in which case the reading goes on.
// A later one is looked for among the numbers next to n, by name, and in steps that
// double: lost commits are found if as many follow them, or any within the same
// thousand.
func (a *Archive) hole(ctx context.Context, ch *chain, n int64) (again bool, err error) {
	name := commitName(ch.stream, n)
	later, err := a.laterCommit(ctx, ch.stream, n)
	if err != nil {
		return false, fmt.Errorf("look for commits after %d of stream %q: %w", n, ch.stream, err)
	}
	if later == "" {
		return false, nil
	}
	if _, err := a.store.Stat(ctx, name); !errors.Is(err, recount.ErrNotFound) {
		return err == nil, err
	}
	return false, a.damagedCommit(ch, name, fmt.Errorf("it is missing, though %s is there", path.Base(later)))
}

// laterCommit returns the name of a commit after n, or nothing.
func (a *Archive) laterCommit(ctx context.Context, stream string, n int64) (string, error) {
	const steps, near, digits = 20, 1000, 3
	names := make([]string, steps+1)
	there := func(ctx context.Context, m int64) (string, error) {
		name := commitName(stream, m)
		_, err := a.store.Stat(ctx, name)
		if errors.Is(err, recount.ErrNotFound) {
			return "", nil
		}
		return name, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers())
	_, local := a.store.(store.Local)
	for i := range steps {
		if next := 2; !local && i >= next && 1<<i < near {
			continue // the list shows these
		}
		g.Go(func() (err error) {
			names[i], err = there(ctx, n+1<<i)
			return err
		})
	}
	g.Go(func() (err error) {
		if local {
			// On a disk, a list reads the names of all commits, and a look is cheap.
			for m := n + 1; m < n+near && names[steps] == "" && err == nil; m++ {
				names[steps], err = there(ctx, m)
			}
			return err
		}
		name := commitName(stream, n)
		return a.store.List(ctx, name[:len(name)-len(".json")-digits], func(found string, _ int64) error {
			if found > name {
				names[steps] = found
			}
			return nil
		})
	})
	err := g.Wait()
	return slices.Max(names), err
}

func (a *Archive) damagedCommit(ch *chain, name string, err error) error {
	next := "put the file back from a copy; if there is none, move the stream's folders away and archive it anew"
	if len(ch.commits) == 0 {
		next = "put the file back from a copy, or move the stream's folders away and archive it anew"
	}
	return &recount.Error{
		Code: recount.CodeDamaged, What: "the archive's commit log is damaged", Where: a.where(name),
		Why: err.Error(), Err: err, Next: next,
	}
}

// where is an object's place for a person.
func (a *Archive) where(name string) string {
	return strings.TrimSuffix(a.store.Place(), "/") + "/" + name
}

func (a *Archive) read(ctx context.Context, name string) ([]byte, error) {
	r, err := a.store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	return b, nil
}

// add appends a commit after proving that it follows the ones before it.
func (ch *chain) add(c *commit, digest string) error {
	s := &ch.snapshot
	switch {
	case c.Stream != ch.stream:
		return fmt.Errorf("it is of stream %q", c.Stream)
	case c.Number != s.Commit+1:
		return fmt.Errorf("it is commit %d, where %d must stand", c.Number, s.Commit+1)
	case c.Previous != s.ID:
		return fmt.Errorf("it follows another commit than number %d here", s.Commit)
	case c.LastSeq != ch.lastSeq+c.Counts.Events:
		return fmt.Errorf("its sequence numbers end at %d, not at %d", c.LastSeq, ch.lastSeq+c.Counts.Events)
	}
	fields, err := c.fields()
	if err != nil {
		return err
	}
	watermark, err := parseTime(c.Watermark)
	if err != nil {
		return fmt.Errorf("watermark: %w", err)
	}
	lateness, err := time.ParseDuration(c.Lateness)
	if err != nil {
		return fmt.Errorf("lateness: %w", err)
	}
	if err := ch.addFiles(c, fields); err != nil {
		return err
	}
	if err := ch.addSpans(c); err != nil {
		return err
	}
	ch.reached.Add(c.read(), c.Dense)
	s.Followed = s.Followed || len(c.Cursor) > 0 || !watermark.IsZero()
	maps.Copy(ch.cursor, c.Cursor)
	maps.Copy(ch.pulled, c.PulledCursor)
	s.ID, s.Commit, s.Watermark, s.Lateness, s.Fields = digest, c.Number, watermark, lateness, fields
	s.Mapping, ch.lastSeq = c.Mapping, c.LastSeq
	ch.totals.Events += c.Counts.Events
	ch.totals.Repeats += c.Counts.Repeats
	ch.totals.Conflicts += c.Counts.Conflicts
	ch.totals.Faults += c.Counts.Faults
	ch.commits = append(ch.commits, commitInfo{number: c.Number, digest: digest, at: c.At, watermark: watermark, program: c.Program, counts: c.Counts, upkeep: c.isUpkeep()})
	return nil
}

// known is what a source is told of the stream: how far each partition was read,
// and the names of those that were only pulled from.
func (ch *chain) known() source.Cursor {
	cursor := maps.Clone(ch.pulled)
	maps.Copy(cursor, ch.cursor)
	return cursor
}

// addSpans adds what a commit says of positions and times beside its files.
func (ch *chain) addSpans(c *commit) error {
	s := &ch.snapshot
	s.Gaps = append(s.Gaps, c.Gaps...)
	for _, p := range c.Pulled {
		from, err := parseTime(p.From)
		if err != nil {
			return fmt.Errorf("pulled span: %w", err)
		}
		to, err := parseTime(p.To)
		if err != nil {
			return fmt.Errorf("pulled span: %w", err)
		}
		s.Pulled = append(s.Pulled, recount.Window{From: from, To: to, By: recount.ByEvent})
	}
	since, err := parseTime(c.Since)
	if err != nil {
		return fmt.Errorf("since: %w", err)
	}
	if since.After(s.Since) {
		s.Since = since
	}
	return nil
}

func (ch *chain) addFiles(c *commit, fields []recount.Field) error {
	s := &ch.snapshot
	replaced, err := ch.drop(c)
	if err != nil {
		return err
	}
	for _, m := range c.Marked {
		if !ch.mark(m) {
			return fmt.Errorf("it marks events of %q, which no earlier commit has", m.Name)
		}
	}
	rows := int64(0)
	for i := range c.Files {
		f := &c.Files[i]
		if f.Rows < 1 || f.Bytes < 0 || f.LastSeq-f.FirstSeq+1 < f.Rows || store.CheckName(f.Name) != nil {
			return fmt.Errorf("file %q cannot be: %d rows, sequence numbers %d to %d", f.Name, f.Rows, f.FirstSeq, f.LastSeq)
		}
		d, err := f.dataFile(c, fields, s.Watermark)
		if err != nil {
			return err
		}
		s.Files = append(s.Files, d)
		ch.ids = append(ch.ids, idSpan{f.FirstID, f.LastID})
		rows += f.Rows
	}
	if rows != c.Counts.Events+replaced {
		return fmt.Errorf("its files have %d rows, not %d", rows, c.Counts.Events+replaced)
	}
	return ch.addMarks(c)
}

// drop takes out the files that a commit replaces or removes, and counts the rows
// of those that it replaces.
func (ch *chain) drop(c *commit) (replaced int64, err error) {
	s := &ch.snapshot
	gone := map[string]bool{} // and whether the file was found
	for _, name := range slices.Concat(c.Replaces, c.Removes) {
		gone[name] = false
	}
	if len(gone) == 0 {
		return 0, nil
	}
	removed := map[string]bool{}
	for _, name := range c.Removes {
		removed[name] = true
	}
	// Most are among the newest: what lies before all of them stays as it is.
	from := len(s.Files)
	for left := len(gone); from > 0 && left > 0; {
		from--
		if _, out := gone[s.Files[from].Name]; out {
			left--
		}
	}
	files, ids := s.Files[:from:from], ch.ids[:from:from]
	if ch.reading {
		files, ids = s.Files[:from], ch.ids[:from]
	}
	for i := from; i < len(s.Files); i++ {
		f := s.Files[i]
		if _, out := gone[f.Name]; !out {
			files, ids = append(files, f), append(ids, ch.ids[i])
			continue
		}
		gone[f.Name] = true
		ch.dropped = append(ch.dropped, droppedFile{file: f, by: c.Number, at: c.At})
		if removed[f.Name] {
			ch.reached.Remove(f.Spans)
			s.Removed = append(s.Removed, f)
			continue
		}
		replaced += f.Rows
	}
	for name, found := range gone {
		if !found {
			return 0, fmt.Errorf("it takes out %q, which no earlier commit has", name)
		}
	}
	s.Files, ch.ids = files, ids
	return replaced, nil
}

func (ch *chain) addMarks(c *commit) error {
	s := &ch.snapshot
	for _, m := range c.Marks {
		if m.Rows < 1 || m.Bytes < 0 || store.CheckName(m.Name) != nil {
			return fmt.Errorf("file of marks %q cannot be: %d rows", m.Name, m.Rows)
		}
		s.Marks = append(s.Marks, recount.MarksFile{Name: m.Name, SHA256: m.SHA256, Bytes: m.Bytes, Rows: m.Rows, Commit: c.Number})
	}
	return nil
}

func (ch *chain) mark(m markedEntry) bool {
	for i := len(ch.snapshot.Files) - 1; i >= 0; i-- {
		if f := &ch.snapshot.Files[i]; f.Name == m.Name {
			f.Repeats += m.Repeats
			f.Conflicts += m.Conflicts
			return true
		}
	}
	return false
}

// Snapshot returns what the archive holds of a stream now. A stream without a
// commit is CodeNoArchive, a broken log CodeDamaged.
func (a *Archive) Snapshot(ctx context.Context, stream string) (recount.Snapshot, error) {
	ch, err := a.load(ctx, stream)
	if err != nil {
		return recount.Snapshot{}, err
	}
	if ch.snapshot.Commit == 0 {
		return recount.Snapshot{}, a.nothing(stream)
	}
	ch.snapshot.Cursor, ch.snapshot.Reached = ch.known(), ch.reached.Stretches()
	return ch.snapshot, nil
}

// SnapshotAt returns what the archive held of a stream at an older snapshot, by
// its id. Files that were expired since are named all the same.
func (a *Archive) SnapshotAt(ctx context.Context, stream, id string) (recount.Snapshot, error) {
	ch, err := a.loadAt(ctx, stream, id)
	if err != nil {
		return recount.Snapshot{}, err
	}
	return ch.snapshot, nil
}

// loadAt is load up to the commit that made a snapshot, by its id or a beginning
// of it that is long enough.
func (a *Archive) loadAt(ctx context.Context, stream, id string) (*chain, error) {
	if err := checkStream(stream); err != nil {
		return nil, err
	}
	ch := a.fromHead(ctx, stream, id)
	for n := ch.snapshot.Commit + 1; ; n++ {
		if ch.ends(id) {
			ch.snapshot.Cursor, ch.snapshot.Reached = ch.known(), ch.reached.Stretches()
			return ch, nil
		}
		found, err := a.loadNext(ctx, ch, n)
		switch {
		case err != nil:
			return nil, err
		case !found:
			return nil, &recount.Error{
				Code: recount.CodeNoSnapshot, What: fmt.Sprintf("the archive has no snapshot %.12s of source %s", id, stream), Where: a.where(commitsFolder(stream)),
				Why:  fmt.Sprintf("none of its %d commits makes it", n-1),
				Next: fmt.Sprintf("recount archive ls %s names the newest; a plan names its own", stream),
			}
		}
	}
}

func (a *Archive) nothing(stream string) error {
	return &recount.Error{
		Code: recount.CodeNoArchive, What: fmt.Sprintf("nothing is archived for source %s", stream), Where: a.store.Place(),
		Why:  "results are recalculated from archived events, and the archive has no commit of this stream",
		Next: fmt.Sprintf("recount archive run %s --once", stream),
	}
}

// Streams lists the streams that the archive holds, sorted.
func (a *Archive) Streams(ctx context.Context) ([]string, error) {
	var streams []string
	err := a.store.List(ctx, metaFolder, func(name string, _ int64) error {
		stream, rest, ok := strings.Cut(strings.TrimPrefix(name, metaFolder), "/")
		if ok && strings.HasPrefix(rest, "commits/") && (len(streams) == 0 || streams[len(streams)-1] != stream) {
			streams = append(streams, stream)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return streams, nil
}
