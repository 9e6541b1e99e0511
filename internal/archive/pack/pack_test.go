package pack

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

type part struct {
	Name string
	N    int64
	On   bool
}

type whole struct {
	Format  int
	At      time.Time
	Parts   []part
	More    *[]part
	Texts   map[string]string
	Letters []string
}

func samples() []whole {
	return []whole{
		{},
		{Format: -3, At: time.Date(2024, 6, 10, 12, 0, 0, 999, time.UTC), Parts: []part{{"a", 1 << 60, true}, {"", -1, false}}},
		{Parts: []part{}, More: &[]part{}, Texts: map[string]string{}, Letters: []string{}},
		{More: &[]part{{Name: "ä\x00"}}, Texts: map[string]string{"b": "", "a": "x"}, Letters: []string{"", "long"}},
	}
}

func TestValuesComeOutAsTheyWentIn(t *testing.T) {
	var object bytes.Buffer
	w, err := NewWriter(&object)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range samples() {
		if err := w.Write(Append(nil, v)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var got []whole
	if err := Each(&object, func(record []byte) error {
		var v whole
		err := Read(record, &v)
		got = append(got, v)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, samples()) {
		t.Errorf("got %+v", got)
	}
}

func TestACutRecordIsRefused(t *testing.T) {
	for _, v := range samples() {
		record := Append(nil, v)
		for n := range record {
			var again whole
			if err := Read(record[:n], &again); !errors.Is(err, ErrDamaged) {
				t.Errorf("%+v, %d of %d bytes: %v", v, n, len(record), err)
			}
		}
		var again whole
		if err := Read(append(record, 0), &again); !errors.Is(err, ErrDamaged) {
			t.Errorf("%+v, one byte more: %v", v, err)
		}
	}
}

func TestAnotherShapeHasAnotherLayout(t *testing.T) {
	type grown struct {
		whole
		New string
	}
	if Layout(whole{}) == Layout(grown{}) || Layout(whole{}) != Layout(whole{Format: 1}) {
		t.Error(Layout(grown{}))
	}
}

func FuzzRead(f *testing.F) {
	for _, v := range samples() {
		f.Add(Append(nil, v))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		var v whole
		if Read(record, &v) == nil && fmt.Sprint(v) == "" {
			t.Error("never")
		}
		_ = Each(bytes.NewReader(record), func([]byte) error { return nil })
	})
}
