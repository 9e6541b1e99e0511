package archive

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recount"
)

// ExpireOptions say what is taken out of a stream, and what is deleted.
type ExpireOptions struct {
	Stream string
	// Before: events before it are taken out, by whole hours. Zero: none are.
	Before time.Time
	// Keep is for how long files stay after the commit that took them out.
	Keep time.Duration
	// Needs are older snapshots whose files stay.
	Needs []Need
	// Leftovers also deletes what crashes left behind, of commits older than Keep.
	Leftovers bool
	DryRun    bool   // says what would be done
	Program   string // name and version, for the commit
}

// Need is a snapshot that something refers to.
type Need struct {
	Snapshot string    // its id
	At       time.Time // where there is no id: the newest snapshot of that moment
	By       string    // what refers to it, for a person
}

// ExpireResult says what was done, also where it ended with an error.
type ExpireResult struct {
	Stream    string
	Before    time.Time // on the hour; zero: no event was to be taken out
	Files     int       // taken out now, with Events and Bytes
	Events    int64
	Bytes     int64
	Deleted   Objects // files that no snapshot has that anybody needs
	Leftovers Objects // deleted
	Kept      []Kept  // files that the newest snapshot does not have, and stay
	Snapshot  string
}

// Objects counts objects of the store.
type Objects struct {
	Count int
	Bytes int64
}

// Kept counts files that stay, and says why.
type Kept struct {
	Objects
	Why string
}

