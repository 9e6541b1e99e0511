package app

import (
	"errors"
	"fmt"
	"time"

	"recount"
)

// window reads a window of event time as typed, and refuses every other one:
// none may be taken for it.
func (r WindowRequest) window() (recount.Window, error) {
	if err := r.Check(); err != nil {
		return recount.Window{}, err
	}
	if by := r.clock(); by != recount.ByEvent || r.Paused != "" {
		return recount.Window{}, &recount.Error{
			Code: recount.CodeUnsupported, What: "this command measures windows by event time alone", Where: "the command line",
			Why: fmt.Sprintf("the window is given by %s, or with --paused", by), Next: "give --from and --to as times",
		}
	}
	return r.times()
}

// times reads a window with two times as edges.
func (r WindowRequest) times() (recount.Window, error) {
	var zone *time.Location
	if r.Timezone != "" {
		loaded, err := time.LoadLocation(r.Timezone)
		if err != nil {
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
