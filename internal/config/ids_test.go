package config

import (
	"slices"
	"strings"
	"testing"
)

func TestReadIDsKeepsEachIDOnceInByteOrder(t *testing.T) {
	for text, want := range map[string]string{
		"e2\r\n\r\n  e1\t\r\ne2":        "e1,e2",
		"\ufeffb\n":                     "b",
		"with space inside\nZ\na\n":     "Z,a,with space inside",
		strings.Repeat("same\n", 10000): "same",
	} {
		ids, err := scanIDs(strings.NewReader(text))
		if got := strings.Join(ids, ","); err != nil || got != want {
			t.Errorf("%.40q: got %q, %v, want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                                       "names no id",
		" \n\n":                                  "names no id",
		"a\n\xff\xfe\n":                          "line 2 is not text",
		"PAR1\x00\x01":                           "line 1 is not text",
		"a\n" + strings.Repeat("x", maxIDLine+1): "line 2 has over",
	} {
		if ids, err := scanIDs(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, %v, want %q", text, ids, err, want)
		}
	}
}

func FuzzIDs(f *testing.F) {
	f.Add("e2\r\n\r\n  e1\t\r\ne2")
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := scanIDs(strings.NewReader(text))
		if err != nil {
			return
		}
		if len(ids) == 0 || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("got %q", ids)
		}
		again, err := scanIDs(strings.NewReader(strings.Join(ids, "\n")))
		if err != nil || !slices.Equal(ids, again) {
			t.Errorf("read again: got %q, %v, want %q", again, err, ids)
		}
	})
}

func TestPositionWindowNeedsTwoEdgesThatCompare(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"3:9", "3:10", "3:[9, 10)"},
		{"3:009", "3:10", "3:[9, 10)"},
		{"a:b:9", "a:b:10", "a:b:[9, 10)"},
		{"0:0/16B3748", "0:0/16B3750", "0:[0/16B3748, 0/16B3750)"},
		{"3:10", "3:9", "from is not before to"},
		{"3:10", "3:010", "from is not before to"},
		{"3:10", "2:11", "a window has one"},
		{"3:10", "3:0/16B3750", "different kinds"},
		{"3:ten", "3:11", "a digit at least"},
		{"3", "3:11", "with its partition"},
	} {
		w, err := PositionWindow(c.from, c.to)
		got := w.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || strings.HasPrefix(c.want, "3:[") && err != nil {
			t.Errorf("%s to %s: got %q, want %q", c.from, c.to, got, c.want)
		}
	}
}
