package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// project copies a folder of testdata here and makes its live.db from live.sql.
// `balances` has two partitions of twelve events, one of them each minute, at
// which accounts a and b (partition 0), c and d (partition 1) get 1, 2, 4, 8…, so
// that a sum names its events; c and d lack offsets 4 to 7.
func project(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: project NAME")
	}
	names, err := filepath.Glob(filepath.Join(ts.Getenv("ORDERS"), "..", args[0], "*"))
	ts.Check(err)
	for _, name := range names {
		text, err := os.ReadFile(name) //nolint:gosec // a file of testdata
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Base(name)), folded(ts, text), 0o600))
	}
	ts.Check(os.RemoveAll(ts.MkAbs("live.db")))
	runSQLite(ts, false, []string{"live.db", ts.ReadFile("live.sql"), "SELECT 1"})
}

var (
	commitForm = regexp.MustCompile(`(?s)^\{"sha256":"([0-9a-f]{64})","body":(.*)\}(\s*)$`)
	watermark  = regexp.MustCompile(`"watermark":"[^"]*"`)
)

// age writes the commits of an archive as they would be had its source been read
// to its end on the day after the events, and not just now: a plan then waits for
// no archiver that may be at work.
func age(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: age")
	}
	commits, err := filepath.Glob(ts.MkAbs("archive/_recount/*/commits/*.json"))
	ts.Check(err)
	slices.Sort(commits)
	before, now, folder := "", "", ""
	for _, name := range commits {
		if filepath.Dir(name) != folder {
			before, now, folder = "", "", filepath.Dir(name)
		}
		text, err := os.ReadFile(name) //nolint:gosec // the script's own file
		ts.Check(err)
		parts := commitForm.FindSubmatch(text)
		if parts == nil {
			ts.Fatalf("age: %s is no commit", name)
		}
		body := watermark.ReplaceAll(parts[2], []byte(`"watermark":"2024-06-11T00:00:00Z"`))
		if before != "" {
			body = bytes.ReplaceAll(body, []byte(before), []byte(now))
		}
		sum := sha256.Sum256(body)
		before, now = string(parts[1]), hex.EncodeToString(sum[:])
		ts.Check(os.WriteFile(name, []byte(strings.Join([]string{`{"sha256":"`, now, `","body":`, string(body), "}", string(parts[3])}, "")), 0o600))
	}
}

// folded lets a configuration of testdata name folds, where the script is of them.
func folded(ts *testscript.TestScript, text []byte) []byte {
	if ts.Getenv("FOLDS") == "" {
		return text
	}
	return []byte(strings.NewReplacer("sql: balances.sql", "go: balances", "sql: totals.sql", "go: totals").Replace(string(text)))
}
