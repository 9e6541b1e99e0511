package views

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"recount"
	"recount/internal/app"
)

// hostile draws texts that terminals, JSON and CSV stumble over.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringN(0, 40, -1),
		rapid.SampledFrom([]string{
			"", "-5", "--all", "a b", "it's", "=cmd|' /C calc'!A0", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\u202eb", "\u2066x\u2069",
			"line\nbreak", "tab\there", "\x00", "\x9b31m", "\xff\xfe", "日本語のキー", "e\u0301\u0301\u0301", strings.Repeat("k", 500), strings.Repeat("漢", 300),
			strings.Repeat("\u0301", 400), "👩‍👩‍👧‍👦", "\u200b", "\ufeff", "\u00a0", "\U000e0041", "ｆｕｌｌ", "\u2028", "\u3164",
		}),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 60), func(b []byte) string { return string(b) }),
	)
}

func drawValue(t *rapid.T, label string) recount.Value {
	if rapid.IntRange(0, 9).Draw(t, label+" null") == 0 {
		return recount.Null
	}
	if rapid.Bool().Draw(t, label+" number") {
		digits := rapid.StringMatching(`-?[0-9]{1,38}(\.[0-9]{1,12})?(e[-+]?[0-9]{1,3})?`)
		return recount.Text(digits.Draw(t, label))
	}
	return recount.Text(hostile().Draw(t, label))
}

func drawValues(t *rapid.T, n int, label string) []recount.Value {
	out := make([]recount.Value, n)
	for i := range out {
		out[i] = drawValue(t, fmt.Sprint(label, i))
	}
	return out
}

func drawColumns(t *rapid.T, n int, label string) []recount.PlanColumn {
	out := make([]recount.PlanColumn, n)
	for i := range out {
		out[i] = recount.PlanColumn{
			Name: hostile().Draw(t, label),
			Type: rapid.SampledFrom([]string{"string", "int64", "double", "decimal(38,10)", "timestamp", "odd"}).Draw(t, label+" type"),
		}
	}
	return out
}

func drawTexts(t *rapid.T, label string) []string {
	return rapid.SliceOfN(hostile(), 0, 12).Draw(t, label)
}

func drawCount(t *rapid.T, label string) int64 {
	return rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 1<<62)).Draw(t, label)
}

