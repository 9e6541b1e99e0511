package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"recount"
	"recount/cli"
	"recount/cli/views"
	"recount/internal/app"
	"recount/internal/clock"
)

// fake is a project that answers as it is told and remembers what was asked.
type fake struct {
	cli.Recount
	opened  []app.Options
	closed  int
	asked   []any
	rows    recount.RowCounts
	checks  []app.Check
	err     error
	applied func(context.Context) error
}

func (f *fake) remember(what ...any) { f.asked = append(f.asked, what...) }

func (f *fake) Close() error { f.closed++; return nil }

func (f *fake) planned() app.Planned {
	at := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	w := recount.Window{From: at, To: at.Add(time.Hour), By: recount.ByEvent}
	return app.Planned{File: "fix.plan", Plan: &recount.Plan{ID: "4b2e90c7", Body: recount.PlanBody{
		Calculation: "user_totals", Window: w, Asked: w, Rows: f.rows, Target: recount.Identity{Adapter: "sqlite", Place: "live.db", Table: "user_totals"},
	}}}
}

func (f *fake) Plan(_ context.Context, req app.PlanRequest) (app.Planned, error) {
	f.remember(req)
	return f.planned(), f.err
}

func (f *fake) Diff(_ context.Context, req app.PlanRequest) (app.Planned, error) {
	f.remember(req)
	return f.planned(), f.err
}

func (f *fake) Verify(_ context.Context, req app.PlanRequest) (app.Verified, error) {
	f.remember(req)
	return app.Verified{Calculation: req.Calculation, Rows: f.rows, Runs: 2}, f.err
}

func (f *fake) Show(_ context.Context, file string) (app.Shown, error) {
	f.remember(file)
	return app.Shown{Plan: f.planned().Plan, File: file}, f.err
}

func (f *fake) Script(_ context.Context, req app.ScriptRequest) (app.Scripted, error) {
	f.remember(req)
	return app.Scripted{Plan: f.planned().Plan, File: req.File}, f.err
}

func (f *fake) Explain(_ context.Context, req app.ExplainRequest) (app.Explanation, error) {
	f.remember(req.File, req.Key)
	return app.Explanation{}, f.err
}

func (f *fake) ApplyTable(context.Context, string) (string, error) { return "user_totals", nil }

func (f *fake) Apply(ctx context.Context, req app.ApplyRequest) (recount.Receipt, error) {
	f.remember(req)
	if f.applied != nil {
		return recount.Receipt{}, f.applied(ctx)
	}
	return recount.Receipt{Run: "r1", Kind: recount.PlanApply, Table: "user_totals", Applied: 1, Verified: true}, f.err
}

func (f *fake) RollbackTable(context.Context, string) (string, error) { return "user_totals", nil }

func (f *fake) Rollback(_ context.Context, req app.RollbackRequest) (recount.Receipt, error) {
	f.remember(req)
	return recount.Receipt{Run: "r2", Kind: recount.PlanRollback, Table: "user_totals", Applied: 1}, f.err
}

func (f *fake) Doctor(_ context.Context, calcs []string) (app.Diagnosis, error) {
	f.remember(calcs)
	return app.Diagnosis{Checks: f.checks}, f.err
}

func (f *fake) Runs(context.Context) ([]recount.Run, error) { return nil, f.err }
func (f *fake) BusReplays(context.Context) ([]app.BusReplay, error) {
	return nil, f.err
}

// result is what one command left.
type result struct {
	exit        int
	out, errOut string
}

// scene is one call of the command line.
type scene struct {
	fake     fake
	env      map[string]string
	terminal bool
	stdin    string
	signals  chan os.Signal
	exits    chan int
	stdout   io.Writer
	open     func() cli.Recount // nil: the fake
}

func (s *scene) run(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	stdout := io.Writer(&out)
	if s.stdout != nil {
		stdout = s.stdout
	}
	exit := cli.Main(t.Context(), args, cli.Env{
		Stdin: strings.NewReader(s.stdin), Stdout: stdout, Stderr: &errOut, Dir: "/work-dir",
		Getenv:   func(name string) (string, bool) { v, ok := s.env[name]; return v, ok },
		Terminal: func(any) (int, bool) { return 80, s.terminal },
		Clock:    clock.Fixed(time.Date(2024, 6, 11, 0, 0, 0, 0, time.UTC)), User: "alice",
		Build: views.Build{Version: "v1.2.3", Revision: "abcdef", Go: "go1.26"}, Signals: s.signals,
		Exit: func(code int) { s.exits <- code },
		Open: func(_ context.Context, o app.Options) (cli.Recount, error) {
			s.fake.opened = append(s.fake.opened, o)
			if s.open != nil {
				return s.open(), nil
			}
			return &s.fake, nil
		},
		Init: func(_ context.Context, req app.InitRequest) (app.Initialized, error) {
			s.fake.remember(req.Files)
			done := app.Initialized{File: "recount.yaml", Text: "version: 1\n"}
			if req.Ask != nil {
				answer, err := req.Ask(app.Question{Key: "id", Text: "Which column is the id?", Default: "event_id", Choices: []string{"event_id", "none"}})
				s.fake.remember(answer)
				return done, err
			}
			return done, nil
		},
	})
	return result{exit: exit, out: out.String(), errOut: errOut.String()}
}

