package app_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/adapter"
	_ "recount/adapters/all"
	"recount/internal/app"
	"recount/internal/clock"
)

// project makes a folder with events whose times have no offset, and a database
// of two tables.
func initProject(t *testing.T) app.Options {
	t.Helper()
	dir := t.TempDir()
	events := "event_id,at,user,amount\n"
	for _, row := range []string{"e1,2024-06-10 12:00:00,u1,1.50", "e2,2024-06-10 12:10:00,u2,2.00", "e3,2024-06-10 12:20:00,u1,3.00", "e4,2024-06-10 12:30:00,u3,9.99"} {
		events += row + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "events.csv"), []byte(events), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "live.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), `CREATE TABLE audit (at TEXT); CREATE TABLE sums (who TEXT PRIMARY KEY, spent DECIMAL(18,2), n INTEGER, note TEXT);
		INSERT INTO sums VALUES ('u1', 4.5, 2, 'x'), ('u2', 2, 1, ''), ('u3', 1, 1, 'y')`)
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return app.Options{Dir: dir, Registry: adapter.Default, Clock: clock.Fixed(time.Date(2024, 6, 11, 0, 0, 0, 0, time.UTC)), Getenv: os.LookupEnv}
}

func TestInitAsksAtMostSixQuestionsWithWhatItFound(t *testing.T) {
	opts := initProject(t)
	var asked []string
	done, err := app.Init(t.Context(), app.InitRequest{App: opts, Files: []string{"events.csv", "live.db"}, Ask: func(q app.Question) (string, error) {
		asked = append(asked, q.Key+"="+q.Default)
		if q.Key == "table" {
			return "sums", nil
		}
		return q.Default, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"table=audit", "id=event_id", "time=at", "timezone=UTC", "key=who", "columns=spent,n"}
	if !slices.Equal(asked, want) || done.Asked != len(want) {
		t.Errorf("got %d questions %v, want %v", done.Asked, asked, want)
	}
	if !slices.Contains(done.Fits, "spent = sum(amount) is right in 2 of 3 rows") || !slices.Contains(done.Fits, "n = count(*) is right in 3 of 3 rows") {
		t.Errorf("got fits %v", done.Fits)
	}
	if len(done.Sample) != 3 || done.Sample[0] != "id=e1  time=2024-06-10T12:00:00Z  user=u1  amount=1.50" {
		t.Errorf("got sample %q", done.Sample)
	}
	if done.Diagnosis == nil || done.Diagnosis.Failed() {
		t.Errorf("got diagnosis %+v", done.Diagnosis)
	}
	if !slices.Contains(done.Notes, "columns of the table that are neither compared nor written: note") {
		t.Errorf("got notes %q", done.Notes)
	}
}

func TestAnAnswerThatFitsNothingIsRefusedAndNothingIsWritten(t *testing.T) {
	for key, answer := range map[string]string{"id": "evnt_id", "time": "when", "timezone": "Mars/Olympus", "key": "who,nobody", "columns": "spend"} {
		opts := initProject(t)
		_, err := app.Init(context.Background(), app.InitRequest{App: opts, Files: []string{"events.csv", "live.db"}, Ask: func(q app.Question) (string, error) {
			switch q.Key {
			case key:
				return answer, nil
			case "table":
				return "sums", nil
			}
			return q.Default, nil
		}})
		var e *recount.Error
		if !errors.As(err, &e) || e.Code != recount.CodeUsage || e.Next == "" || !strings.Contains(e.What, strings.TrimPrefix(answer, "who,")) {
			t.Errorf("%s: got %v, want a usage error that names %q", key, err, answer)
		}
		left, err := filepath.Glob(filepath.Join(opts.Dir, "*.yaml"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: %v was written (%v)", key, left, err)
		}
	}
}
