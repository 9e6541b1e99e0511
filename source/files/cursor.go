package files

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"recount"
)

// state is a cursor: what has been read of one file.
type state struct {
	Version int `json:"v"`
	// Size and SHA256 are those of the bytes read so far; of a file that cannot
	// grow, those of the whole file.
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Records int64  `json:"records"`
	// Header is the CSV header record.
	Header string `json:"header,omitempty"`
	// Open says what the bytes read so far left open: "line" a last line without
	// its end, "quote" a quoted field without its closing quote, "object" JSON that
	// is cut off.
	Open string `json:"open,omitempty"`
	// Whole marks a file that cannot grow, Done that all of it was read.
	Whole bool `json:"whole,omitempty"`
	Done  bool `json:"done,omitempty"`
	// Log and Base are the partition and the first position that the file's name gave.
	Log  string `json:"partition,omitempty"`
	Base int64  `json:"offset,omitempty"`
}

const cursorVersion = 1

// What a file left open.
const (
	openLine   = "line"
	openQuote  = "quote"
	openObject = "object"
)

func (st state) String() string {
	st.Version = cursorVersion
	b, err := json.Marshal(st)
	if err != nil { // a struct of texts and numbers always has a JSON form
		return ""
	}
	return string(b)
}

// parseCursor reads what String wrote; an empty cursor is the beginning.
func parseCursor(text string) (state, error) {
	if text == "" {
		return state{Version: cursorVersion}, nil
	}
	fault := func(code recount.Code, why, next string) error {
		return &recount.Error{Code: code, What: "the archive's note of what was read is not understood", Why: why, Next: next}
	}
	var st state
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		return state{}, fault(recount.CodeDamaged, err.Error(), "run: recount archive verify")
	}
	if st.Version > cursorVersion {
		return state{}, fault(recount.CodeNewerArchive, fmt.Sprintf("it has version %d, this program knows %d", st.Version, cursorVersion),
			"use a newer version of recount")
	}
	digest, err := hex.DecodeString(st.SHA256)
	if err != nil || len(digest) != 32 || st.Size < 0 || st.Records < 0 || st.Version < 1 {
		return state{}, fault(recount.CodeDamaged, "its numbers make no sense", "run: recount archive verify")
	}
	return st, nil
}

// changed is the error of a file that is no longer what was archived.
func (s *Source) changed(f file, why string) error {
	return &recount.Error{
		Code: recount.CodeSourceChanged, What: fmt.Sprintf("file %q was changed after it was archived", f.partition),
		Where: s.where(f.partition), Why: why,
		Next: "put the file back as it was and bring new events in a new file, or read it under a new source name",
	}
}
