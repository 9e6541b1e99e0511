package doctest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"recount/internal/clock"
	"recount/internal/doctest"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const page = "# A page\n\n<!-- doctest: dir=seed -->\n```console\n" +
	"$ cat a.txt\nhello\n$ echo one; echo two >&2; exit 3\none\ntwo\n(exit 3)\n```\n\ntext\n\n```console\n" +
	"$ printf 'a\\nb\\nc\\nd\\n'\na\n...\nd\n$ echo a \\\n  b\na b\n```\n\n```sh\n$ not run\n```\n\n" +
	"<!-- doctest: skip=it needs a server -->\n```console\n$ false\n```\n"

func tree(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	for name, body := range map[string]string{"page.md": text, "seed/a.txt": "hello\n"} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestBlocksRunInOrderInAFreshFolder(t *testing.T) {
	root := tree(t, page)
	doctest.Check(t, doctest.Options{Root: root, Clock: clock.Fixed(now)}, "page.md")
	if _, err := os.Stat(filepath.Join(root, "seed", "b.txt")); err == nil {
		t.Error("the page's folder is not a copy")
	}
}

func TestUpdateRewritesOnlyWhatCameOutOtherwise(t *testing.T) {
	root := tree(t, strings.Replace(page, "\nhello\n", "\nold\n", 1))
	doctest.Check(t, doctest.Options{Root: root, Clock: clock.Fixed(now), Update: true}, "page.md")
	got, err := os.ReadFile(filepath.Join(root, "page.md")) //nolint:gosec // made above
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page {
		t.Errorf("page: got\n%s\nwant\n%s", got, page)
	}
}

func TestParseGivesTheTextBack(t *testing.T) {
	for _, text := range []string{page, "", "no block\n", "```console\n$ a\n```", "```console\n$ a\n```\n```console\n$ b\n```\n"} {
		doc, err := doctest.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if doc.String() != text {
			t.Errorf("got %q, want %q", doc.String(), text)
		}
	}
}

func TestWrongPagesAreRefused(t *testing.T) {
	for _, text := range []string{
		"```console\n$ a\n", "```console\noutput\n```\n", "<!-- doctest: dir=../x -->\n", "<!-- doctest: dri=x -->\n",
	} {
		if _, err := doctest.Parse(text); err == nil {
			t.Errorf("%q: got no error", text)
		}
	}
}

func TestLinesAgreeWhereOnlyIDsDurationsAndTimesOfNowDiffer(t *testing.T) {
	for _, test := range []struct {
		want, got string
		agree     bool
	}{
		{"plan 4b2e90c7 made", "plan 12345678 made", true},
		{"plan 4b2e90c7 made", "plan 4b2e90c made", false},
		{"12345678 rows", "12345679 rows", false},
		{"took 1.2 s", "took 310 ms", true},
		{"archived  in  0.9 s    ok", "archived  in  12.4 s   ok", true},
		{"expires 2025-01-01T10:00:00Z", "expires 2026-03-02T12:00:00Z", true},
		{"from 2024-06-10T12:00:00Z", "from 2024-06-10T13:00:00Z", false},
		{"from 2024-06-10T12:00:00Z until 2025-01-01 10:00 UTC", "from 2024-06-10T12:00:00Z until 2026-03-01 10:00 UTC", true},
		{"a ... c", "a b c", true},
		{"a ... d", "a b c", false},
		{"... c", "a b c", true},
	} {
		if got := doctest.MatchLine(test.want, test.got, now); got != test.agree {
			t.Errorf("%q and %q: got %v, want %v", test.want, test.got, got, test.agree)
		}
	}
}

func TestDiffShowsBothSides(t *testing.T) {
	got := doctest.Diff([]string{"a", "b", "c"}, []string{"a", "x", "c"}, now)
	if want := "  a\n- b\n+ x\n  c\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(page)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := doctest.Parse(text)
		if err != nil {
			return
		}
		if _, err := doctest.Parse(doc.String()); err != nil {
			t.Errorf("the page that was written back cannot be read: %v", err)
		}
	})
}