var window = []string{"--from", "2024-06-10T12:00:00Z", "--to", "2024-06-10T13:00:00Z"}

func with(args ...string) []string { return append(args, window...) }

func TestExitCodesSayWhatWasFound(t *testing.T) {
	differs := recount.RowCounts{Checked: 2, Right: 1, Update: 1}
	held := recount.RowCounts{Checked: 3, Right: 1, Held: 1, Extra: 1}
	for _, c := range []struct {
		name string
		rows recount.RowCounts
		args []string
		want int
	}{
		{"diff without differences", recount.RowCounts{}, with("diff", "c"), recount.ExitDone},
		{"diff with differences", differs, with("diff", "c"), recount.ExitDifferences},
		{"diff of held and extra rows alone", held, with("diff", "c"), recount.ExitDone},
		{"plan with differences", differs, with("plan", "c"), recount.ExitDone},
		{"plan with differences, asked for", differs, with("plan", "c", "--detailed-exitcode"), recount.ExitDifferences},
		{"plan of held rows alone, asked for", held, with("plan", "c", "--detailed-exitcode"), recount.ExitDone},
		{"verify of a right window", recount.RowCounts{Checked: 1, Right: 1}, with("verify", "c"), recount.ExitDone},
		{"verify of a wrong window", differs, with("verify", "c"), recount.ExitRefused},
		{"verify with an excluded row", recount.RowCounts{Checked: 2, Right: 1, Excluded: 1}, with("verify", "c"), recount.ExitDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scene{fake: fake{rows: c.rows}}
			if got := s.run(t, c.args...); got.exit != c.want {
				t.Errorf("exit: got %d, want %d\n%s%s", got.exit, c.want, got.out, got.errOut)
			}
			if s.fake.closed != 1 {
				t.Errorf("project closed %d times, want 1", s.fake.closed)
			}
		})
	}
}

func TestAFailedCheckOfDoctorExitsWith16(t *testing.T) {
	s := scene{fake: fake{checks: []app.Check{{Name: "a", Status: app.CheckWarn}}}}
	if got := s.run(t, "doctor", "x"); got.exit != 0 {
		t.Errorf("exit with a warning: got %d, want 0", got.exit)
	}
	s.fake.checks = append(s.fake.checks, app.Check{Name: "b", Status: app.CheckFail})
	if got := s.run(t, "doctor", "x"); got.exit != recount.ExitRefused {
		t.Errorf("exit with a failure: got %d, want %d", got.exit, recount.ExitRefused)
	}
}

func TestSlipsOnTheCommandLineAreUsageErrorsAndOpenNothing(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"aply", "f"}, "the nearest is apply"},
		{[]string{"detect"}, "recount detect needs the name of one calculation"},
		{[]string{"serve", "--listen", "x"}, `recount has no command "serve"`},
		{[]string{"archive", "shrink"}, `recount archive has no command "shrink"`},
		{[]string{"archive", "register"}, "needs --iceberg"},
		{[]string{"archive", "compact", "--target", "big"}, "--target is no size"},
		{[]string{"archive", "expire", "--keep-snapshots", "7"}, "--keep-snapshots is no duration"},
		{[]string{"archive", "rn"}, "the nearest is run"},
		{[]string{"help", "nosuch"}, `recount has no command "nosuch"`},
		{with("plan", "c", "--fromm", "x"), "the nearest is --from"},
		{[]string{"--nosuch"}, "recount has no flag --nosuch"},
		{[]string{"plan", "-x"}, "recount plan has no flag -x"},
		{[]string{"plan"}, "recount plan needs the name of a calculation"},
		{[]string{"plan", "c"}, "recount plan needs --from and --to"},
		{[]string{"plan", "c", "--from", "2024-06-10T12:00:00Z"}, "recount plan needs --to"},
		{[]string{"diff", "c", "--to", "2024-06-10T12:00:00Z"}, "recount diff needs --from"},
		{with("diff", "c", "d"), `does not know what "d" means`},
		{[]string{"show"}, "recount show needs one plan file"},
		{[]string{"show", "f", "--csv", "--json"}, "--csv and --json do not go together"},
		{[]string{"show", "f", "--csv", "--sql"}, "--csv and --sql do not go together"},
		{[]string{"explain", "f"}, "recount explain needs a plan file and a key"},
		{[]string{"runs", "check"}, "recount runs check needs one run"},
		{[]string{"runs", "chek"}, "chek"},
		{[]string{"detect", "c"}, "detect needs --solve"},
		{[]string{"apply", "f", "--json=maybe"}, "invalid argument"},
		{[]string{"completion", "tcsh"}, "there is no completion for tcsh"},
		{[]string{"apply", "--confirm"}, "flag needs an argument"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			s := scene{}
			got := s.run(t, c.args...)
			text := strings.Join(strings.Fields(got.errOut), " ")
			if got.exit != recount.ExitUsage || !strings.Contains(text, c.want) || got.out != "" && !slices.Contains(c.args, "--json") {
				t.Errorf("got exit %d, stdout %q, stderr:\n%s\nwant 64 and %q", got.exit, got.out, got.errOut, c.want)
			}
			if len(s.fake.opened) > 0 && len(s.fake.asked) > 0 {
				t.Errorf("the project was asked: %v", s.fake.asked)
			}
		})
	}
}

