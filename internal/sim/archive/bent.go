package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"sync"

	"recount"
	"recount/internal/sim/archive/fakebus"
	"recount/source"
	"recount/store"
)

// content is what write writes.
func content(write func(io.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	err := write(&b)
	return b.Bytes(), err
}

func put(ctx context.Context, s store.Store, name string, data []byte) error {
	return s.Put(ctx, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// holding keeps objects back, and says that it has put them.
type holding struct {
	store.Store
	until  func(name string, held int) bool // the objects that are held are put with this one
	passes func(name string) bool           // it is never held

	mu   sync.Mutex
	held map[string][]byte
}

func (s *holding) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	data, err := content(write)
	if err != nil {
		return err
	}
	if _, err := s.Stat(ctx, name); err == nil {
		return fmt.Errorf("put %q: %w", name, recount.ErrExists)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[string][]byte{}
	}
	if s.passes(name) {
		if err := put(ctx, s.Store, name, data); err != nil {
			return err
		}
	} else {
		s.held[name] = data
	}
	if !s.until(name, len(s.held)) {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(s.held)) {
		if err := put(ctx, s.Store, name, s.held[name]); err != nil {
			return err
		}
	}
	s.held = nil
	return nil
}

func (s *holding) Open(ctx context.Context, name string) (store.Reader, error) {
	s.mu.Lock()
	data, ok := s.held[name]
	s.mu.Unlock()
	if ok {
		return inMemory{bytes.NewReader(data)}, nil
	}
	return s.Store.Open(ctx, name)
}

// flipping flips a bit of one object in three, and reads what it was given.
type flipping struct {
	store.Store

	mu      sync.Mutex
	written map[string][]byte
}

func (s *flipping) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	data, err := content(write)
	if err != nil {
		return err
	}
	const often = 3
	bent := bytes.Clone(data)
	if !isCommit(name) && crc32.ChecksumIEEE(data)%often == 0 {
		bent[len(bent)/2] ^= 1
	}
	if err := put(ctx, s.Store, name, bent); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[name] = data
	return nil
}

func (s *flipping) Open(ctx context.Context, name string) (store.Reader, error) {
	s.mu.Lock()
	data, ok := s.written[name]
	s.mu.Unlock()
	if ok {
		return inMemory{bytes.NewReader(data)}, nil
	}
	return s.Store.Open(ctx, name)
}

// hasty tells the source of a commit before it puts it.
type hasty struct {
	store.Store
	consumer *fakebus.Consumer
}

func (s hasty) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if !isCommit(name) {
		return s.Store.Put(ctx, name, write)
	}
	data, err := content(write)
	if err != nil {
		return err
	}
	var c struct {
		Body struct{ Cursor source.Cursor }
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	if err := s.consumer.Committed(ctx, c.Body.Cursor); err != nil {
		return err
	}
	return put(ctx, s.Store, name, data)
}
