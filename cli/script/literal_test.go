package script

import (
	"database/sql"
	"strings"
	"testing"
	"unicode/utf8"

	_ "modernc.org/sqlite" // reads the literals

	"github.com/jackc/pgx/v5"

	"recount/internal/pgtest"
)

// FuzzSQLiteText: any text comes back from its literal, and what stands in the
// script prints on one line.
func FuzzSQLiteText(f *testing.F) {
	seeds(f)
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return
		}
		literal := sqlite.text(text)
		onOneLine(t, literal)
		var got string
		if err := db.QueryRowContext(t.Context(), "SELECT "+literal).Scan(&got); err != nil || got != text {
			t.Errorf("%q came back as %q (%v) from %s", text, got, err, literal)
		}
	})
}

// FuzzPostgresText likewise, under both ways to read backslashes.
func FuzzPostgresText(f *testing.F) {
	seeds(f)
	conn, err := pgx.Connect(f.Context(), pgtest.Start(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return
		}
		literal := postgres.text(text)
		onOneLine(t, literal)
		for _, strings := range []string{"on", "off"} {
			statement := "SET standard_conforming_strings = " + strings + "; SELECT " + literal
			results, err := conn.PgConn().Exec(t.Context(), statement).ReadAll()
			if err != nil || string(results[1].Rows[0][0]) != text {
				t.Errorf("%q came back otherwise (%v) from %s", text, err, literal)
			}
		}
	})
}

func seeds(f *testing.F) {
	f.Helper()
	for _, text := range []string{
		"", "'", `\`, `\'`, "''", "a\nb", "\r\n", "\u202e", "\u2028", "🙂", "\U000e0001", "$$", "--", ":x", "é\x7f", "\t;",
		strings.Repeat("a\n", 3000), strings.Repeat("\n", 3000),
	} {
		f.Add(text)
	}
}

func onOneLine(t *testing.T, literal string) {
	t.Helper()
	if printable(literal) != literal {
		t.Errorf("the literal %q does not print", literal)
	}
}

// TestBlocksEndWhereTheyEnd: no name ends a block's quotes.
func TestBlocksEndWhereTheyEnd(t *testing.T) {
	for _, body := range []string{"x", "$recount$", "$recount$ $recount0$"} {
		got := dollars(body)
		tag := got[:strings.Index(got[1:], "$")+2]
		if strings.Count(got, tag) != 2 || !strings.HasSuffix(got, tag) {
			t.Errorf("%q: got %s", body, got)
		}
	}
}
