package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"recount"
	"recount/internal/archive/idindex"
	"recount/internal/archive/pack"
)

// head stands for the commit log up to a commit, so that few objects are read
// instead of one a commit. It is never the truth: it is made from the log, holds
// only if its commit is there with the digest that it names, and one that is
// missing, damaged or of another version is passed by.
type head struct {
	Format int    `json:"format"`
	Stream string `json:"stream"`
	Commit int64  `json:"commit"`
	Digest string `json:"digest"` // of the commit
	// Packs hold the commits from 1 to Commit.
	Packs []packRef `json:"packs"`
	// IDs are the runs of the index of ids, from the first event on.
	IDs []idindex.Ref `json:"ids"`
	// Gone are the objects that the head before named and this one does not. They
	// are deleted with the next head, so that who reads the one before finds them.
	Gone []string `json:"gone"`

	name string
}

// packRef names commits From to To.
type packRef struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	From   int64  `json:"from"`
	To     int64  `json:"to"`
}

// packed is one commit in a pack, in the program's own form.
type packed struct {
	Digest string
	Commit commit
}

const headFormat = 1

// tuning is how much work is put off; tests make it small.
type tuning struct {
	every   int64 // commits between two heads
	scanned int64 // ids of earlier events that a batch is compared with where there is no index
	fresh   int64 // ids that may be in no run of the store
}

var usualTuning = tuning{every: 64, scanned: 1 << 18, fresh: 1 << 18}

func headsFolder(stream string) string { return metaFolder + stream + "/heads/" }

func headName(stream string, n int64, digest string) string {
	const digits = 8
	return fmt.Sprintf("%s%020d-%s.json", headsFolder(stream), n, digest[:digits])
}

// derived says whether an object can be made from the commit log and the files.
func derived(stream, name string) bool {
	return strings.HasPrefix(name, headsFolder(stream)) || strings.HasPrefix(name, idsFolder(stream))
}

