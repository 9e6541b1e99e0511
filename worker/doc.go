// Package worker is for authors of calculations in Go. A calculation is a Fold: a
// function that takes the events of one key, one after the other, into a state,
// and one that says which rows a state stands for.
//
//	func main() {
//		worker.Register("balances", balances)
//		command.Main()
//	}
//
// The program is then the whole recount command, and `go: balances` in
// recount.yaml names the fold. Recount runs it over archived events: isolated,
// several keys at once, and twice, to see that it gives the same rows both times.
// What a fold would send to the world outside it hands to Context.Effect, which
// records it and sends nothing.
//
// A fold must depend on nothing but its events and its state. The clock, chance and
// the environment of the process are not those of production: see Context.Now
// and Context.Rand. docs/go-worker.md tells more.
//
// # Types
//
// Event and Row are structs of the author's own. A field is a column: the one
// that its tag names (`recount:"user_id"`), else that of its name in snake case
// (UserID is user_id); `recount:"-"` leaves it out. An event's columns are the
// fields that the source declares and those of the envelope: id, stream, type,
// partition, position, time, ingest_time, key, data, headers and hit. Only the
// columns that Event names are read.
//
//	string            string, []byte
//	json              string, []byte, json.RawMessage
//	int64             int64, and all other whole numbers; what does not fit ends the event
//	double            float64
//	decimal(p,s)      Decimal
//	bool              bool
//	timestamp, date   time.Time, in UTC
//
// A column that may be NULL needs a pointer or a Null, or, where the zero value
// will do for NULL, a tag such as `recount:"coupon,zero"`. In a Row, a Decimal
// needs its digits (`recount:"total,decimal(18,2)"`), and a time that is a date its
// type (`recount:"day,date"`). The fields of a fold's key need not be in Row: they
// are put before its columns.
package worker
