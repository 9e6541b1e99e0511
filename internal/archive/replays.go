package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
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
	// Ended is when all of it was there; zero: it is not known to be.
	Ended time.Time `json:"-"`
}

// replayEnd is what is kept of a replay's end.
type replayEnd struct {
	Format int       `json:"format"`
	At     time.Time `json:"at"`
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
	err = a.note(ctx, name+".json", r)
	if begun = errors.Is(err, recount.ErrExists); begun {
		err = nil
	}
	if err != nil {
		return false, nil, errors.Join(fmt.Errorf("note replay %s: %w", r.ID, err), unlock())
	}
	return begun, unlock, nil
}

// note puts a small object of JSON.
func (a *Archive) note(ctx context.Context, name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.store.Put(ctx, name, func(w io.Writer) error { _, err := bytes.NewReader(append(text, '\n')).WriteTo(w); return err })
}

// doneEnding ends the name of what says that a replay came to its end.
const doneEnding = ".done"

// EndReplay notes that all of a replay is there. The first end counts.
func (a *Archive) EndReplay(ctx context.Context, stream, id string, at time.Time) error {
	err := a.note(ctx, replaysFolder(stream)+id+doneEnding, replayEnd{replayFormat, at})
	if err != nil && !errors.Is(err, recount.ErrExists) {
		return fmt.Errorf("note the end of replay %s: %w", id, err)
	}
	return nil
}

// Replays lists the replays of a stream into a bus, newest first. What cannot be read
// is passed by: it says nothing of what was sent.
func (a *Archive) Replays(ctx context.Context, stream string) (list []Replay, err error) {
	ended := map[string]time.Time{}
	err = a.store.List(ctx, replaysFolder(stream), func(name string, _ int64) error {
		begun, done := strings.HasSuffix(name, ".json"), strings.HasSuffix(name, doneEnding)
		if !begun && !done {
			return nil
		}
		text, err := a.read(ctx, name)
		if err != nil {
			return err
		}
		var r Replay
		var end replayEnd
		switch {
		case begun && json.Unmarshal(text, &r) == nil && r.ID != "":
			list = append(list, r)
		case done && json.Unmarshal(text, &end) == nil:
			ended[strings.TrimSuffix(strings.TrimPrefix(name, replaysFolder(stream)), doneEnding)] = end.At
		}
		return nil
	})
	if err != nil && !errors.Is(err, recount.ErrNotFound) {
		return nil, fmt.Errorf("list replays of %s: %w", stream, err)
	}
	for i := range list {
		list[i].Ended = ended[list[i].ID]
	}
	slices.SortStableFunc(list, func(x, y Replay) int { return y.At.Compare(x.At) })
	return list, nil
}