// drawPlan draws any plan, consistent or not.
func drawPlan(t *rapid.T) *recount.Plan {
	from := time.Unix(rapid.Int64Range(-1<<33, 1<<34).Draw(t, "from"), 0).UTC()
	step := time.Duration(rapid.IntRange(1, 90000).Draw(t, "step")) * time.Second
	p := &recount.Plan{ID: hostile().Draw(t, "id"), Header: recount.PlanHeader{By: hostile().Draw(t, "by"), TookMS: rapid.Int64Range(0, 1<<40).Draw(t, "took")}}
	b := &p.Body
	steps := rapid.SampledFrom([]int{0, 1, 2, 30, 61, 1440}).Draw(t, "steps")
	for i := range steps {
		wrong := rapid.Int64Range(-1, 5).Draw(t, "wrong")
		b.Minutes = append(b.Minutes, recount.MinuteCount{From: from.Add(time.Duration(i) * step), Events: drawCount(t, "events"), Wrong: wrong})
	}
	b.Window = recount.Window{From: from, To: from.Add(time.Duration(max(steps, 1)) * step), By: recount.ByEvent}
	b.Asked = b.Window
	b.Zone = rapid.SampledFrom([]string{"", "UTC", "Europe/Berlin", "no such"}).Draw(t, "zone")
	for _, s := range []*string{&b.Calculation, &b.Stream, &b.Snapshot, &b.Bucket, &b.NoControl, &b.Target.Table, &b.Target.Place, &b.Target.Adapter} {
		*s = hostile().Draw(t, "text")
	}
	b.Rules, b.Hazards, b.Notes, b.Overrides = drawTexts(t, "rules"), drawTexts(t, "hazards"), drawTexts(t, "notes"), drawTexts(t, "overrides")
	b.Key, b.Columns = drawColumns(t, rapid.IntRange(1, 3).Draw(t, "keys"), "key"), drawColumns(t, rapid.IntRange(0, 4).Draw(t, "columns"), "column")
	b.Events = recount.EventCounts{Read: drawCount(t, "read"), Used: drawCount(t, "used"), Duplicates: drawCount(t, "duplicates"), Quarantined: 1, Outside: 2, Late: 3}
	for _, n := range []*int64{&b.Rows.Update, &b.Rows.Insert, &b.Rows.Delete, &b.Rows.Extra, &b.Rows.Held, &b.Rows.Excluded, &b.Rows.Right} {
		*n = drawCount(t, "rows") >> 4
		b.Rows.Checked += *n
	}
	for range rapid.IntRange(0, 20).Draw(t, "causes") {
		b.Causes = append(b.Causes, recount.CauseCount{Cause: recount.Cause(hostile().Draw(t, "cause")), Rows: drawCount(t, "cause rows") >> 8})
	}
	b.Given, b.Cut = rapid.Bool().Draw(t, "given"), rapid.IntRange(0, 3).Draw(t, "cut")
	if rapid.Bool().Draw(t, "control") {
		b.Control = &recount.Control{Rows: drawCount(t, "control rows"), Wrong: drawCount(t, "control wrong"), First: hostile().Draw(t, "first")}
		for range rapid.IntRange(0, 6).Draw(t, "reasons") {
			b.Control.Reasons = append(b.Control.Reasons, recount.ControlReason{
				Name: hostile().Draw(t, "reason"), Rows: drawCount(t, "explained"), Text: hostile().Draw(t, "text"), Line: hostile().Draw(t, "line"), Where: hostile().Draw(t, "where"),
			})
		}
	}
	for _, c := range b.Columns {
		b.Sums = append(b.Sums, recount.ColumnSum{Column: c.Name, Net: drawValue(t, "net").Text})
	}
	b.MaxChanges = drawCount(t, "limit")
	b.Write, b.WorkerState = rapid.SampledFrom([]recount.WriteMode{"", recount.WriteSet, recount.WriteDelta}).Draw(t, "write"), rapid.SampledFrom([]recount.WorkerState{"", recount.StateOwn}).Draw(t, "state")
	b.Against = recount.Cause(hostile().Draw(t, "against"))
	if rapid.Bool().Draw(t, "taken") {
		b.Taken, b.Unproved = &recount.CutTaken{Kind: recount.CutFound, How: hostile().Draw(t, "how")}, hostile().Draw(t, "unproved")
	}
	for range rapid.IntRange(0, 6).Draw(t, "kinds") {
		b.Effects = append(b.Effects, recount.KindCount{Kind: hostile().Draw(t, "kind"), Count: drawCount(t, "effects")})
	}
	for range rapid.IntRange(0, 12).Draw(t, "changes") {
		p.Changes = append(p.Changes, drawChange(t, b))
	}
	return p
}

// drawSeveral draws a plan, and gives it further tables.
func drawSeveral(t *rapid.T) *recount.Plan {
	p := drawPlan(t)
	for range rapid.SampledFrom([]int{0, 1, 2, 9}).Draw(t, "tables") {
		part := recount.PlanPart{Body: p.Body, Changes: p.Changes}
		part.Body.Role = rapid.SampledFrom([]recount.PartRole{recount.RoleResult, recount.RoleMark, recount.RoleAdjust}).Draw(t, "role")
		part.Body.Target.Table = hostile().Draw(t, "table")
		p.With = append(p.With, part)
	}
	return p
}

func drawChange(t *rapid.T, b *recount.PlanBody) recount.Change {
	c := recount.Change{Action: rapid.SampledFrom(recount.Actions).Draw(t, "action"), Key: drawValues(t, len(b.Key), "key"), Cause: recount.Cause(hostile().Draw(t, "cause"))}
	if c.Action != recount.ActionInsert {
		c.Before = drawValues(t, len(b.Columns), "before")
	}
	if c.Action == recount.ActionInsert || c.Action == recount.ActionUpdate {
		c.After = drawValues(t, len(b.Columns), "after")
	}
	return c
}

