package incident

import (
	"context"
	"time"

	"recount"
)

// These bound how long a plan waits for an archiver that is at work to hold the
// events that live rows have absorbed.
const (
	archiverAlive = time.Minute
	earlyTries    = 20
	earlyPause    = 250 * time.Millisecond
)

// settles says that each row stands at a position of its own.
func (r *Incident) settles() bool { return r.taken != nil && r.taken.Kind != recount.CutPaused }

// readEarly reads the rows of a state that goes on before it looks at the
// archive: a row that has absorbed an event which is not archived yet cannot be
// told from one that somebody changed. Where an archiver is at work, its next
// commit is waited for.
func (r *Incident) readEarly(ctx context.Context, l *live) (err error) {
	if !r.settles() {
		return nil
	}
	if l.frozen, err = r.readFrozen(ctx, l); err != nil {
		return err
	}
	if l.early, err = r.scan(ctx, l, r.compared, nil); err != nil {
		return err
	}
	read := r.host.Now()
	for try := 0; ; try++ {
		if r.snapshot, err = r.archive.Snapshot(ctx, r.source.Name); err != nil {
			return closing(l.early, err)
		}
		r.snapshot.Lateness = r.source.Lateness
		behind := read.Sub(r.snapshot.Watermark)
		if behind <= 0 || behind > archiverAlive || try >= earlyTries {
			return nil
		}
		select {
		case <-ctx.Done():
			return closing(l.early, ctx.Err())
		case <-time.After(earlyPause):
		}
	}
}
