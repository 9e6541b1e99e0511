package archive_test

import (
	"bytes"
	"testing"

	"recount/internal/archive"
	"recount/store/mem"
)

// FuzzManifest feeds any body under a right digest: it is read, or refused; what
// is read is written again with the same meaning.
func FuzzManifest(f *testing.F) {
	s := &mem.Store{}
	mustRun(f, open(s), options(newSource(20)))
	var object []byte
	s.Damage(commits(s)[0], func(b []byte) []byte { object = b; return b })
	var body []byte
	archive.Reframe(func(b []byte) []byte { body = b; return b })(object)
	f.Add(body)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":9,"x":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		framed := archive.Reframe(func([]byte) []byte { return body })(object)
		again, err := archive.DecodeAndAdd(framed)
		if err != nil {
			return
		}
		third, err := archive.DecodeAndAdd(again)
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("written again it differs: %v", err)
		}
		if _, err := archive.DecodeAndAdd(body); err == nil {
			t.Error("a body without its digest was read")
		}
	})
}