func TestAnyPlanFitsItsScreenAndObeysNoForeignText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawSeveral(t)
		file := hostile().Draw(t, "file")
		for _, ascii := range []bool{false, true} {
			for name, show := range map[string]func(*Output) error{
				"plan": func(o *Output) error { return NewPlan(o).Planned(app.Planned{Plan: p, File: file, TookMS: 5}) },
				"diff": func(o *Output) error { return NewPlan(o).Differs(app.Planned{Plan: p, TookMS: 5}) },
				"show": func(o *Output) error { return NewShow(o).Shown(app.Shown{Plan: p, File: file, Expired: ascii}, false) },
				"all":  func(o *Output) error { return NewShow(o).Shown(app.Shown{Plan: p, File: file}, true) },
				"about": func(o *Output) error {
					return NewReceipt(o).About(app.Shown{Plan: p, File: file})
				},
			} {
				var s screen
				o := s.output(false)
				o.Style.ASCII, o.ErrStyle.ASCII = ascii, ascii
				if err := show(o); err != nil {
					t.Fatal(err)
				}
				text := s.out.String() + s.err.String()
				checkScreen(t, text, name == "all")
				if !strings.Contains(strings.SplitN(text, "\n", 2)[0], ") by event") && name != "about" {
					t.Errorf("%s does not begin with window and clock: %q", name, text[:min(len(text), 120)])
				}
				if ascii {
					for _, r := range text {
						if r > unicode.MaxASCII {
							t.Fatalf("%s: ASCII screen holds %U:\n%s", name, r, text)
						}
					}
				}
			}
		}
	})
}

func TestAnyExplanationObeysNoForeignText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		c := drawChange(t, &p.Body)
		e := app.Explanation{
			Plan: p.ID, Calculation: p.Body.Calculation, Window: p.Body.Window, Change: c, Key: p.Body.Key, Columns: p.Body.Columns,
			Right: rapid.Bool().Draw(t, "right"), Result: c.After, Alone: true,
		}
		cause := rapid.Bool().Draw(t, "under")
		if cause {
			e.Under = drawValues(t, len(e.Columns), "under")
		}
		for i := range rapid.SampledFrom([]int{0, 1, 3, 31, 80}).Draw(t, "steps") {
			s := app.ExplainStep{Seq: int64(i), ID: "e", Time: at12, Counted: i%3 > 0, Values: c.After, Under: e.Under}
			if i < 4 {
				s.ID, s.Partition, s.Position, s.Note = hostile().Draw(t, "id"), hostile().Draw(t, "partition"), hostile().Draw(t, "position"), hostile().Draw(t, "note")
				s.Fields = []app.NamedValue{{Name: hostile().Draw(t, "field"), Value: drawValue(t, "value")}}
			}
			e.Steps = append(e.Steps, s)
		}
		var s screen
		if err := NewExplain(s.output(false)).Explained(e, false); err != nil {
			t.Fatal(err)
		}
		checkScreen(t, s.out.String(), true)
		if n := strings.Count(s.out.String(), "\n"); n > maxSteps+20 {
			t.Errorf("explanation has %d lines:\n%s", n, s.out.String())
		}
	})
}

func TestColoursAddNothingButColours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := app.Planned{Plan: drawPlan(t), File: "f", TookMS: 5}
		var plainScreen, coloured screen
		o := coloured.output(false)
		o.Style.Color = true
		if err := NewPlan(o).Planned(p); err != nil {
			t.Fatal(err)
		}
		if err := NewPlan(plainScreen.output(false)).Planned(p); err != nil {
			t.Fatal(err)
		}
		text := coloured.out.String()
		for _, i := range []ink{bold, dim, blue, orange} {
			text = strings.ReplaceAll(text, i.sgr(), "")
		}
		if text = strings.ReplaceAll(text, "\x1b[0m", ""); text != plainScreen.out.String() {
			t.Errorf("without its colours the screen differs\ngot:\n%s\nwant:\n%s", text, plainScreen.out.String())
		}
	})
}

