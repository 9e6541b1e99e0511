package badinput

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// table is what docs/archiving.md says can go wrong, in its order, with the test
// that tries it.
var table = [][2]string{
	{"the brokers are down, at the start or in the middle", "TestABrokerThatIsDown"},
	{"the password is wrong, or the user may not read", "TestAWrongPassword"},
	{"the topic does not exist", "TestATopicThatDoesNotExist"},
	{"the bucket does not exist", "TestABucketThatDoesNotExist"},
	{"the bucket lets us read and not write, or neither", "TestABucketWithoutRights"},
	{"the store answers 429, 500, 503 or SlowDown, or hangs up", "TestAStoreThatIsOverloaded"},
	{"the disk is full", "TestAFullDisk"},
	{"two archivers work on one stream", "TestTwoArchivers"},
	{"a message is as large as 64 MiB, or larger", "TestLargeMessages"},
	{"text is not UTF-8", "TestTextThatIsNotUTF8"},
	{"times lie in 1969 or 9999", "TestTimesOfRecords"},
	{"times lie before the year 1 or after 9999, or are milliseconds taken for seconds", "TestSecondsThatAreMilliseconds"},
	{"too many events are quarantined", "TestTimesOfAllYears"},
	{"the machine's clock jumps a day, and back", "TestAClockThatJumps"},
	{"retention overtakes the archiver", "TestRetentionThatOvertakes"},
	{"the topic is deleted and made anew", "TestATopicThatIsMadeAnew"},
}

func TestEachRowOfTheTableIsTried(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "archiving.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "## What can go wrong")
	text, _, _ = strings.Cut(text, "\n## ")
	var rows []string
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 1 && !strings.HasPrefix(line, "|--") {
			rows = append(rows, strings.TrimSpace(cells[1]))
		}
	}
	if len(rows) != len(table)+1 {
		t.Fatalf("the page has %d rows, want a heading and %d", len(rows), len(table))
	}
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := ""
	for _, name := range names {
		code, err := os.ReadFile(name) //nolint:gosec // of this folder
		if err != nil {
			t.Fatal(err)
		}
		tests += string(code)
	}
	for i, row := range table {
		if rows[i+1] != row[0] {
			t.Errorf("row %d: got %q, want %q", i+1, rows[i+1], row[0])
		}
		if !strings.Contains(tests, "func "+row[1]+"(t *testing.T)") {
			t.Errorf("%s: there is no %s", row[0], row[1])
		}
	}
}
