package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"recount"
)

// shape is what lies between the bytes of the log and a row, besides the events
// themselves: old shapes that are brought to the present one, reference data, the
// versions of the logic, and what runs them.
type shape struct {
	rightFold [2]bool // a fold is the right logic, by version
	prevFold  bool    // a fold is the previous one
	dies      bool    // folds do not survive some events
	upcasts   bool    // some events have an older shape
	rates     ratesKind
	table     []rate
	second    int // the tick at which the second version came; -1: there is one
	opening   bool

	// The log before the window keeps the order of time, so that replays can begin at
	// a checkpoint; latecomers are events of live traffic that happened before it.
	punctual   bool
	latecomers bool
}

type ratesKind int

const (
	ratesNone ratesKind = iota
	ratesFile
	ratesMissing // of a file, and some events have none
	ratesStream
)

// rate is what is added to the amounts of a kind, from a moment on.
type rate struct {
	kind   string
	tick   int
	micros int
	cents  int64
}

// drawShape draws it by chance of its own, so that all else of a batch stays as it is.
func (b *batch) drawShape() {
	rng := rand.New(rand.NewPCG(b.seed, uint64(b.number)+3<<32)) //nolint:gosec // a batch that its seed repeats
	b.second = -1
	b.upcasts = rng.IntN(3) == 0
	if b.sums() && rng.IntN(3) == 0 {
		b.rates = ratesKind(1 + rng.IntN(3))
		b.drawRates(rng)
	}
	if b.memory == memoryBucket && b.sums() && rng.IntN(2) == 0 {
		b.second = []int{hour, 2 * hour}[rng.IntN(2)]
		b.from -= rng.IntN(2) * hour
	}
	b.punctual = b.running() && rng.IntN(3) != 0
	b.latecomers = b.running() && rng.IntN(3) == 0
	b.drawFolds(rng)
	if b.punctual && b.against != "previous" && rng.IntN(2) == 0 {
		was := b.given.previous
		b.given.previous = false // it has no states of its own
		b.given.previous = was && b.cut == cutFound && !b.hypotheses()
	}
	b.opening = b.running() && !b.lastWins && !b.rightFold[0] && !b.prevFold && rng.IntN(2) == 0
	b.dies = (b.rightFold[0] && b.rightFold[1] || b.prevFold && b.given.previous && b.second < 0) && rng.IntN(2) == 0
}

// drawFolds chooses what is a fold. A fold has no event in several buckets, and may
// not depend on an order that the log does not give; a previous logic that gives
// events another key, or has versions in itself, is none.
func (b *batch) drawFolds(rng *rand.Rand) {
	mode := rng.IntN(6)
	if !b.folds || b.memory == memoryRolling || b.lastWins && b.mixed && !b.order {
		return
	}
	b.rightFold = [2]bool{mode != 0, mode > 1}
	if b.second < 0 {
		b.rightFold[1] = b.rightFold[0]
	}
	// A fold processes every event of its key, and its row says so: the worker here
	// leaves a row alone where it passes an event by.
	passed := b.previous == prevSkip && b.cut != cutClosed && b.cut != cutPaused && b.cut != cutFound
	b.prevFold = !passed && mode < 4 && b.previous != prevRoute && b.second < 0
}

func (b *batch) drawRates(rng *rand.Rand) {
	for _, kind := range []string{"a", "b", "c", "d", "x"} {
		if b.rates != ratesMissing || kind < "c" {
			b.table = append(b.table, rate{kind: kind, tick: -hour, cents: rng.Int64N(1000)})
		}
		for range rng.IntN(5) {
			one := rate{kind, 60 * rng.IntN(planned/60), []int{0, 0, 1, -1}[rng.IntN(4)], rng.Int64N(100_000)}
			if rng.IntN(4) == 0 {
				one.tick = windowAt
			}
			if !known(b.table, one) { // two rows of one moment are refused
				b.table = append(b.table, one)
			}
		}
	}
}

func known(table []rate, one rate) bool {
	for _, r := range table {
		if r.kind == one.kind && r.tick == one.tick && r.micros == one.micros {
			return true
		}
	}
	return false
}

