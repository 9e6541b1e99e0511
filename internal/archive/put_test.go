package archive_test

import (
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"recount/internal/archive"
)

// TestHeldObjectsReadAtAnyOffset cuts bytes anyhow and reads them as one.
func TestHeldObjectsReadAtAnyOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole []byte
		chunks := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 1, 40), 0, 8).Draw(t, "chunks")
		for _, c := range chunks {
			whole = append(whole, c...)
		}
		if err := iotest.TestReader(io.NewSectionReader(archive.Held(chunks), 0, int64(len(whole))), whole); err != nil {
			t.Fatal(err)
		}
	})
}