func TestErrorsAreJSONWhereverJSONIsAskedFor(t *testing.T) {
	for _, args := range [][]string{
		{"--json", "plan"}, {"plan", "--json"}, {"--json", "nosuch"}, {"plan", "--nosuch", "--json"}, {"show", "f", "--csv", "--json"},
	} {
		s := scene{}
		got := s.run(t, args...)
		var e struct {
			Type    string
			Schema  int
			Code    string
			Exit    int
			Changed string
		}
		if err := json.Unmarshal([]byte(got.errOut), &e); err != nil {
			t.Errorf("%v: stderr is no JSON: %v: %s", args, err, got.errOut)
		}
		if e.Type != "error" || e.Schema != 1 || e.Code != "RC1001" || e.Exit != 64 || e.Changed != "nothing" || got.exit != 64 || got.out != "" {
			t.Errorf("%v: got %+v, exit %d, stdout %q", args, e, got.exit, got.out)
		}
	}
	s := scene{}
	if got := s.run(t, "plan", "--", "--json"); strings.HasPrefix(got.errOut, "{") {
		t.Errorf("--json after -- is no flag, but the error is JSON: %s", got.errOut)
	}
}

func TestGlobalFlagsStandBeforeOrAfterTheCommand(t *testing.T) {
	for _, args := range [][]string{
		{"-C", "shop", "--json", "--quiet", "--no-input", "doctor", "a"},
		{"doctor", "-C", "shop", "a", "--json", "--no-input", "--quiet"},
		{"-Cshop", "doctor", "--json", "a"},
		{"--dir=shop", "doctor", "a", "--json"},
	} {
		s := scene{fake: fake{checks: []app.Check{{Name: "a", Status: app.CheckOK}}}}
		got := s.run(t, args...)
		if got.exit != 0 || !strings.HasPrefix(got.out, `{"type":"check"`) {
			t.Errorf("%v: got exit %d, %s%s", args, got.exit, got.out, got.errOut)
			continue
		}
		if dir := s.fake.opened[0].Dir; dir != "/work-dir/shop" {
			t.Errorf("%v: project folder: got %s, want /work-dir/shop", args, dir)
		}
	}
}

