package app

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recount"
	"recount/internal/config"
)

var clocks = []string{string(recount.ByEvent), string(recount.ByIngest), string(recount.ByPosition), string(recount.ByIDs)}

// clock is the clock that is named, or else the one whose edges are given.
func (r WindowRequest) clock() recount.Clock {
	switch {
	case r.By != "":
		return r.By
	case len(r.FromPositions) > 0 || len(r.ToPositions) > 0:
		return recount.ByPosition
	case r.IDs != "":
		return recount.ByIDs
	}
	return recount.ByEvent
}

// Check refuses flags that do not go together and positions that are no window.
// It opens nothing: times and files are read when the window is used.
func (r WindowRequest) Check() error {
	times, positions := r.From != "" || r.To != "", len(r.FromPositions) > 0 || len(r.ToPositions) > 0
	if r.By != "" && !slices.Contains(clocks, string(r.By)) {
		why := "the clocks are " + strings.Join(clocks, ", ")
		if near := recount.Nearest(string(r.By), clocks); near != "" {
			why = "the nearest is " + near
		}
		return wrongFlags("--by "+string(r.By)+" is not known", why, "name one of the clocks, such as --by event")
	}
	by := r.clock()
	const oneClock = "a window is measured by one clock: event, ingest, position or ids"
	switch by {
	case recount.ByEvent, recount.ByIngest:
		switch {
		case positions:
			return wrongFlags("--by "+string(by)+" and positions do not go together", oneClock, "leave --by away, or give the edges as --from and --to")
		case r.IDs != "":
			return wrongFlags("--by "+string(by)+" and --ids do not go together", oneClock, "leave --by away, or leave --ids away")
		}
	case recount.ByPosition:
		switch {
		case times:
			return wrongFlags("times and positions do not go together", oneClock, "leave --from and --to away, or the positions")
		case r.IDs != "":
			return wrongFlags("positions and --ids do not go together", oneClock, "leave --ids away, or the positions")
		case !positions:
			return wrongFlags("--by position needs --from-position and --to-position", "a window is never guessed", "add both, such as --from-position 3:41200 --to-position 3:41900")
		}
		_, err := r.positions()
		return err
	case recount.ByIDs:
		switch {
		case times:
			return wrongFlags("times and --ids do not go together", oneClock, "leave --from and --to away, or --ids")
		case positions:
			return wrongFlags("positions and --ids do not go together", oneClock, "leave --ids away, or the positions")
		case r.IDs == "":
			return wrongFlags("--by ids needs --ids", "the events are those that a file lists", "add --ids FILE, a file with one event id a line")
		}
	}
	return nil
}

func wrongFlags(what, why, next string) error {
	return &recount.Error{Code: recount.CodeUsage, What: what, Where: "the command line", Why: why, Next: next}
}

// hits reads which events are in the error window, as typed. dir is the project
// folder. By position and by ids the window's edges stay zero: they are known
// when the events are.
func (r WindowRequest) hits(dir string) (recount.Hits, error) {
	if err := r.Check(); err != nil {
		return recount.Hits{}, err
	}
	by := r.clock()
	h := recount.Hits{Window: recount.Window{By: by}}
	var err error
	switch by {
	case recount.ByEvent, recount.ByIngest:
		if h.Window, err = r.times(); err != nil {
			return recount.Hits{}, err
		}
		h.Window.By = by
	case recount.ByPosition:
		h.Positions, err = r.positions()
	case recount.ByIDs:
		if h.IDs, err = config.ReadIDs(dir, r.IDs); err != nil {
			err = &recount.Error{
				Code: recount.CodeWindow, What: "the list of ids cannot be read", Where: "--ids " + r.IDs, Why: err.Error(),
				Next: "name a file with one event id a line", Err: err,
			}
		}
	}
	return h, err
}

// positions pairs the edges, in the order of the partitions.
func (r WindowRequest) positions() ([]recount.PositionWindow, error) {
	froms, err := byPartition("--from-position", r.FromPositions)
	if err != nil {
		return nil, err
	}
	tos, err := byPartition("--to-position", r.ToPositions)
	if err != nil {
		return nil, err
	}
	for _, text := range r.ToPositions {
		if partition, _, _ := config.ParsePosition(text); froms[partition] == "" {
			return nil, oneEdge(partition, "--from-position", "--to-position "+text)
		}
	}
	list := make([]recount.PositionWindow, 0, len(froms))
	for _, from := range r.FromPositions {
		partition, _, _ := config.ParsePosition(from)
		to := tos[partition]
		if to == "" {
			return nil, oneEdge(partition, "--to-position", "--from-position "+from)
		}
		window, err := config.PositionWindow(from, to)
		if err != nil {
			return nil, &recount.Error{
				Code: recount.CodeWindow, What: "the positions are no window", Where: fmt.Sprintf("--from-position %s --to-position %s", from, to),
				Why: err.Error(), Next: "give an earlier --from-position or a later --to-position", Err: err,
			}
		}
		list = append(list, window)
	}
	slices.SortFunc(list, func(a, b recount.PositionWindow) int {
		return cmp.Compare(recount.PadPosition(a.Partition), recount.PadPosition(b.Partition))
	})
	return list, nil
}