// Expire takes the hours before an instant out of a stream, by one commit, and
// deletes files that neither the newest snapshot nor one that is needed has. What
// is deleted is known from commits alone: a listing only says what is still there,
// so that one which is empty or stale deletes nothing. An archiver may be at work
// meanwhile.
func (a *Archive) Expire(ctx context.Context, opts ExpireOptions) (result ExpireResult, err error) {
	x := &expiry{archive: a, opts: opts, now: a.clock.Now(), result: ExpireResult{Stream: opts.Stream}}
	if err := checkStream(opts.Stream); err != nil {
		return x.result, err
	}
	unlock, err := a.lockUpkeep(ctx, opts.Stream)
	if err != nil {
		return x.result, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if opts.Leftovers {
		// Of a run that is at work nobody can say what it will still commit.
		unlockWriter, err := a.lock(ctx, opts.Stream)
		if err != nil {
			return x.result, err
		}
		defer func() { err = errors.Join(err, unlockWriter()) }()
	}
	err = x.run(ctx)
	return x.result, err
}

// expiry is one call of Expire.
type expiry struct {
	archive *Archive
	opts    ExpireOptions
	now     time.Time
	chain   *chain
	named   map[string]bool
	result  ExpireResult
}

func (x *expiry) run(ctx context.Context) (err error) {
	if x.chain, err = x.archive.load(ctx, x.opts.Stream); err != nil {
		return err
	}
	if x.chain.snapshot.Commit == 0 {
		return x.archive.nothing(x.opts.Stream)
	}
	if !x.opts.Before.IsZero() {
		x.result.Before = x.opts.Before.UTC().Truncate(time.Hour)
		if err := x.remove(ctx); err != nil {
			return err
		}
	}
	x.result.Snapshot = x.chain.snapshot.ID
	doomed := x.doomed()
	if err := x.delete(ctx, x.opts.Stream+"/", doomed, &x.result.Deleted); err != nil || !x.opts.Leftovers {
		return err
	}
	x.named = x.chain.named()
	for _, folder := range []string{x.opts.Stream + "/", marksFolder(x.opts.Stream)} {
		if err := x.delete(ctx, folder, x.isLeftover, &x.result.Leftovers); err != nil {
			return err
		}
	}
	return nil
}

// remove commits that the files of the hours before are no part of the archive any
// more.
func (x *expiry) remove(ctx context.Context) error {
	before := x.result.Before
	for try := 1; ; try++ {
		s := x.chain.snapshot
		if before.After(s.Watermark) {
			return x.notIn(before)
		}
		c := x.archive.upkeep(x.chain, x.opts.Program)
		c.Since = timeText(before)
		x.result.Files, x.result.Events, x.result.Bytes = 0, 0, 0
		for _, f := range s.Files {
			if f.TimeKnown && f.LastTime.Before(before) {
				c.Removes = append(c.Removes, f.Name)
				x.result.Files++
				x.result.Events += f.Rows
				x.result.Bytes += f.Bytes
			}
		}
		if len(c.Removes) == 0 || x.opts.DryRun {
			return nil
		}
		digest, err := x.archive.putCommit(ctx, c)
		if err == nil {
			return x.chain.add(c, digest)
		}
		if !errors.Is(err, recount.ErrLocked) || try == attempts {
			x.result.Files, x.result.Events, x.result.Bytes = 0, 0, 0
			return err
		}
		if x.chain, err = x.archive.load(ctx, x.opts.Stream); err != nil {
			return err
		}
	}
}

// notIn refuses to take out hours that are not complete yet.
func (x *expiry) notIn(before time.Time) error {
	s := x.chain.snapshot
	why := "no run has read the source to its end yet"
	if !s.Watermark.IsZero() {
		why = "all events are in up to " + recount.FormatTimestamp(s.Watermark) + " alone; later ones have not been of use to anybody yet"
	}
	return &recount.Error{
		Code: recount.CodeExpire, What: "events cannot be taken out that are not all in", Where: fmt.Sprintf("events before %s, stream %s", recount.FormatTimestamp(before), s.Stream),
		Why: why, Next: "name an earlier time with --before; or first: recount archive run " + s.Stream + " --once",
	}
}

// doomed returns which names may be deleted: files that commits took out long
// enough ago, and that no needed snapshot has. Those that stay are counted.
func (x *expiry) doomed() func(name string) bool {
	may := map[string]bool{}
	kept := map[string]*Kept{}
	var order []string
	for _, d := range x.chain.dropped {
		why := x.kept(d)
		if why == "" {
			may[d.file.Name] = true
			continue
		}
		if kept[why] == nil {
			kept[why] = &Kept{Why: why}
			order = append(order, why)
		}
		kept[why].Count++
		kept[why].Bytes += d.file.Bytes
	}
	for _, why := range order {
		x.result.Kept = append(x.result.Kept, *kept[why])
	}
	for _, f := range x.chain.snapshot.Files { // it cannot be; nothing may hang on that
		delete(may, f.Name)
	}
	return func(name string) bool { return may[name] }
}

// kept says why a file stays that a commit took out; empty: it need not.
func (x *expiry) kept(d droppedFile) string {
	if d.file.Origin != "" {
		return "they were adopted where they lie, and are not the archive's own"
	}
	if age := x.now.Sub(d.at); age < x.opts.Keep {
		return "snapshots of the last " + strings.TrimSuffix(x.opts.Keep.String(), "0m0s") + " have them"
	}
	for _, need := range x.opts.Needs {
		n, known := x.commitOf(need)
		if !known || d.file.Commit <= n && n < d.by {
			return need.By
		}
	}
	return ""
}

// commitOf is the commit that made a needed snapshot.
func (x *expiry) commitOf(need Need) (int64, bool) {
	newest := int64(0)
	for _, c := range x.chain.commits {
		if need.Snapshot != "" && c.digest == need.Snapshot {
			return c.number, true
		}
		if !c.at.After(need.At) {
			newest = c.number
		}
	}
	return newest, need.Snapshot == ""
}

// isLeftover says whether an object was written for a commit that came to be
// without it, long enough ago.
func (x *expiry) isLeftover(name string) bool {
	base := name[strings.LastIndexByte(name, '/')+1:]
	number, _, _ := strings.Cut(base, "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || len(number) < 8 || n < 1 || n > x.chain.snapshot.Commit || !strings.HasSuffix(name, ".parquet") {
		return false
	}
	return !x.named[name] && x.now.Sub(x.chain.commits[n-1].at) >= x.opts.Keep
}

// named are the objects that commits name, also those that they took out.
func (ch *chain) named() map[string]bool {
	named := map[string]bool{}
	for _, f := range ch.snapshot.Files {
		named[f.Name] = true
	}
	for _, d := range ch.dropped { // an older snapshot has it
		named[d.file.Name] = true
	}
	for _, m := range ch.snapshot.Marks {
		named[m.Name] = true
	}
	return named
}

// delete removes the objects of a folder that may go. All of them are listed
// before the first is deleted.
func (x *expiry) delete(ctx context.Context, folder string, may func(name string) bool, gone *Objects) error {
	type object struct {
		name string
		size int64
	}
	var objects []object
	err := x.archive.store.List(ctx, folder, func(name string, size int64) error {
		if may(name) {
			objects = append(objects, object{name, size})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list %q: %w", folder, err)
	}
	for _, o := range objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !x.opts.DryRun {
			if err := x.archive.store.Delete(ctx, o.name); err != nil {
				return fmt.Errorf("delete %q: %w", o.name, err)
			}
		}
		gone.Count++
		gone.Bytes += o.size
	}
	return nil
}