// fromHead returns the chain as the newest usable head says, or an empty one. The
// listing is a hint: what it does not show costs time. Where the snapshot until
// is among the commits, the chain ends with it.
func (a *Archive) fromHead(ctx context.Context, stream, until string) *chain {
	var names []string
	err := a.store.List(ctx, headsFolder(stream), func(name string, _ int64) error {
		if strings.HasSuffix(name, ".json") {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		names = nil
	}
	const tries = 3
	slices.Reverse(names)
	for _, name := range names[:min(tries, len(names))] {
		if ch, err := a.chainOf(ctx, stream, name, until); err == nil {
			return ch
		}
	}
	return newChain(stream)
}

// chainOf reads the chain that a head stands for, and proves it.
func (a *Archive) chainOf(ctx context.Context, stream, name, until string) (*chain, error) {
	object, err := a.read(ctx, name)
	if err != nil {
		return nil, err
	}
	body, _, err := unframe(object)
	if err != nil {
		return nil, err
	}
	h := &head{}
	if err := json.Unmarshal(body, h); err != nil {
		return nil, err
	}
	if h.Format != headFormat || h.Stream != stream {
		return nil, fmt.Errorf("head %q is of format %d and stream %q", name, h.Format, h.Stream)
	}
	h.name = name
	if object, err = a.read(ctx, commitName(stream, h.Commit)); err != nil {
		return nil, err
	}
	newest, digest, err := decodeCommit(object)
	if err != nil {
		return nil, err
	}
	if digest != h.Digest || newest.Number != h.Commit || newest.Stream != stream {
		return nil, errors.New("its commit is another")
	}
	ch := newChain(stream)
	ch.reading = true
	for _, p := range h.Packs {
		if err := a.eachPacked(ctx, p, func(c *packed) error {
			if ch.ends(until) {
				return nil
			}
			return ch.add(&c.Commit, c.Digest)
		}); err != nil {
			return nil, err
		}
		if ch.ends(until) {
			return ch, nil
		}
		if ch.snapshot.Commit != p.To {
			return nil, fmt.Errorf("pack %q ends with commit %d", p.Name, ch.snapshot.Commit)
		}
	}
	if ch.snapshot.ID != h.Digest || ch.snapshot.Commit != h.Commit {
		return nil, errors.New("its packs are of another log")
	}
	ch.head = h
	return ch, nil
}

// ends says whether the chain ends with a snapshot, by its id or a beginning of it
// that is long enough.
func (ch *chain) ends(id string) bool {
	const shortest = 8
	return len(id) >= shortest && strings.HasPrefix(ch.snapshot.ID, id)
}

// eachPacked reads the commits of a pack. Nothing of it may be used before it has
// returned without an error.
func (a *Archive) eachPacked(ctx context.Context, p packRef, use func(*packed) error) error {
	return a.eachRecord(ctx, p, func(record []byte) error {
		c := &packed{}
		if err := pack.Read(record, c); err != nil {
			return err
		}
		return use(c)
	})
}

// eachRecord reads a pack whose layout is the program's, and compares its digest
// in the end.
func (a *Archive) eachRecord(ctx context.Context, p packRef, use func(record []byte) error) error {
	o, err := a.store.Open(ctx, p.Name)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	sum := sha256.New()
	r := io.TeeReader(o, sum)
	known := false
	err = pack.Each(r, func(record []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if known {
			return use(record)
		}
		if known = string(record) == packLayout(); !known {
			return fmt.Errorf("pack %q was written by another version", p.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != p.SHA256 {
		return fmt.Errorf("pack %q: %w", p.Name, pack.ErrDamaged)
	}
	return nil
}

// packLayout is the first record of a pack.
func packLayout() string { return digestOf([]byte(pack.Layout(packed{}))) }

// settle makes a head where the chain has grown enough since the last one, or
// the index of ids has. A run is not ended by what goes wrong with it: it can be
// made later, and if the store is at fault the next commit says so.
func (r *run) settle(ctx context.Context) {
	ch, t := r.chain, r.archive.tuning
	if ch.snapshot.Commit-ch.head.Commit < t.every && r.index.fresh.Len() < t.fresh {
		return
	}
	_ = r.archive.putHead(ctx, ch, r.index.keep(ctx))
}

// putHead makes a head of the chain, which has the commits since its last one.
func (a *Archive) putHead(ctx context.Context, ch *chain, ids []idindex.Ref) error {
	h := &head{Format: headFormat, Stream: ch.stream, Commit: ch.snapshot.Commit, Digest: ch.snapshot.ID, IDs: ids, Gone: []string{}}
	h.name = headName(h.Stream, h.Commit, h.Digest)
	last := ch.head
	if int64(len(ch.since)) != h.Commit-last.Commit {
		return fmt.Errorf("%d of the commits after %d are known", len(ch.since), last.Commit)
	}
	p := packRef{From: last.Commit + 1, To: h.Commit}
	from := len(last.Packs)
	for from > 0 && last.Packs[from-1].To-last.Packs[from-1].From+1 <= 2*(p.To-p.From+1) {
		from--
		p.From = last.Packs[from].From
	}
	h.Packs = slices.Clone(last.Packs[:from])
	const digits = 8
	p.Name = fmt.Sprintf("%s%020d-%020d-%s.pack", headsFolder(ch.stream), p.From, p.To, h.Digest[:digits])
	sum := sha256.New()
	if err := a.putDerived(ctx, p.Name, func(w io.Writer) error {
		sum.Reset()
		return a.writePack(ctx, w, sum, last.Packs[from:], ch.since)
	}); err != nil {
		return err
	}
	p.SHA256 = hex.EncodeToString(sum.Sum(nil))
	h.Packs = append(h.Packs, p)
	kept := h.objects()
	for _, name := range last.objects() {
		if !slices.Contains(kept, name) {
			h.Gone = append(h.Gone, name)
		}
	}
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	object, _ := frame(body)
	if err := a.putDerived(ctx, h.name, func(w io.Writer) error { _, err := w.Write(object); return err }); err != nil {
		return err
	}
	ch.head, ch.since = h, nil
	for _, name := range last.Gone {
		if derived(ch.stream, name) {
			_ = a.store.Delete(ctx, name)
		}
	}
	return nil
}

// objects names what belongs to the head, itself too.
func (h *head) objects() []string {
	var names []string
	for _, p := range h.Packs {
		names = append(names, p.Name)
	}
	for _, r := range h.IDs {
		names = append(names, r.Name)
	}
	if h.name != "" {
		names = append(names, h.name)
	}
	return names
}

// writePack writes the commits of older packs, then those since.
func (a *Archive) writePack(ctx context.Context, out io.Writer, sum hash.Hash, older []packRef, since [][]byte) error {
	w, err := pack.NewWriter(io.MultiWriter(out, sum))
	if err != nil {
		return err
	}
	if err := w.Write([]byte(packLayout())); err != nil {
		return err
	}
	for _, p := range older {
		if err := a.eachRecord(ctx, p, w.Write); err != nil {
			return err
		}
	}
	for _, record := range since {
		if err := w.Write(record); err != nil {
			return err
		}
	}
	return w.Close()
}

// putDerived puts an object that can be made again, in the place of whatever a
// crashed run left there.
func (a *Archive) putDerived(ctx context.Context, name string, write func(io.Writer) error) error {
	err := a.store.Put(ctx, name, write)
	if errors.Is(err, recount.ErrExists) {
		if err = a.store.Delete(ctx, name); err == nil {
			err = a.store.Put(ctx, name, write)
		}
	}
	return err
}

// note keeps a commit for the next pack.
func (ch *chain) note(c *commit, digest string) {
	if !ch.keeps {
		return
	}
	ch.since = append(ch.since, pack.Append(nil, packed{digest, *c}))
}

// frame gives a body the frame of a commit's object, and returns its digest.
func frame(body []byte) (object []byte, digest string) {
	digest = digestOf(body)
	return bytes.Join([][]byte{[]byte(frameHead), []byte(digest), []byte(frameBody), body, []byte(frameTail)}, nil), digest
}

// unframe returns the body of an object and its digest, which it proves.
func unframe(object []byte) (body []byte, digest string, err error) {
	rest, ok := bytes.CutPrefix(object, []byte(frameHead))
	const digestLen = 2 * sha256.Size
	if !ok || len(rest) < digestLen+len(frameBody)+len(frameTail) {
		return nil, "", errors.New("it is no commit, or was cut")
	}
	digest = string(rest[:digestLen])
	body, ok = bytes.CutPrefix(rest[digestLen:], []byte(frameBody))
	body, ended := bytes.CutSuffix(body, []byte(frameTail))
	if !ok || !ended {
		return nil, "", errors.New("it is no commit, or was cut")
	}
	if digestOf(body) != digest {
		return nil, "", errors.New("its bytes do not give its digest")
	}
	return body, digest, nil
}
