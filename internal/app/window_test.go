package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount"
)

func TestHitsReadsEveryClock(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dead.txt"), []byte("e2\ne1\n\ne2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const from, to = "2024-06-10T12:00:00Z", "2024-06-10T12:30:00Z"
	for _, c := range []struct {
		req  WindowRequest
		want string
	}{
		{WindowRequest{From: from, To: to}, "event [2024-06-10T12:00:00Z, 2024-06-10T12:30:00Z)"},
		{WindowRequest{From: from, To: to, By: recount.ByIngest}, "ingest [2024-06-10T12:00:00Z, 2024-06-10T12:30:00Z)"},
		{WindowRequest{FromPositions: []string{"10:5", "2:7"}, ToPositions: []string{"2:9", "10:0006"}}, "position 2:[7, 9) 10:[5, 6)"},
		{WindowRequest{By: recount.ByIDs, IDs: "dead.txt"}, "ids 2 ids of dead.txt"},
		{WindowRequest{IDs: filepath.Join(dir, "dead.txt")}, "ids 2 ids of " + filepath.Join(dir, "dead.txt")},
	} {
		h, err := c.req.hits(dir)
		if err != nil {
			t.Errorf("%+v: %v", c.req, err)
			continue
		}
		if got := fmt.Sprint(h.Window.By, " ", h); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.req, got, c.want)
		}
	}
}

func TestHitsRefusesWhatIsNoWindow(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "empty.txt"), []byte(" \n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		req  WindowRequest
		want string
	}{
		{WindowRequest{}, "lacks --from"},
		{WindowRequest{IDs: "gone.txt"}, "no such file"},
		{WindowRequest{IDs: "empty.txt"}, "names no id"},
		{WindowRequest{IDs: "."}, "no plain file"},
		{WindowRequest{FromPositions: []string{"0:1", "1:2"}, ToPositions: []string{"0:5"}}, "partition 1 lacks --to-position"},
		{WindowRequest{FromPositions: []string{"0:0/16B3748"}, ToPositions: []string{"0:5"}}, "different kinds"},
		{WindowRequest{FromPositions: []string{"0:9"}, ToPositions: []string{"0:10"}, By: "idz"}, "the nearest is ids"},
	} {
		_, err := c.req.hits(dir)
		e := recount.AsError(err)
		if err == nil || !strings.Contains(e.What+" "+e.Why, c.want) || e.Where == "" && c.want != "lacks --from" || e.Next == "" || e.Code.Exit() != recount.ExitUsage {
			t.Errorf("%+v: got %+v, want %q", c.req, err, c.want)
		}
	}
}
