package sourcetest

import (
	"errors"
	"maps"
	"reflect"
	"testing"

	"recount"
	"recount/source"
)

// originals holds a source that offers whole files to what source.Originals says.
func originals(t *testing.T, h Harness) {
	s := h.Make(t, Mapping(), [][]Row{many("a", some), many("b", 3)}).Source
	o, ok := s.(source.Originals)
	if !ok {
		t.Skip("the source has no files to adopt")
	}
	var want []recount.Event
	for _, b := range readAll(t, s, source.Cursor{}) {
		want = append(want, b.Events...)
	}
	cursor := source.Cursor{}
	var files []source.Original
	var got []recount.Event
	end, err := o.ReadOriginals(t.Context(), nil, func(file source.Original, b source.Batch) error {
		if len(files) == 0 || files[len(files)-1] != file {
			files = append(files, file)
		}
		cursor[b.Partition] = b.Cursor
		got = append(got, b.Events...)
		return nil
	})
	if err != nil || end.Watermark.IsZero() || len(files) != 2 {
		t.Fatalf("got %d files, watermark %v, %v, want 2 files", len(files), end.Watermark, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %d events, want the %d that Read gives", len(got), len(want))
	}
	if again := readAll(t, s, maps.Clone(cursor)); len(again) != 0 {
		t.Errorf("Read after ReadOriginals: got %d batches, want none", len(again))
	}
	nothing := errors.New("a file that is known was handed over")
	if _, err := o.ReadOriginals(t.Context(), cursor, func(source.Original, source.Batch) error { return nothing }); err != nil {
		t.Errorf("again: got %v, want no error", err)
	}
	got = nil
	for _, file := range files {
		if err := o.ReadOriginal(t.Context(), file, func(b source.Batch) error {
			got = append(got, b.Events...)
			return nil
		}); err != nil {
			t.Fatalf("%s: got %v, want no error", file.Origin, err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read again: got %d events, want the %d of before", len(got), len(want))
	}
	changed := files[0]
	changed.SHA256 = files[1].SHA256
	err = o.ReadOriginal(t.Context(), changed, func(source.Batch) error { return nothing })
	if e, ok := errors.AsType[*recount.Error](err); !ok || e.Code != recount.CodeDamaged {
		t.Errorf("a file of another digest: got %v, want CodeDamaged before the first batch", err)
	}
}