// form gives an entry what the batch's shape asks for, out of what was drawn for it.
func (b *batch) form(e *entry) {
	if b.second >= 0 || b.rates != ratesNone { // some events stand at edges
		switch {
		case e.cents%16 == 0 && !b.punctual:
			e.at -= e.at % hour
		case e.cents%4 == 0:
			e.at -= e.at % 60
		}
	}
	if b.latecomers && e.tick >= planned && e.cents%3 == 0 {
		e.at = e.tick % hour
	}
	if b.punctual && e.tick >= windowAt && e.tick < planned {
		e.at = max(e.at, windowAt)
	}
}

// begins says that replays may begin at a checkpoint.
func (b *batch) begins() bool { return b.punctual && (b.rightFold[0] || b.opening) }

// early says that all events of a row may lie before a checkpoint, which does not
// tell the last of them.
func (b *batch) early(r *row) bool { return b.begins() && r != nil && r.at < windowAt }

// hidden says that a checkpoint may hold the event of which this is a repeat among
// the hit ones.
func (b *batch) hidden(e *entry) bool {
	return b.begins() && e.repeat && b.hit(e) && e.at < windowAt
}

// spotless says that an entry may not be quarantined: a checkpoint ends after it.
func (b *batch) spotless(e *entry) bool { return b.punctual && e.at < windowAt }

// value is the amount that the right logic takes for an entry.
func (b *batch) value(e *entry) int64 {
	cents := e.cents
	var newest *rate
	for i, r := range b.table {
		since := r.tick*1_000_000 + r.micros
		if r.kind == e.kind && since <= e.at*1_000_000 && (newest == nil || since > newest.tick*1_000_000+newest.micros) {
			newest = &b.table[i]
		}
	}
	if newest != nil {
		cents += newest.cents
	}
	if bucket := e.at - e.at%hour; b.second >= 0 && bucket >= b.second && e.kind == "a" {
		cents *= 2
	}
	return cents
}

// amountSQL is the same in SQL, of one version; -1: of all, each in its time.
func (b *batch) amountSQL(version int) string {
	amount := "amount"
	switch b.rates {
	case ratesNone:
	case ratesMissing:
		amount = "(amount + coalesce(extra, 0))"
	case ratesFile, ratesStream:
		amount = "(amount + extra)"
	}
	double := "CASE WHEN kind = 'a' THEN 2 * " + amount + " ELSE " + amount + " END"
	switch {
	case b.second < 0 || version == 0:
		return amount
	case version == 1:
		return "(" + double + ")"
	}
	return fmt.Sprintf("(CASE WHEN time >= TIMESTAMPTZ '%s' THEN %s ELSE %s END)", recount.FormatTimestamp(instant(b.second)), double, amount)
}

// payload is what the log holds of an entry, in the shape of its time.
func (b *batch) payload(e *entry) map[string]any {
	amount := fmt.Sprintf("%.2f", float64(e.cents)/100)
	if e.poison {
		amount = "12,5"
	}
	p := map[string]any{"id": e.id, "at": recount.FormatTimestamp(instant(e.at)), "in": recount.FormatTimestamp(instant(e.in)), "kind": e.kind, "ord": e.ord}
	old := int64(0)
	if b.upcasts {
		old = max(e.cents, -e.cents) / 4 % 4
	}
	switch old {
	case 1: // in cents
		p["who"], p["cents"] = e.who, e.cents
		if e.poison {
			p["cents"] = "a few"
		}
	case 2: // in cents, and of a user
		p["user"], p["cents"] = e.who, fmt.Sprint(e.cents)
		if e.poison {
			p["cents"] = "1.5e"
		}
	case 3: // a text in the amount's own place
		p["who"], p["amount"] = e.who, amount+" EUR"
	default:
		p["who"], p["amount"] = e.who, amount
	}
	return p
}

func (b *batch) line(e *entry) string {
	line, err := json.Marshal(b.payload(e))
	if err != nil {
		return "" // texts and numbers always have a JSON form
	}
	return string(line) + "\n"
}