func TestJSONKeepsEveryTextUnchanged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		var s screen
		if err := NewShow(s.output(true)).Shown(app.Shown{Plan: p, File: "f"}, false); err != nil {
			t.Fatal(err)
		}
		checkJSON(t, s.out.Bytes())
		lines := slices.Collect(bytes.Lines(s.out.Bytes()))
		if len(lines) != 1+len(p.Changes) {
			t.Fatalf("objects: got %d, want %d", len(lines), 1+len(p.Changes))
		}
		for i, c := range p.Changes {
			var got struct {
				Key map[string]*string `json:"key"`
			}
			if err := json.Unmarshal(lines[i+1], &got); err != nil {
				t.Fatal(err)
			}
			for k, v := range c.Key {
				name := p.Body.Key[k].Name
				// A later column of the same name hides this one; JSON has no bytes
				// that are no text.
				if twice(p.Body.Key, name) || !utf8.ValidString(name) || !utf8.ValidString(v.Text) {
					continue
				}
				if text := got.Key[name]; v.Null != (text == nil) || text != nil && *text != v.Text {
					t.Errorf("key %q: got %v, want %q", name, text, v)
				}
			}
		}
	})
}

func twice(cols []recount.PlanColumn, name string) bool {
	n := 0
	for _, c := range cols {
		if c.Name == name {
			n++
		}
	}
	return n > 1
}

func TestCSVReadsBackAsThePlanHasIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		var out bytes.Buffer
		if err := WriteCSV(&out, p); err != nil {
			t.Fatal(err)
		}
		in := csv.NewReader(&out)
		in.FieldsPerRecord = 1 + len(p.Body.Key) + 2*len(p.Body.Columns)
		delta := p.Body.Write == recount.WriteDelta
		if delta {
			in.FieldsPerRecord += len(p.Body.Columns) + 1 // and the cause
		}
		// A CSV reader turns CR LF within a field into LF.
		if strings.Contains(out.String(), "\r\n") {
			return
		}
		records, err := in.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range p.Changes {
			if got := records[i+1][0]; got != string(c.Action) {
				t.Errorf("action: got %s, want %s", got, c.Action)
			}
			if got := records[i+1][in.FieldsPerRecord-1]; delta && got != string(c.Cause) {
				t.Errorf("cause: got %s, want %s", got, c.Cause)
			}
			for k, v := range c.Key {
				if got := records[i+1][1+k]; !v.Null && got != v.Text {
					t.Errorf("key: got %q, want %q", got, v.Text)
				}
			}
		}
	})
}

func TestTheSeedsCorrectionsExportAsExpected(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("..", "..", "examples", "seed", "expected_corrections.csv"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(want), "\r\n", "\n")
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	p := &recount.Plan{Body: recount.PlanBody{Key: []recount.PlanColumn{{Name: "user_id", Type: "string"}}, Columns: []recount.PlanColumn{{Name: "value", Type: "decimal(18,2)"}}}}
	for _, r := range records[1:] {
		c := recount.Change{Action: recount.Action(r[0]), Key: values(r[1])}
		if c.Action != recount.ActionInsert {
			c.Before = values(r[2])
		}
		if c.Action.Writes() && c.Action != recount.ActionDelete {
			c.After = values(r[3])
		}
		p.Changes = append(p.Changes, c)
	}
	var got bytes.Buffer
	if err := WriteCSV(&got, p); err != nil {
		t.Fatal(err)
	}
	if got.String() != text {
		t.Errorf("export differs from expected_corrections.csv:\n%s", got.String())
	}
}

func TestVisibleOfVisibleIsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hostile().Draw(t, "text")
		for _, ascii := range []bool{false, true} {
			once := Visible(s, ascii)
			if again := Visible(once, ascii); again != once {
				t.Errorf("Visible(%q): got %q, want %q", once, again, once)
			}
		}
	})
}

