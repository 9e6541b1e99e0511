package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"recount"
)

// Replay says who published which events of a stream, and where to. It is kept so
// that a replay which is begun again looks for what is there already.
type Replay struct {
	Format      int       `json:"format"`
	ID          string    `json:"replay"`
	Stream      string    `json:"stream"`
	Destination string    `json:"destination"`
	Calculation string    `json:"calculation"` // empty: of no calculation's missed events
	Only        string    `json:"only"`        // empty: all events of the window
	Window      string    `json:"window"`
	Snapshot    string    `json:"snapshot"`
	Events      int64     `json:"events,string"`
	At          time.Time `json:"at"`
	By          string    `json:"by"`
	Program     string    `json:"program"`
}

// replayFormat is the version of a replay's form.
const replayFormat = 1

func replaysFolder(stream string) string { return metaFolder + stream + "/replays/" }

// BeginReplay notes a replay before anything of it is published, and keeps others
// with its id away until unlock. begun says that it was noted before, so that some
// of its messages may be there.
func (a *Archive) BeginReplay(ctx context.Context, r Replay) (begun bool, unlock func() error, err error) {
	name := replaysFolder(r.Stream) + r.ID
	unlock, err = a.store.Lock(ctx, name)
	switch {
	case errors.Is(err, recount.ErrUnsupported):
		unlock = func() error { return nil } // two at once publish twice; docs/replay-to-bus.md says so
	case errors.Is(err, recount.ErrLocked):
		return false, nil, &recount.Error{
			Code: recount.CodeArchiveLocked, What: "this replay is under way", Where: "replay " + r.ID + " to " + r.Destination, Why: err.Error(), Err: err,
			Next: "wait until it is done; the same command then publishes what is left",
		}
	case err != nil:
		return false, nil, fmt.Errorf("lock replay %s: %w", r.ID, err)
	}
	r.Format = replayFormat
	text, err := json.Marshal(r)
	if err == nil {
		err = a.store.Put(ctx, name+".json", func(w io.Writer) error { _, err := bytes.NewReader(append(text, '\n')).WriteTo(w); return err })
	}
	if begun = errors.Is(err, recount.ErrExists); begun {
		err = nil
	}
	if err != nil {
		return false, nil, errors.Join(fmt.Errorf("note replay %s: %w", r.ID, err), unlock())
	}
	return begun, unlock, nil
}
