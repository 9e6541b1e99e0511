// Package archive keeps every event of a stream in Parquet files by hour, and
// says which of them count. It never changes or deletes an object, and never
// learns from a listing what the archive holds: a file is part of it when a
// commit names it, and a commit names the one before it (docs/archive.md).
// Whatever happens between two commits, the next run goes on from the cursor of
// the last one, so that each event is in the archive exactly once.
package archive

import (
	"fmt"
	"strings"
	"time"

	"recount"
	"recount/internal/archive/originals"
	"recount/internal/clock"
	"recount/store"
)

// Archive is the archive in one store. It is safe for concurrent use; one run a
// stream at a time is let in.
type Archive struct {
	store     store.Store
	clock     clock.Clock
	tuning    tuning
	originals originals.Open
}

// Open returns the archive that lies in a store. It reads nothing yet.
func Open(s store.Store, c clock.Clock) *Archive {
	return &Archive{store: s, clock: c, tuning: usualTuning}
}

// UseOriginals says what reads adopted files again. It is called before the first
// use; without it an archive that holds any refuses to read them.
func (a *Archive) UseOriginals(open originals.Open) { a.originals = originals.Once(open) }

// reader reads the adopted files of a stream. fields may be nil.
func (a *Archive) reader(stream string, fields []recount.Field) originals.Reader {
	return originals.Reader{Open: a.originals, Stream: stream, Fields: fields, Hour: func(micros int64, known bool) int64 {
		if !known {
			return int64(unknownHour)
		}
		return int64(hourOf(micros))
	}}
}

// Place is where the archive lies, for a person.
func (a *Archive) Place() string { return a.store.Place() }

// The names of the archive's objects (docs/archive.md).
const (
	metaFolder = "_recount/"
)

func commitsFolder(stream string) string { return metaFolder + stream + "/commits/" }

func commitName(stream string, n int64) string {
	return fmt.Sprintf("%s%020d.json", commitsFolder(stream), n)
}

func marksFolder(stream string) string { return metaFolder + stream + "/marks/" }

func lockName(stream string) string { return metaFolder + stream + "/writer" }

// hour is an hour since 1970, UTC, or unknownHour.
type hour int64

// unknownHour is the hour of events whose time cannot be read: no time between
// the years 1 and 9999 has it.
const unknownHour hour = 1 << 40

const microsPerHour = int64(time.Hour / time.Microsecond)

// hourOf returns the hour of an instant, also before 1970.
func hourOf(micros int64) hour {
	h := micros / microsPerHour
	if micros%microsPerHour < 0 {
		h--
	}
	return hour(h)
}

func (h hour) start() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }

// hiveNull is the name by which Hive and those who read its layout know NULL.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

func (h hour) folder(stream string) string {
	date, hh := hiveNull, hiveNull
	if h != unknownHour {
		at := h.start()
		date, hh = at.Format(time.DateOnly), at.Format("15")
	}
	return stream + "/date=" + date + "/hour=" + hh + "/"
}

// label names the hour inside a file's name.
func (h hour) label() string {
	if h == unknownHour {
		return "unknown"
	}
	return h.start().Format("2006010215")
}

// checkStream refuses names that are no folder of their own.
func checkStream(stream string) error {
	bad := stream == "" || strings.HasPrefix(stream, "_") || strings.HasPrefix(stream, ".") || strings.ContainsAny(stream, "/=")
	if !bad && store.CheckName(stream) == nil {
		return nil
	}
	return &recount.Error{
		Code: recount.CodeConfig, What: fmt.Sprintf("a stream cannot be called %q", stream), Where: "sources",
		Why:  "a stream's name is a folder of the archive: it holds no '/' or '=' and does not begin with '_' or '.'",
		Next: "rename the source in recount.yaml",
	}
}
