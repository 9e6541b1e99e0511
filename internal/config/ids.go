package config

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"recount"
)

// Bounds on a list of ids: it is held in memory.
const (
	maxIDBytes = 512 << 20
	maxIDLine  = 64 << 10
)

// ReadIDs reads a file with one event id a line: blank lines and the spaces
// around an id do not count, and an id that stands twice counts once. A relative
// path starts in dir. The list's digest is that of the file's bytes. An error
// says why the file is no such list; it does not repeat the path.
func ReadIDs(dir, path string) (*recount.IDList, error) {
	f, err := openFile(dir, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	ids, err := scanIDs(io.TeeReader(f, sum))
	if err != nil {
		return nil, err
	}
	return &recount.IDList{From: path, Digest: hex.EncodeToString(sum.Sum(nil)), Count: int64(len(ids)), IDs: ids}, nil
}

// scanIDs returns the ids in byte order, each once.
func scanIDs(r io.Reader) ([]string, error) {
	counted := &io.LimitedReader{R: r, N: maxIDBytes + 1}
	lines := bufio.NewScanner(counted)
	lines.Buffer(make([]byte, 0, 4096), maxIDLine)
	var ids []string
	n := 0
	for lines.Scan() {
		n++
		line := lines.Bytes()
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff")) // some editors begin a file so
		}
		if !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
			return nil, fmt.Errorf("line %d is not text in UTF-8; the file has one id a line", n)
		}
		if id := strings.TrimSpace(string(line)); id != "" {
			ids = append(ids, id)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d has over %d bytes; the file has one id a line", n+1, maxIDLine)
	case err != nil:
		return nil, cause(err)
	case counted.N <= 0:
		return nil, fmt.Errorf("the file has over %d bytes", maxIDBytes)
	case len(ids) == 0:
		return nil, errors.New("the file names no id; it needs one a line")
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// openFile opens a file of the project for reading. Folders and devices are
// refused: reading a device may never end.
func openFile(dir, path string) (*os.File, error) {
	info, err := os.Stat(Path(dir, path))
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no plain file")
	}
	f, err := os.Open(Path(dir, path)) //nolint:gosec // the configuration's author names the file
	if err != nil {
		return nil, cause(err)
	}
	return f, nil
}

// fileDigest is the SHA-256 of a file, hex.
func fileDigest(dir, path string) (string, error) {
	f, err := openFile(dir, path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // only read
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	switch {
	case err != nil:
		return "", cause(err)
	case n == 0:
		return "", errors.New("the file is empty")
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