func TestWritesNeedTheTablesName(t *testing.T) {
	for _, c := range []struct {
		name     string
		args     []string
		terminal bool
		stdin    string
		want     int
	}{
		{"without a terminal", []string{"apply", "f"}, false, "user_totals\n", recount.ExitUsage},
		{"typed on a terminal", []string{"apply", "f"}, true, "user_totals\n", recount.ExitDone},
		{"typed without a line's end", []string{"apply", "f"}, true, "user_totals", recount.ExitDone},
		{"another name typed", []string{"apply", "f"}, true, "user_total\n", recount.ExitUsage},
		{"nothing typed", []string{"apply", "f"}, true, "", recount.ExitUsage},
		{"yes is no name", []string{"apply", "f"}, true, "yes\n", recount.ExitUsage},
		{"asked not to ask", []string{"apply", "f", "--no-input"}, true, "user_totals\n", recount.ExitUsage},
		{"given", []string{"apply", "f", "--confirm", "user_totals"}, false, "", recount.ExitDone},
		{"given with a terminal", []string{"apply", "f", "--confirm=user_totals"}, true, "", recount.ExitDone},
		{"another given", []string{"apply", "f", "--confirm", "users"}, false, "", recount.ExitUsage},
		{"another given with a terminal", []string{"apply", "f", "--confirm", "users"}, true, "user_totals\n", recount.ExitUsage},
		{"rollback without a terminal", []string{"rollback", "r"}, false, "", recount.ExitUsage},
		{"rollback given", []string{"rollback", "r", "--confirm", "user_totals"}, false, "", recount.ExitDone},
		{"rollback typed", []string{"rollback", "r"}, true, "user_totals\n", recount.ExitDone},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scene{terminal: c.terminal, stdin: c.stdin}
			got := s.run(t, c.args...)
			if got.exit != c.want {
				t.Errorf("exit: got %d, want %d\n%s", got.exit, c.want, got.errOut)
			}
			wrote := slices.ContainsFunc(s.fake.asked, func(v any) bool {
				switch v.(type) {
				case app.ApplyRequest, app.RollbackRequest:
					return true
				}
				return false
			})
			if wrote != (c.want == 0) {
				t.Errorf("asked the project to write: got %t, want %t", wrote, c.want == 0)
			}
			if c.want != 0 && !strings.Contains(got.errOut, string(recount.CodeConfirm)) {
				t.Errorf("stderr lacks %s:\n%s", recount.CodeConfirm, got.errOut)
			}
		})
	}
}

func TestFlagsReachTheProject(t *testing.T) {
	s := scene{}
	s.run(t, with("plan", "c", "--timezone", "Europe/Berlin", "--out", "f.plan", "--allow-empty", "--accept-two-way", "--without-quarantined")...)
	want := app.PlanRequest{
		Calculation: "c", Out: "f.plan", Window: app.WindowRequest{From: window[1], To: window[3], Timezone: "Europe/Berlin"},
		Overrides: app.Overrides{AllowEmpty: true, AcceptTwoWay: true, WithoutQuarantined: true},
	}
	if len(s.fake.asked) != 1 || !reflect.DeepEqual(s.fake.asked[0], any(want)) {
		t.Errorf("plan: got %+v, want %+v", s.fake.asked, want)
	}
	s = scene{}
	s.run(t, "explain", "f", "--", "-5")
	if got := fmt.Sprint(s.fake.asked); got != "[f [-5]]" {
		t.Errorf("explain: got %s", got)
	}
	s = scene{}
	s.run(t, "apply", "f", "--confirm", "user_totals", "--no-control")
	if got, ok := s.fake.asked[0].(app.ApplyRequest); !ok || !got.Overrides.NoControl || got.Confirm != "user_totals" || got.File != "f" {
		t.Errorf("apply: got %+v", s.fake.asked)
	}
	if o := s.fake.opened[0]; o.User != "alice" || o.Program != "recount v1.2.3" || o.Progress == nil {
		t.Errorf("options: got %+v", o)
	}
}

func TestErrorsOfTheProjectKeepTheirExitCode(t *testing.T) {
	for _, info := range recount.Codes {
		s := scene{fake: fake{err: fmt.Errorf("apply plan: %w", &recount.Error{Code: info.Code, What: info.Title})}}
		got := s.run(t, "apply", "f", "--confirm", "user_totals")
		if got.exit != info.Exit || !strings.HasPrefix(got.errOut, "error "+string(info.Code)+": ") || got.out != "" {
			t.Errorf("%s: got exit %d, want %d\n%s", info.Code, got.exit, info.Exit, got.errOut)
		}
	}
	s := scene{fake: fake{err: errors.New("read the moon: too far")}}
	if got := s.run(t, "runs"); got.exit != recount.ExitError || !strings.Contains(got.errOut, "RC9000") || !strings.Contains(got.errOut, "read the moon: too far") {
		t.Errorf("unexpected error: got exit %d\n%s", got.exit, got.errOut)
	}
}

func TestTheFirstInterruptEndsWellTheSecondAtOnce(t *testing.T) {
	signals, exits := make(chan os.Signal, 2), make(chan int, 1)
	s := scene{signals: signals, exits: exits}
	s.fake.applied = func(ctx context.Context) error {
		signals <- os.Interrupt
		<-ctx.Done()
		signals <- os.Interrupt
		if code := <-exits; code != recount.ExitInterrupted {
			t.Errorf("second interrupt left with %d, want %d", code, recount.ExitInterrupted)
		}
		return fmt.Errorf("apply plan: %w", ctx.Err())
	}
	got := s.run(t, "apply", "f", "--confirm", "user_totals")
	if got.exit != recount.ExitInterrupted || !strings.Contains(got.errOut, "error RC9130: interrupted") || !strings.Contains(got.errOut, "changed: nothing") {
		t.Errorf("got exit %d\n%s", got.exit, got.errOut)
	}
}

