package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"recount"
)

const describe = `
Consumer group 'balances' has no active members.

GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID
balances        orders          1          88000           88012           12              -               -               -
balances        orders          0          90100           90100           0               -               -               -
`

func TestReadPositionsReadsEveryForm(t *testing.T) {
	const want = "0:90100 1:88000"
	for name, text := range map[string]string{
		"json":     "{\"0\": 90100, \"1\": \"88000\"}\n",
		"lines":    "0:90100\r\n\r\n1:88000\r\n",
		"columns":  "\ufeff0 90100\n1\t88000",
		"describe": describe,
		"old head": "TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG\norders 0 90100 1 1\norders 1 88000 1 1\n",
	} {
		got, err := ReadPositions(positionFile(t, text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var list []string
		for _, partition := range slices.Sorted(maps.Keys(got)) {
			if len(got[partition]) != recount.PositionWidth {
				t.Errorf("%s: position %q is not padded", name, got[partition])
			}
			list = append(list, partition+":"+recount.ShortPosition(got[partition]))
		}
		if strings.Join(list, " ") != want {
			t.Errorf("%s: got %v, want %s", name, list, want)
		}
	}
}

func TestReadPositionsRefusesWhatSaysNoPosition(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "empty",
		"{}":                    "names no partition",
		"{\"0\": 1, \"0\": 2}":  "stands twice",
		"{\"0\": null}":         "no position",
		"{\"0\": [1]}":          "no position",
		"{\"0\": -1}":           "no whole number",
		"{\"0\": 1e3}":          "no whole number",
		"{\"0\": 1} {\"1\": 2}": "more stands after",
		"{\"0\": 1":             "no object",
		"0:1\n0:2":              "line 2: partition \"0\" stands twice",
		"0:":                    "missing",
		"hello world":           "has a digit",
		"x":                     "line 1 is no position",
		"0 1 2":                 "line 1 is no position",
		"\xff\xfe":              "not UTF-8",
		strings.Replace(describe, "90100 ", "-     ", 1):                                                       "partition 0 has no committed offset",
		strings.Replace(describe, "orders          0", "clicks          0", 1):                                 "second topic",
		strings.Replace(describe, "balances        orders          0", "totals          orders          0", 1): "second group",
		strings.Replace(describe, "12              -", "12              consumer-1-4f", 1):                     "partition 1 is held by the consumer consumer-1-4f, so the worker is not paused",
		"0:4\nTOPIC PARTITION CURRENT-OFFSET\norders 1 5":                                                      "after other lines",
		describe + "balances orders 0":                                                                         "shorter than the table's head",
	} {
		got, err := ReadPositions(positionFile(t, text))
		e := recount.AsError(err)
		if err == nil || !strings.Contains(e.Why, want) || e.What == "" || e.Where == "" || e.Next == "" {
			t.Errorf("%q: got %v, %+v, want %q", text, got, e, want)
		}
	}
	if _, err := ReadPositions(filepath.Join(t.TempDir(), "gone")); !strings.Contains(recount.AsError(err).Why, "no such file") {
		t.Errorf("missing file: got %v", err)
	}
}

func positionFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "positions")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func FuzzPositions(f *testing.F) {
	for _, seed := range []string{describe, "{\"0\": 90100, \"1\": \"88000\"}", "0:1\n1 2\n", "{\"0\": {}}", "PARTITION CURRENT-OFFSET\n-"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parsePositions(text)
		if err != nil {
			if err.Error() == "" {
				t.Error("error without a text")
			}
			return
		}
		if len(list) == 0 {
			t.Error("no partition and no error")
		}
		for partition, position := range list {
			if partition == "" || position == "" || strings.ContainsAny(partition+position, " \t\r\n") || recount.PadPosition(position) != position {
				t.Errorf("got partition %q position %q", partition, position)
			}
		}
	})
}
