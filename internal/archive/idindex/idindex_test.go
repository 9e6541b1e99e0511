package idindex

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// gather adds n entries with hashes of few values, so that many are the same.
func gather(t *testing.T, b *Builder, rng *rand.Rand, n int, first int64) map[uint64][]int64 {
	t.Helper()
	want := map[uint64][]int64{}
	for i := range n {
		h := Hash(fmt.Sprint(rng.IntN(3*n/2 + 1)))
		if rng.IntN(50) == 0 {
			h = Hash("a popular one")
		}
		seq := first + int64(i)
		if err := b.Add(h, seq); err != nil {
			t.Fatal(err)
		}
		want[Short(h)] = append(want[Short(h)], seq)
	}
	return want
}

func find(t *testing.T, r *Run, short []uint64) []int64 {
	t.Helper()
	var got []int64
	if err := r.Find(short, func(seq int64) { got = append(got, seq) }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	return got
}

func TestARunFindsWhatWasAdded(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := &Builder{most: 1 + rng.IntN(500)}
		n := rng.IntN(6000)
		want := gather(t, b, rng, n, 100)
		run, err := b.Build(100, 100+int64(n), nil)
		if err != nil {
			t.Fatal(err)
		}
		more := &Builder{most: 1000}
		for h, seqs := range gather(t, more, rng, 1000, 100+int64(n)+1) {
			want[h] = append(want[h], seqs...)
		}
		both, err := more.Build(100, 100+int64(n)+1000, []*Run{run.Run})
		if err != nil {
			t.Fatal(err)
		}
		var asked []uint64
		var expected []int64
		for i := range 2000 {
			asked = append(asked, Short(Hash(fmt.Sprint(i))))
		}
		asked = append(asked, Short(Hash("a popular one")))
		slices.Sort(asked)
		asked = slices.Compact(asked)
		for _, h := range asked {
			expected = append(expected, want[h]...)
		}
		slices.Sort(expected)
		if got := find(t, both.Run, asked); !slices.Equal(got, expected) {
			t.Fatalf("seed %d: found %d, want %d", seed, len(got), len(expected))
		}
		run.Close()
		both.Close()
		b.Close()
		more.Close()
	}
}

func TestNoByteOfARunChangesUnseen(t *testing.T) {
	b := &Builder{}
	rng := rand.New(rand.NewPCG(2, 2))
	want := gather(t, b, rng, 3000, 1)
	s, err := b.Build(1, 3000, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all bytes.Buffer
	if _, err := s.WriteTo(&all); err != nil {
		t.Fatal(err)
	}
	var asked []uint64
	for h := range want {
		asked = append(asked, h)
	}
	slices.Sort(asked)
	for i := 0; i < all.Len(); i += 7 {
		changed := bytes.Clone(all.Bytes())
		changed[i] ^= 1 << rng.IntN(8)
		run, err := Open(bytes.NewReader(changed), s.Ref)
		if err == nil {
			err = run.Find(asked, func(int64) {})
		}
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("byte %d of %d: %v", i, all.Len(), err)
		}
	}
	for _, size := range []int{0, 1, all.Len() / 2, all.Len() - 1} {
		if _, err := Open(bytes.NewReader(all.Bytes()[:size]), s.Ref); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
	}
	copied, err := Copy(s.Ref, func(w io.Writer) error { _, err := w.Write(all.Bytes()); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if got := find(t, copied.Run, asked); len(got) != 3000 {
		t.Errorf("a copy finds %d", len(got))
	}
}

func TestHitsNeverMissOne(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var h Hits
		var all []int64
		for range 10 + rng.IntN(600_000) {
			all = append(all, rng.Int64N(1<<40))
			h.Add(all[len(all)-1])
		}
		for range 1000 {
			if seq := all[rng.IntN(len(all))]; !h.In(seq, seq) || !h.In(seq-3, seq+3) {
				t.Fatalf("seed %d: %d is not found", seed, seq)
			}
		}
		if len(h.blocks) > 2*mostHits {
			t.Errorf("%d blocks are kept", len(h.blocks))
		}
	}
	var few Hits
	few.Add(10)
	if few.In(1, 9) || few.In(11, 20) || !few.In(10, 10) {
		t.Error("few hits are not exact")
	}
}

func TestASetHandsOutItsHashesInParts(t *testing.T) {
	var s Set
	const n = 600_000
	for i := range n {
		s.Add(Hash(fmt.Sprint(i)))
	}
	s.Settle()
	last, count := uint64(0), 0
	if err := s.EachShort(func(short []uint64) error {
		for _, h := range short {
			if h <= last {
				t.Fatal("they do not grow")
			}
			last = h
			count++
		}
		return nil
	}); err != nil || count < n-3 {
		t.Errorf("%d hashes, %v", count, err)
	}
}

func BenchmarkFind(b *testing.B) {
	var build Builder
	const n = 4_000_000
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range int64(n) {
		if err := build.Add(rng.Uint64(), i+1); err != nil {
			b.Fatal(err)
		}
	}
	run, err := build.Build(1, n, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(run.Bytes)/n, "B/id")
	short := make([]uint64, 10_000)
	for b.Loop() {
		for i := range short {
			short[i] = Short(rng.Uint64())
		}
		slices.Sort(short)
		if err := run.Find(short, func(int64) {}); err != nil {
			b.Fatal(err)
		}
	}
}
