package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"recount"
	"recount/source"
	"recount/source/postgres/pgoutput"
)

// spot is a place in the order of changes: a commit, and a change of its
// transaction. It is where the next change is that was not read.
type spot struct {
	commit pgoutput.LSN
	index  int64
}

func (a spot) before(b spot) bool {
	return a.commit < b.commit || a.commit == b.commit && a.index < b.index
}

// position spells a spot as the archive keeps it.
func (a spot) position() string { return fmt.Sprintf("%020d%010d", uint64(a.commit), a.index) }

// farthest is the position past every spot's.
var farthest = strings.Repeat("9", len(spot{}.position()))

// mark is a partition's cursor.
type mark struct {
	// System and Database tell one history of a database from the next.
	System     string `json:"system"`
	Database   string `json:"database"`
	Timeline   int    `json:"timeline"`
	Generation int    `json:"generation"`
	LSN        string `json:"lsn"`
	Index      int64  `json:"index,omitempty"`
	// Over says that another history goes on, and the loss of this one's rest is told.
	Over bool `json:"over,omitempty"`
}

func (m mark) text() string {
	b, err := json.Marshal(m)
	if err != nil { // a struct of texts and numbers can always be written
		panic(err)
	}
	return string(b)
}

func (m mark) spot() spot {
	at, _ := pgoutput.ParseLSN(m.LSN) // newest has read it
	return spot{at, m.Index}
}

func (m mark) at(s spot) mark {
	m.LSN, m.Index = s.commit.String(), s.index
	return m
}

// same says whether two marks are of one history.
func (m mark) same(other mark) bool {
	return m.System == other.System && m.Database == other.Database && m.Generation == other.Generation
}

func (m mark) partition() string {
	if m.Generation <= 1 {
		return m.Database
	}
	return m.Database + "@" + strconv.Itoa(m.Generation)
}

// newest is the mark of the history that is followed now.
func newest(cursor source.Cursor) (m mark, known bool, err error) {
	for name, text := range cursor {
		var one mark
		err := json.Unmarshal([]byte(text), &one)
		if err == nil {
			_, err = pgoutput.ParseLSN(one.LSN)
		}
		if err != nil || one.System == "" || one.Generation < 1 {
			return mark{}, false, &recount.Error{
				Code: recount.CodeMapping, What: "the archive's cursor was not made by this source", Where: fmt.Sprintf("partition %q", name), Err: err,
				Why:  fmt.Sprintf("%.100q is no cursor of a slot", text),
				Next: "give the source a new name, and archive it anew",
			}
		}
		if one.Generation > m.Generation {
			m, known = one, true
		}
	}
	return m, known, nil
}

// system is a history of a cluster, as the server tells it.
type system struct {
	id       string
	timeline int
	// left are the places at which timelines before were left for the next one.
	left map[int]pgoutput.LSN
}

// parseHistory reads a server's file of timelines: number, place, reason.
func parseHistory(text string) map[int]pgoutput.LSN {
	left := map[int]pgoutput.LSN{}
	for line := range strings.Lines(text) {
		const words = 2
		parts := strings.Fields(line)
		if len(parts) < words {
			continue
		}
		n, err := strconv.Atoi(parts[0])
		at, err2 := pgoutput.ParseLSN(parts[1])
		if err == nil && err2 == nil {
			left[n] = at
		}
	}
	return left
}

// assign says where the slot is read on, and what must be told before. confirmed is
// the slot's own place: what committed before it is not in the slot.
func assign(cursor source.Cursor, sys system, database string, confirmed pgoutput.LSN, now time.Time) (m mark, before []source.Batch, err error) {
	old, known, err := newest(cursor)
	if err != nil {
		return mark{}, nil, err
	}
	m = mark{System: sys.id, Database: database, Timeline: sys.timeline, Generation: 1}.at(spot{commit: confirmed})
	if !known {
		return m, nil, nil
	}
	m.Generation = old.Generation + 1
	if old.System != sys.id || old.Database != database {
		before = append(before, ended(old, now)...)
		return m, before, nil
	}
	if old.Timeline != sys.timeline {
		left, ok := sys.left[old.Timeline]
		if !ok {
			return m, ended(old, now), nil
		}
		if left < old.spot().commit { // it was read further than the history that stands
			return passed(m.at(spot{commit: left}), confirmed, now)
		}
		old.Timeline = sys.timeline
	}
	return passed(old, confirmed, now)
}

// ended tells that the rest of a history was not read.
func ended(old mark, now time.Time) []source.Batch {
	if old.Over {
		return nil
	}
	from := old.spot()
	old.Over = true
	return []source.Batch{{Partition: old.partition(), Cursor: old.text(), Gaps: []recount.Gap{lost(old.partition(), from.position(), farthest, now)}}}
}

// passed tells what the slot no longer has after a mark.
func passed(m mark, confirmed pgoutput.LSN, now time.Time) (mark, []source.Batch, error) {
	from, to := m.spot(), spot{commit: confirmed}
	if !from.before(to) {
		return m, nil, nil
	}
	m = m.at(to)
	return m, []source.Batch{{Partition: m.partition(), Cursor: m.text(), Gaps: []recount.Gap{lost(m.partition(), from.position(), to.position(), now)}}}, nil
}

func lost(partition, from, to string, now time.Time) recount.Gap {
	return recount.Gap{Partition: partition, From: from, To: to, Reason: recount.GapRetention, Before: now}
}
