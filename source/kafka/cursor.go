package kafka

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"recount"
	"recount/source"
)

// mark is a partition's cursor.
type mark struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// ID is the topic's own id: a topic that was made anew has another. Empty where
	// the brokers are too old to tell.
	ID string `json:"id,omitempty"`
	// Generation counts the logs that the archive has read as this partition.
	Generation int   `json:"generation"`
	Next       int64 `json:"next"` // the first offset that was not read
	// Epoch is the leadership under which the last record was written, -1 where it
	// is not known: it tells whether the log was cut back since.
	Epoch int32 `json:"epoch"`
	// End is where the log ended when it was last looked at.
	End int64 `json:"end"`
	// Pulled says that only parts of the log were read, the last of them up to Next:
	// nothing before was promised, and Read begins at the log's beginning.
	Pulled bool `json:"pulled,omitempty"`
	// Over says that the log is gone and its loss is told. Last is the first offset
	// that was never read, and From where the next generation begins.
	Over bool  `json:"over,omitempty"`
	Last int64 `json:"last,omitempty"`
	From int64 `json:"from,omitempty"`
}

func (m mark) text() string {
	b, err := json.Marshal(m)
	if err != nil { // a struct of texts and numbers can always be written
		panic(err)
	}
	return string(b)
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// held is what the archive has of a partition.
type held struct {
	name string // of the newest generation
	mark mark
	// older are generations before it whose loss is not told: the newest was pulled
	// from before any run came to it.
	older []held
}

// base is the name of the first generation.
func (h held) base() string {
	name, _, _ := strings.Cut(h.name, "@")
	return name
}

// holdings reads the archive's cursor: by partition the newest generation.
func holdings(cursor source.Cursor) (map[place]held, error) {
	all := make(map[place]held, len(cursor))
	for name, text := range cursor {
		var m mark
		if err := json.Unmarshal([]byte(text), &m); err != nil || m.Topic == "" {
			return nil, &recount.Error{
				Code: recount.CodeMapping, What: "the archive's cursor was not made by this source", Where: fmt.Sprintf("partition %q", name), Err: err,
				Why:  fmt.Sprintf("%.100q is no cursor of a Kafka partition", text),
				Next: "give the source a new name, and archive it anew",
			}
		}
		at := place{m.Topic, m.Partition}
		h, known := held{name: name, mark: m}, all[at]
		if known.mark.Generation > m.Generation {
			h, known = known, h
		}
		h.older = append(h.older, known.older...)
		if known.older = nil; known.name != "" && !known.mark.Over {
			h.older = append(h.older, known)
		}
		all[at] = h
	}
	return all, nil
}

// names gives new partitions their names.
type names struct {
	several bool
	taken   map[string]string // topic by name
}

func (s *Source) names(known map[place]held) names {
	n := names{several: len(s.config.Topics) > 1, taken: map[string]string{}}
	for at, h := range known {
		n.taken[h.base()] = at.topic
	}
	return n
}

// of is the first name of a partition. The number alone is used where it can mean
// no other topic's: positions of two topics never mix.
func (n names) of(at place) string {
	number := strconv.Itoa(int(at.partition))
	if n.several {
		return at.topic + "-" + number
	}
	for _, topic := range n.taken {
		if topic != at.topic {
			return at.topic + "-" + number
		}
	}
	return number
}

// named is the name of a generation.
func named(base string, generation int) string {
	if generation <= 1 {
		return base
	}
	return base + "@" + strconv.Itoa(generation)
}

// numberOf is the partition's number in a name that this package made; false: it
// made none such.
func numberOf(name string) (int32, bool) {
	name, _, _ = strings.Cut(name, "@")
	number := name[strings.LastIndexByte(name, '-')+1:]
	n, err := strconv.ParseInt(number, 10, 32)
	return int32(n), err == nil && n >= 0
}

// idText is the cursor's spelling of a topic's id.
func idText(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return id.String()
}

const (
	positionDigits = len(zeros)
	zeros          = "00000000000000000000"
	// lastOffset is beyond every offset: a gap to it has no known end.
	lastOffset = math.MaxInt64
)

// position spells an offset as archived.
func position(offset int64) string {
	return string(appendPosition(nil, offset))
}

func appendPosition(b []byte, offset int64) []byte {
	b = append(b, zeros...)
	for i := len(b) - 1; offset > 0; i-- {
		b[i] = byte('0' + offset%10)
		offset /= 10
	}
	return b
}

func gap(partition string, from, to int64, reason recount.GapReason) recount.Gap {
	return recount.Gap{Partition: partition, From: position(from), To: position(to), Reason: reason}
}
