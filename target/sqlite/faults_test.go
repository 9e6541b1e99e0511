package sqlite_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/target"
	"recount/target/sqlite"
)

func updated(key, before, after string) recount.Change {
	text := func(s string) []recount.Value { return []recount.Value{recount.Text(s)} }
	return recount.Change{Action: recount.ActionUpdate, Key: text(key), Before: text(before), After: text(after)}
}

// place makes a database and returns its folder.
func place(t *testing.T, statements string) string {
	t.Helper()
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func opened(t *testing.T, dir, table string) target.Target {
	t.Helper()
	live, err := sqlite.Open(adapter.Env{Dir: dir, Table: table}, sqlite.Config{Path: "live.db"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = live.Close() })
	return live
}

const totals = "CREATE TABLE totals (k TEXT PRIMARY KEY, n INTEGER); INSERT INTO totals VALUES ('a', 1)"

func TestNamesAreNamesWhateverTheyHold(t *testing.T) {
	for _, name := range []string{`t"; DROP TABLE x; --`, "Größe", "MiXed", "select", "a.b", "o'k", "%s", "t", "s", "seq"} {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		live := opened(t, place(t, fmt.Sprintf("CREATE TABLE %s (%[1]s TEXT PRIMARY KEY, n INTEGER); INSERT INTO %[1]s VALUES ('a', 1)", quoted)), name)
		tx, err := live.Begin(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n, err := tx.Write(t.Context(), []string{name}, []string{"n"}, []recount.Change{updated("a", "1", "2")})
		if err != nil || n != 1 {
			t.Errorf("%s: rows written: got %d (%v), want 1", name, n, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFileThatIsNoneOfOursIsTold(t *testing.T) {
	dir := t.TempDir()
	if _, err := opened(t, dir, "totals").Info(t.Context()); recount.AsError(err).Code == recount.CodeInternal {
		t.Errorf("no file: got %v, want a code", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "live.db")); err == nil {
		t.Error("looking made a file")
	}
	if err := os.WriteFile(filepath.Join(dir, "live.db"), []byte(strings.Repeat("no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := opened(t, dir, "totals").Info(t.Context()); recount.AsError(err).Code != recount.CodeTargetFile {
		t.Errorf("no database: got %v, want %s", err, recount.CodeTargetFile)
	}
}

func TestAReadOnlyFileIsRefusedAtBegin(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write any file")
	}
	dir := place(t, totals)
	tx, err := opened(t, dir, "totals").Begin(t.Context()) // with a ledger, nothing is left to be made
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "live.db"), 0o400); err != nil {
		t.Fatal(err)
	}
	live := opened(t, dir, "totals")
	if _, err := live.Begin(t.Context()); recount.AsError(err).Code != recount.CodeReadOnly {
		t.Errorf("begin: got %v, want %s", err, recount.CodeReadOnly)
	}
	if can, err := live.CanWrite(t.Context()); err != nil || can {
		t.Errorf("can write: got %v (%v), want false", can, err)
	}
}

func TestACopyHasItsOwnPlace(t *testing.T) {
	dir := place(t, totals)
	live := opened(t, dir, "totals")
	tx, err := live.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	bytes, err := os.ReadFile(filepath.Join(dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "copy.db"), bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	copied, err := sqlite.Open(adapter.Env{Dir: dir, Table: "totals"}, sqlite.Config{Path: "copy.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = copied.Close() }()
	one, err := live.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two, err := copied.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if one.Identity == two.Identity || one.Identity.Ledger == "" || one.Fingerprint != two.Fingerprint {
		t.Errorf("identities: got %+v and %+v, want another place, one ledger and one fingerprint", one.Identity, two.Identity)
	}
}