const upcastYAML = `    upcast:
      - {name: user, when: "payload ->> '$.user' IS NOT NULL", set: {who: "payload ->> '$.user'"}}
      - name: cents
        when: "payload ->> '$.cents' IS NOT NULL"
        set: {amount: "CAST(CAST(payload ->> '$.cents' AS BIGINT) * 0.01 AS DECIMAL(18,2))"}
      - name: currency
        when: "payload ->> '$.amount' LIKE '% EUR'"
        set: {amount: "CAST(replace(payload ->> '$.amount', ' EUR', '') AS DECIMAL(18,2))"}`

// yamlSources are the sources' parts of the shape, and the reference data.
func (b *batch) yamlSources(add func(string, ...any)) {
	if b.upcasts {
		add("%s", upcastYAML)
	}
	switch b.rates {
	case ratesNone:
	case ratesFile, ratesMissing:
		add("lookups:\n  rates: {file: rates.csv, key: [what], time: since, fields: {what: string, since: timestamp, plus: \"decimal(18,2)\"}}")
	case ratesStream:
		add("  rates:\n    files: {paths: [rates.jsonl]}\n    event: {id: id, time: since}\n    fields: {what: string, plus: \"decimal(18,2)\"}")
		add("lookups:\n  rates: {source: rates, key: [what]}")
	}
}

// yamlLogic is the right logic as recount.yaml names it.
func (b *batch) yamlLogic(add func(string, ...any)) {
	if b.second < 0 {
		add("    %s", b.logic(b.rightFold[0], prevNone, false, "right.sql"))
	} else {
		at := recount.FormatTimestamp(instant(b.second))
		add("    versions:\n      - {name: one, %s, effective: {to: %q}}", b.logic(b.rightFold[0], prevNone, false, "right.sql"), at)
		add("      - {name: two, %s, effective: {from: %q}}", b.logic(b.rightFold[1], prevNone, true, "later.sql"), at)
	}
	if b.opening {
		add("    opening: {who: string, total: \"decimal(38,2)\", n: int64}")
	}
	if b.rates != ratesNone {
		missing := ""
		if b.rates == ratesMissing {
			missing = ", missing: null"
		}
		add("    lookups: {rates: {on: [kind], take: {extra: plus}%s}}", missing)
	}
}

// writeRates writes the reference data: as a file, or as changes that are archived.
func (b *batch) writeRates(dir string) error {
	var file, changes strings.Builder
	file.WriteString("what,since,plus\n")
	for i, r := range b.table {
		since := recount.FormatTimestamp(instant(r.tick).Add(time.Duration(r.micros) * time.Microsecond))
		plus := fmt.Sprintf("%.2f", float64(r.cents)/100)
		fmt.Fprintf(&file, "%s,%s,%s\n", r.kind, since, plus)
		fmt.Fprintf(&changes, "{\"id\":\"r%d\",\"since\":%q,\"what\":%q,\"plus\":%q}\n", i, since, r.kind, plus)
	}
	switch b.rates {
	case ratesNone:
	case ratesFile, ratesMissing:
		return os.WriteFile(filepath.Join(dir, "rates.csv"), []byte(file.String()), 0o600)
	case ratesStream:
		return os.WriteFile(filepath.Join(dir, "rates.jsonl"), []byte(changes.String()), 0o600)
	}
	return nil
}

// countModes notes what the batch had.
func (g *game) countModes() {
	b := g.b
	checkpoints, _ := filepath.Glob(filepath.Join(g.dir, "archive", "_recount", "*", "checkpoints", "*"))
	for mode, had := range map[string]bool{
		"a fold":                       b.rightFold[0] || b.rightFold[1],
		"the previous fold":            b.prevFold && b.given.previous,
		"a fold and SQL":               b.given.previous && b.prevFold != b.rightFold[0] || b.second >= 0 && b.rightFold[0] != b.rightFold[1],
		"events that no fold survives": b.dies,
		"old shapes":                   b.upcasts,
		"reference data":               b.rates != ratesNone,
		"reference data of a stream":   b.rates == ratesStream,
		"versions":                     b.second >= 0,
		"opening":                      b.opening,
		"late in live traffic":         b.latecomers,
		"checkpoints":                  len(checkpoints) > 0,
		"deltas":                       b.write == "delta",
		"entries":                      b.write == "adjust",
		"live traffic":                 g.round > 0,
	} {
		if had {
			g.tally.modes[mode]++
		}
	}
}