func TestVisibleSpellsOutWhatATerminalWouldObey(t *testing.T) {
	for in, want := range map[string]string{
		"plain":        "plain",
		"zoë 日本":       "zoë 日本",
		"\x1b[31m":     `\x1b[31m`,
		"a\u202eb":     `a\u202eb`,
		"\u0085":       `\x85`,
		"a\nb\tc\r":    `a\nb\tc\r`,
		"\xff":         `\xff`,
		"\u200b":       `\u200b`,
		"\U000e0041":   `\U000e0041`,
		"\u00a0":       `\u00a0`,
		"\x7f\x00":     `\x7f\x00`,
		"C:\\new\\tab": `C:\new\tab`,
	} {
		if got := Visible(in, false); got != want {
			t.Errorf("Visible(%q): got %s, want %s", in, got, want)
		}
	}
	if got := Visible("zoë", true); got != `zo\u00eb` {
		t.Errorf("Visible in ASCII: got %s", got)
	}
}

func TestDifferencesAreExact(t *testing.T) {
	number := rapid.StringMatching(`-?[0-9]{1,38}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		x, okX := parseDecimal(a)
		y, okY := parseDecimal(b)
		if !okX || !okY {
			t.Fatalf("not read as decimals: %s, %s", a, b)
		}
		ratX, _ := new(big.Rat).SetString(a)
		ratY, _ := new(big.Rat).SetString(b)
		want := new(big.Rat).Sub(ratX, ratY)
		got, ok := new(big.Rat).SetString(x.minus(y).text())
		if !ok || got.Cmp(want) != 0 {
			t.Errorf("%s - %s: got %s, want %s", a, b, x.minus(y).text(), want.RatString())
		}
	})
	for _, text := range []string{"NaN", "Infinity", "", "-", "1e", "0x10", "1_0", "1e999999999", "."} {
		if _, ok := parseDecimal(text); ok {
			t.Errorf("%q was read as a decimal", text)
		}
	}
}

func TestNumbersReadWell(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{grouped("1234567.50"), "1,234,567.50"},
		{grouped("-999"), "-999"},
		{grouped("-1000"), "-1,000"},
		{grouped("1e+20"), "1e+20"},
		{signed("0.00"), "0.00"},
		{signed("12.30"), "+12.30"},
		{signed("-12.30"), "-12.30"},
		{percent(1137, 12480), "9.1 %"},
		{percent(1, 1000000), "under 0.1 %"},
		{percent(999999, 1000000), "over 99.9 %"},
		{percent(5, 5), "100.0 %"},
		{size(1023), "1023 B"},
		{size(412345), "402.6 KiB"},
		{size(5 << 30), "5.0 GiB"},
		{took(999), "999 ms"},
		{took(3120), "3.1 s"},
		{took(61000), "1 min 1 s"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestShellWordsAreReadBackByAShell(t *testing.T) {
	for in, want := range map[string]string{
		"fix.plan": "fix.plan", "my fix.plan": "'my fix.plan'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'",
		"a\nb": `$'a\nb'`, "*": "'*'", "~x": "'~x'",
	} {
		if got := ShellWord(in); got != want {
			t.Errorf("ShellWord(%q): got %s, want %s", in, got, want)
		}
	}
}

func TestStyleFollowsTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		env      map[string]string
		terminal bool
		want     Style
	}{
		{nil, false, Style{}},
		{nil, true, Style{Color: true}},
		{map[string]string{"NO_COLOR": "1"}, true, Style{}},
		{map[string]string{"NO_COLOR": ""}, true, Style{Color: true}},
		{map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, true, Style{}},
		{map[string]string{"CLICOLOR_FORCE": "1"}, false, Style{Color: true}},
		{map[string]string{"TERM": "dumb"}, true, Style{ASCII: true}},
		{map[string]string{"LANG": "C"}, true, Style{Color: true, ASCII: true}},
		{map[string]string{"LANG": "C", "LC_ALL": "de_DE.utf8"}, true, Style{Color: true}},
	} {
		got := StyleFor(func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }, c.terminal, 0)
		if got != c.want {
			t.Errorf("style of %v, terminal %t: got %+v, want %+v", c.env, c.terminal, got, c.want)
		}
	}
}
