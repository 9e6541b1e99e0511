package run

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// partDone is what is kept of a part that was folded, beside its files.
type partDone struct {
	Events   int64      `json:"events"`
	Keys     int64      `json:"keys"`
	Poisoned []Poisoned `json:"poisoned,omitempty"`
	Rows     int64      `json:"rows_bytes"`
	Effects  int64      `json:"effects_bytes"`
}

// resumeFolder is where the parts of this very run are kept; empty: nowhere. All
// that makes them is in its name.
func (r *runner) resumeFolder() (string, error) {
	if r.spec.Resume == "" || r.spec.Digest == "" {
		return "", nil
	}
	s := r.spec
	what, err := json.Marshal([]any{
		s.Digest, r.bits, s.Stream, s.Fields, s.Reads, s.By, s.Bucket.Size, s.Bucket.Zone.String(), s.Shape, s.Keys, s.Read, s.Hit, s.Until, s.Dedupe,
		s.Feed, s.Show, s.Alone, s.Out != "", s.Effects != "", s.MaxPoisoned, s.Shake.Interleave,
	})
	if err != nil {
		return "", fmt.Errorf("name the parts of a run: %w", err)
	}
	sum := sha256.Sum256(what)
	return filepath.Join(s.Resume, "fold-"+hex.EncodeToString(sum[:16])), nil
}

func (r *runner) partPath(n int, what string) string {
	return filepath.Join(r.resume, fmt.Sprintf("%04d.%s", n, what))
}

// resumeParts finds the parts that an earlier run of the same has done.
func (r *runner) resumeParts() (err error) {
	if r.resume, err = r.resumeFolder(); err != nil || r.resume == "" {
		return err
	}
	if err := os.MkdirAll(r.resume, 0o700); err != nil {
		return fmt.Errorf("keep parts of a run: %w", err)
	}
	for n := range r.parts {
		done, err := r.readDone(n)
		if err != nil {
			return err
		}
		if done == nil {
			continue
		}
		r.parts[n].done = true
		r.keys.Add(done.Keys)
		r.result.Poisoned = append(r.result.Poisoned, done.Poisoned...)
		r.result.Resumed++
	}
	return nil
}

// readDone opens the files of a part that is done; nil: it is not.
func (r *runner) readDone(n int) (*partDone, error) {
	text, err := os.ReadFile(r.partPath(n, "json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("go on from an earlier run: %w", err)
	}
	var done partDone
	if err := json.Unmarshal(text, &done); err != nil {
		return nil, fmt.Errorf("go on from an earlier run: part %d: %w", n, err)
	}
	out := &results{&records{}, &records{}}
	for _, one := range []struct {
		what string
		size int64
		to   *records
	}{{"rows", done.Rows, out.rows}, {"effects", done.Effects, out.effects}} {
		if one.size == 0 {
			continue
		}
		f, err := os.Open(r.partPath(n, one.what))
		if err != nil {
			return nil, fmt.Errorf("go on from an earlier run: %w", err)
		}
		r.files = append(r.files, &spillFile{file: f})
		one.to.runs = []blocks{{f, 0, one.size}}
	}
	r.done[n] = out
	return &done, nil
}

// keepPart writes what a part gave to the resume folder. The description, which
// makes it count, comes last.
func (r *runner) keepPart(ctx context.Context, n int, out *results, keys int64, poisoned []Poisoned) error {
	done := partDone{Events: r.parts[n].events, Keys: keys, Poisoned: poisoned}
	var err error
	if done.Rows, err = r.keepRecords(ctx, n, "rows", out.rows); err != nil {
		return err
	}
	if done.Effects, err = r.keepRecords(ctx, n, "effects", out.effects); err != nil {
		return err
	}
	text, err := json.Marshal(done)
	if err != nil {
		return fmt.Errorf("keep part %d: %w", n, err)
	}
	return r.keep(n, "json", func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

func (r *runner) keepRecords(ctx context.Context, n int, what string, from *records) (size int64, err error) {
	from.sort()
	sources := from.sources(n)
	if len(sources) == 0 {
		return 0, nil
	}
	err = r.keep(n, what, func(f *os.File) error {
		w := &blockWriter{to: &spillFile{file: f}, block: from.block}
		if err := merge(ctx, sources, func(s *source) error { return w.add(0, 0, s.sort, s.values) }); err != nil {
			return err
		}
		b, err := w.finish()
		size = b.to
		return err
	})
	if err != nil {
		return 0, err
	}
	f, err := os.Open(r.partPath(n, what))
	if err != nil {
		return 0, fmt.Errorf("keep part %d: %w", n, err)
	}
	r.mu.Lock()
	r.files = append(r.files, &spillFile{file: f})
	r.mu.Unlock()
	*from = records{runs: []blocks{{f, 0, size}}}
	return size, nil
}

// keep writes a file of a part, which has its name once it is whole and on disk.
func (r *runner) keep(n int, what string, write func(*os.File) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep part %d: %w", n, err)
		}
	}()
	path := r.partPath(n, what)
	f, err := os.CreateTemp(r.resume, ".tmp-*")
	if err != nil {
		return err
	}
	if err = errors.Join(write(f), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, remove(f.Name()))
	}
	return nil
}
