package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"recount"
)

// Context is what a fold may know besides its event and its state. It is valid
// during a call.
type Context struct {
	key    []recount.Value
	bucket int64
	micros int64
	seq    int64

	seed   uint64
	random *rand.Rand
	pcg    *rand.PCG
	seeded bool // random belongs to the event

	// still says that Rows or Start runs, which can send nothing.
	still   bool
	record  bool
	effects []recount.Effect
	err     error
}

// Now is the event's time: the only clock of a replay. In Start it is the
// zero time.
func (c *Context) Now() time.Time {
	if c.micros == NoTime {
		return time.Time{}
	}
	return time.UnixMicro(c.micros).UTC()
}

// Bucket is the start of the event's bucket, where the calculation has a bucket;
// else the zero time.
func (c *Context) Bucket() time.Time {
	if c.bucket == NoTime {
		return time.Time{}
	}
	return time.UnixMicro(c.bucket).UTC()
}

// NoTime stands for a time that there is not, where times are numbers. It is for
// engines.
const NoTime = -1 << 63

// Key are the values of the fields by which events are gathered, as canonical
// text. It is not to be changed.
func (c *Context) Key() []recount.Value { return c.key }

// Rand gives random numbers that are the same in each run for the same event. The
// certificate of recount verify runs with another seed: rows that depend on it are
// found and refused, since no replay could bring back the numbers of production.
func (c *Context) Rand() *rand.Rand {
	if c.random == nil {
		c.pcg = rand.NewPCG(0, 0)
		c.random = rand.New(c.pcg) //nolint:gosec // numbers that can be drawn again are the point
	}
	if !c.seeded {
		c.seeded = true
		c.pcg.Seed(c.seed, uint64(c.seq))
	}
	return c.random
}

// Effect records what the worker would have sent at this event: kind says what it is
// (mail, invoice), key tells it from others of its kind, and payload is anything
// that JSON can hold. Nothing is sent.
func (c *Context) Effect(kind, key string, payload any) {
	switch {
	case c.still:
		c.fail(errors.New("Context.Effect was called outside of Step: rows are asked for at will, and send nothing"))
	case kind == "":
		c.fail(errors.New("Context.Effect needs a kind, such as mail"))
	case c.record:
		text, err := canonicalJSON(payload)
		if err != nil {
			c.fail(fmt.Errorf("the payload of effect %s %s: %w", clip(kind), clip(key), err))
			return
		}
		c.effects = append(c.effects, recount.Effect{Kind: kind, Key: key, Seq: c.seq, Time: c.Now(), Payload: text})
	}
}

// fail keeps the first error: it ends the event once the author's code returns.
func (c *Context) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// canonicalJSON spells a value with sorted keys and without spaces.
func canonicalJSON(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(tree); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
