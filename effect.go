package recount

import "time"

// Effect is what a worker would have sent to the world outside: a mail, an
// invoice, a call. Recount lists effects and compares them; it never sends one.
type Effect struct {
	Kind string // such as mail or invoice
	Key  string // tells effects of a kind apart, such as the order's number
	// Seq, Partition, Position and EventID name the event at which it would have
	// been sent.
	Seq       int64
	Partition string
	Position  string
	EventID   string
	Time      time.Time // the event's
	// Payload is JSON, in canonical form (keys sorted, no spaces).
	Payload []byte
}