func TestAnUnknownOutcomeStaysOneAlthoughInterrupted(t *testing.T) {
	for code, want := range map[recount.Code]int{
		recount.CodeOutcome: recount.ExitUnknown, recount.CodeStale: recount.ExitStale, recount.CodeEngine: recount.ExitInterrupted,
	} {
		signals := make(chan os.Signal, 2)
		s := scene{signals: signals}
		s.fake.applied = func(ctx context.Context) error {
			signals <- os.Interrupt
			<-ctx.Done()
			return &recount.Error{Code: code, What: "x"}
		}
		if got := s.run(t, "apply", "f", "--confirm", "user_totals"); got.exit != want {
			t.Errorf("%s: exit: got %d, want %d", code, got.exit, want)
		}
	}
}

// closedPipe is a standard output whose reader is gone.
type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

func TestAReaderThatIsGoneIsNoFailure(t *testing.T) {
	help := scene{stdout: closedPipe{}}
	if got := help.run(t, "plan", "--help"); got.exit != 0 || got.errOut != "" {
		t.Errorf("help: got exit %d\n%s", got.exit, got.errOut)
	}
	s := scene{stdout: closedPipe{}, fake: fake{rows: recount.RowCounts{Checked: 1, Update: 1}}}
	if got := s.run(t, with("diff", "c")...); got.exit != recount.ExitDifferences || got.errOut != "" {
		t.Errorf("got exit %d and %q, want 2 and nothing", got.exit, got.errOut)
	}
	if got := s.run(t, "show", "f", "--csv"); got.exit != 0 || got.errOut != "" {
		t.Errorf("got exit %d and %q, want 0 and nothing", got.exit, got.errOut)
	}
}

func TestColoursStandOnATerminalAlone(t *testing.T) {
	for _, c := range []struct {
		name     string
		env      map[string]string
		terminal bool
		args     []string
		want     bool
	}{
		{"terminal", nil, true, nil, true},
		{"pipe", nil, false, nil, false},
		{"NO_COLOR", map[string]string{"NO_COLOR": "1"}, true, nil, false},
		{"--no-color", nil, true, []string{"--no-color"}, false},
		{"JSON", nil, true, []string{"--json"}, false},
	} {
		s := scene{env: c.env, terminal: c.terminal}
		got := s.run(t, append(with("diff", "c"), c.args...)...)
		if coloured := strings.Contains(got.out+got.errOut, "\x1b"); coloured != c.want {
			t.Errorf("%s: coloured: got %t, want %t", c.name, coloured, c.want)
		}
	}
}

func TestInitAsksOnATerminalAlone(t *testing.T) {
	s := scene{terminal: true, stdin: "\n"}
	if got := s.run(t, "init", "a.csv"); got.exit != 0 || !strings.Contains(got.errOut, "Which column is the id? (event_id, none) [event_id]: ") {
		t.Errorf("got exit %d\n%s", got.exit, got.errOut)
	}
	if got := fmt.Sprint(s.fake.asked); got != "[[a.csv] event_id]" {
		t.Errorf("answers: got %s", got)
	}
	s = scene{}
	s.run(t, "init", "a.csv")
	if got := fmt.Sprint(s.fake.asked); got != "[[a.csv]]" {
		t.Errorf("without a terminal: got %s", got)
	}
}

func TestEveryCommandsHelpBeginsWithTwoExamples(t *testing.T) {
	for _, command := range []string{
		"", "init", "archive", "archive run", "archive compact", "archive expire", "archive register", "replay", "diff", "plan", "show", "explain", "verify", "apply", "rollback", "runs", "runs check", "detect", "doctor", "version", "completion",
	} {
		s := scene{}
		got := s.run(t, append(strings.Fields(command), "--help")...)
		lines := strings.Split(got.out, "\n")
		if got.exit != 0 || len(lines) < 3 || !strings.HasPrefix(lines[0], "  ") || !strings.HasPrefix(lines[1], "  ") || lines[2] != "" {
			t.Errorf("help of %q begins with:\n%s", command, strings.Join(lines[:min(3, len(lines))], "\n"))
		}
		for _, line := range lines {
			if len([]rune(line)) > views.MaxWidth {
				t.Errorf("help of %q has a line of %d columns: %s", command, len([]rune(line)), line)
			}
		}
		if len(lines) > views.MaxLines {
			t.Errorf("help of %q has %d lines", command, len(lines))
		}
	}
}