// byPartition maps partitions to the edges of one flag, as typed.
func byPartition(flag string, texts []string) (map[string]string, error) {
	edges := map[string]string{}
	for _, text := range texts {
		partition, _, err := config.ParsePosition(text)
		if err != nil {
			return nil, &recount.Error{
				Code: recount.CodeWindow, What: "a position cannot be read", Where: flag + " " + text, Why: err.Error(), Err: err,
				Next: "write the partition and the position, such as " + flag + " 3:41200",
			}
		}
		if first, twice := edges[partition]; twice {
			return nil, &recount.Error{
				Code: recount.CodeWindow, What: "partition " + partition + " has two edges of one kind", Where: flag + " " + first + " " + flag + " " + text,
				Why: "a window has one span of each partition", Next: "leave one of them away, or correct the spans one after the other",
			}
		}
		edges[partition] = text
	}
	return edges, nil
}

func oneEdge(partition, lacks, where string) error {
	return &recount.Error{
		Code: recount.CodeWindow, What: "partition " + partition + " lacks " + lacks, Where: where,
		Why: "positions have two edges, [from, to), in every partition", Next: "add " + lacks + ", such as " + lacks + " " + partition + ":41200",
	}
}

// times reads a window with two times as edges.
func (r WindowRequest) times() (recount.Window, error) {
	var zone *time.Location
	if r.Timezone != "" {
		loaded, err := time.LoadLocation(r.Timezone)
		if err != nil || r.Timezone == "Local" { // which is another on every machine
			return recount.Window{}, &recount.Error{
				Code: recount.CodeTimeZone, What: fmt.Sprintf("there is no time zone %q", r.Timezone), Where: "--timezone",
				Why: "zones are IANA names, such as Europe/Berlin or UTC", Next: "name one of those, or write the times with their offset", Err: err,
			}
		}
		zone = loaded
	}
	from, err := edge("--from", r.From, zone)
	if err != nil {
		return recount.Window{}, err
	}
	to, err := edge("--to", r.To, zone)
	if err != nil {
		return recount.Window{}, err
	}
	if !from.Before(to) {
		return recount.Window{}, &recount.Error{
			Code: recount.CodeWindow, What: "the window is empty", Where: fmt.Sprintf("--from %s --to %s", r.From, r.To),
			Why: "windows are half open, [from, to), so from must lie before to", Next: "give an earlier --from or a later --to",
		}
	}
	return recount.Window{From: from, To: to, By: recount.ByEvent}, nil
}

func edge(flag, text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, &recount.Error{
			Code: recount.CodeWindow, What: "the window lacks " + flag, Why: "a window has two edges, [from, to)",
			Next: "add " + flag + ", such as " + flag + " 2024-06-10T12:00:00Z",
		}
	}
	at, err := recount.ParseLocal(text, zone)
	if local, ok := errors.AsType[*recount.LocalTimeError](err); ok {
		next := "choose a time that the clock showed, or write it with its offset"
		if len(local.Times) > 1 {
			next = fmt.Sprintf("say which: %s %s or %s %s", flag, local.Times[0].Format(time.RFC3339), flag, local.Times[1].Format(time.RFC3339))
		}
		return at, &recount.Error{Code: recount.CodeLocalTime, What: "the time names no single instant", Where: flag + " " + text, Why: local.Error(), Next: next, Err: err}
	}
	if err == nil && at.Nanosecond()%int(time.Microsecond) != 0 {
		return at, &recount.Error{
			Code: recount.CodeWindow, What: "an edge of the window is finer than a microsecond", Where: flag + " " + text,
			Why: "the archive keeps times to the microsecond, so such an edge would fall between events that it cannot tell apart", Next: "write the time with six digits at most",
		}
	}
	if err == nil {
		return at.UTC(), nil
	}
	if zone == nil {
		if _, local := recount.ParseLocal(text, time.UTC); local == nil {
			return at, &recount.Error{
				Code: recount.CodeTimeZone, What: "a time has no zone", Where: flag + " " + text,
				Why:  "the same clock time is another instant in every zone, and a guess would correct the wrong rows",
				Next: fmt.Sprintf("write %s with its offset, such as 2024-06-10T12:00:00Z, or add --timezone ZONE", flag), Err: err,
			}
		}
	}
	return at, &recount.Error{
		Code: recount.CodeWindow, What: "a time cannot be read", Where: flag, Why: err.Error(), Err: err,
		Next: "write it as RFC 3339, such as 2024-06-10T12:00:00Z",
	}
}
