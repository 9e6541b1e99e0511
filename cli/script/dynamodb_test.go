package script_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"recount"
	"recount/cli/script"
	"recount/internal/clock"
	"recount/internal/plan"
)

// attr is a value of DynamoDB.
type attr map[string]any

// request is one item of a transaction, as DynamoDB reads it.
type request struct {
	TableName, UpdateExpression, ConditionExpression string
	Key, Item, ExpressionAttributeValues             map[string]attr
	ExpressionAttributeNames                         map[string]string
}

// dynamo is a table in memory: items by the JSON of their key.
type dynamo struct {
	keys  []string
	items map[string]map[string]attr
}

func (d *dynamo) key(item map[string]attr) string {
	key := map[string]attr{}
	for _, k := range d.keys {
		key[k] = item[k]
	}
	text, _ := json.Marshal(key)
	return string(text)
}

// transact carries out a whole transaction, or nothing where a condition fails.
func (d *dynamo) transact(t *testing.T, text string) bool {
	t.Helper()
	var actions []map[string]request
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&actions); err != nil {
		t.Fatalf("items: %v: %s", err, text)
	}
	if len(actions) == 0 || len(actions) > 100 {
		t.Fatalf("a transaction of %d items", len(actions))
	}
	next, seen := maps.Clone(d.items), map[string]bool{}
	for _, action := range actions {
		for kind, r := range action {
			at := d.key(r.Item)
			if kind != "Put" {
				at = d.key(r.Key)
			}
			if seen[at] {
				t.Fatalf("item %s stands in it twice", at)
			}
			seen[at] = true
			if !holds(t, r, next[at]) {
				return false
			}
			switch kind {
			case "Put":
				next[at] = r.Item
			case "Delete":
				delete(next, at)
			case "Update":
				next[at] = updated(t, r, next[at])
			default:
				t.Fatalf("action %q", kind)
			}
		}
	}
	d.items = next
	return true
}

// holds evaluates a condition: alternatives in parentheses, joined by AND.
func holds(t *testing.T, r request, item map[string]attr) bool {
	t.Helper()
	for part := range strings.SplitSeq(r.ConditionExpression, " AND ") {
		fits := false
		for term := range strings.SplitSeq(strings.Trim(part, "()"), " OR ") {
			fits = fits || termHolds(t, r, item, term)
		}
		if strings.HasPrefix(part, "attribute") && strings.HasSuffix(part, ")") && !strings.Contains(part, " OR ") {
			fits = termHolds(t, r, item, part)
		}
		if !fits {
			return false
		}
	}
	return true
}

func termHolds(t *testing.T, r request, item map[string]attr, term string) bool {
	t.Helper()
	name := func(s string) string {
		n, ok := r.ExpressionAttributeNames[s]
		if !ok {
			t.Fatalf("no name %s in %s", s, r.ConditionExpression)
		}
		return n
	}
	if left, right, ok := strings.Cut(term, " = "); ok {
		have, there := item[name(left)]
		return there && equal(have, r.ExpressionAttributeValues[right])
	}
	function, rest, _ := strings.Cut(term, "(")
	rest = strings.TrimSuffix(rest, ")")
	argument, second, _ := strings.Cut(rest, ", ")
	have, there := item[name(argument)]
	switch function {
	case "attribute_exists":
		return there
	case "attribute_not_exists":
		return !there
	case "attribute_type":
		_, is := have[fmt.Sprint(r.ExpressionAttributeValues[second]["S"])]
		return there && is
	}
	t.Fatalf("term %q", term)
	return false
}

func equal(a, b attr) bool {
	x, okX := a["N"].(string)
	y, okY := b["N"].(string)
	if !okX || !okY {
		return maps.Equal(a, b)
	}
	left, _ := new(big.Rat).SetString(x)
	right, _ := new(big.Rat).SetString(y)
	return left.Cmp(right) == 0
}

func updated(t *testing.T, r request, item map[string]attr) map[string]attr {
	t.Helper()
	item = maps.Clone(item)
	set, remove, _ := strings.Cut(r.UpdateExpression, "REMOVE ")
	for term := range strings.SplitSeq(strings.TrimPrefix(strings.TrimSpace(set), "SET "), ", ") {
		if name, value, ok := strings.Cut(term, " = "); ok {
			item[r.ExpressionAttributeNames[name]] = r.ExpressionAttributeValues[value]
		}
	}
	for name := range strings.SplitSeq(remove, ", ") {
		delete(item, r.ExpressionAttributeNames[strings.TrimSpace(name)])
	}
	return item
}

// dynamoPlan is a plan made against an export.
func dynamoPlan(t *testing.T, adapter string, changes ...recount.Change) *recount.Plan {
	t.Helper()
	p := &recount.Plan{Body: recount.PlanBody{
		Kind: recount.PlanApply, Calculation: "totals", Target: recount.Identity{Adapter: adapter, Place: "export.csv", Table: "totals"}, MaxChanges: 1000, Write: recount.WriteSet,
		Key:     []recount.PlanColumn{{Name: "user", Type: "string"}, {Name: "n", Type: "int64", Stored: "string"}},
		Columns: []recount.PlanColumn{{Name: "total", Type: "decimal(18,2)"}, {Name: "ok", Type: "bool"}, {Name: "note", Type: "string"}},
	}}
	plan.Add(p, changes)
	p.Header = recount.PlanHeader{Made: made, Expires: clock.System{}.Now().Add(time.Hour), By: "tester"}
	if err := plan.Seal(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func changed(key, before, after []recount.Value) recount.Change {
	c := recount.Change{Action: recount.ActionUpdate, Key: key, Before: before, After: after, Cause: recount.CauseUnknown}
	switch {
	case before == nil:
		c.Action = recount.ActionInsert
	case after == nil:
		c.Action = recount.ActionDelete
	}
	return c
}

// callsOf runs a script with an aws that notes its arguments; fail is the call
// that it refuses, counted from 1.
func callsOf(t *testing.T, text string, fail int, arguments ...string) (items []string, out string, exit int) {
	t.Helper()
	dir := t.TempDir()
	fake := fmt.Sprintf("#!/bin/sh\nn=$(ls %[1]s | grep -c call); n=$((n+1))\n[ $n = %[2]d ] && exit 254\nprintf '%%s\\0' \"$@\" > %[1]s/call$(printf %%04d $n)\n", dir, fail)
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(fake), 0o700); err != nil { //nolint:gosec // a program of the test
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fix.sh"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", append([]string{filepath.Join(dir, "fix.sh")}, arguments...)...) //nolint:gosec // the script under test
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	got, err := cmd.CombinedOutput()
	if failed := (&exec.ExitError{}); errors.As(err, &failed) {
		exit = failed.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "call*"))
	slices.Sort(files)
	for _, file := range files {
		args, _ := os.ReadFile(file) //nolint:gosec // of the test
		list := strings.Split(string(args), "\x00")
		if len(list) != 7 || strings.Join(list[:3], " ") != "dynamodb transact-write-items --client-request-token" || len(list[3]) != 36 || list[4] != "--transact-items" {
			t.Fatalf("aws got %q", list)
		}
		items = append(items, list[5])
	}
	return items, string(got), exit
}

func dynamoText(t *testing.T, p *recount.Plan, o script.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := script.DynamoDB(&b, p, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestDynamoDBWritesItemsAsPlanned(t *testing.T) {
	p := dynamoPlan(t, "sqlite",
		changed(values("o'neil $HOME `x`", "1"), values("1912.40", "true", "NULL"), values("1000.00", "NULL", "it's \\ \u202e\n$(x)")),
		changed(values("gone", "2"), values("5.00", "NULL", ""), nil),
		changed(values("new", "3"), nil, values("0.01", "false", "NULL")))
	text := dynamoText(t, p, script.Options{File: "fix.plan"})
	if strings.Contains(text, "\u202e") || !strings.Contains(text, "# lost") {
		t.Error("the script hides text, or does not say what is lost")
	}
	calls, out, exit := callsOf(t, text, 0)
	if len(calls) != 1 || exit != 0 || !strings.Contains(out, "3 items in 1 transactions are written") {
		t.Fatalf("got %d calls, exit %d: %s", len(calls), exit, out)
	}
	live := func() *dynamo {
		d := &dynamo{keys: []string{"user", "n"}, items: map[string]map[string]attr{}}
		for _, item := range []map[string]attr{
			{"user": {"S": "o'neil $HOME `x`"}, "n": {"N": "1"}, "total": {"N": "1912.4"}, "ok": {"BOOL": true}, "note": {"NULL": true}, "beside": {"S": "stays"}},
			{"user": {"S": "gone"}, "n": {"N": "2"}, "total": {"N": "5"}, "note": {"S": ""}},
		} {
			d.items[d.key(item)] = item
		}
		return d
	}
	d := live()
	if !d.transact(t, calls[0]) {
		t.Fatal("a condition failed on items that are as planned")
	}
	got, _ := json.Marshal(d.items)
	want := live()
	clear(want.items)
	for _, item := range []map[string]attr{
		{"user": {"S": "o'neil $HOME `x`"}, "n": {"N": "1"}, "total": {"N": "1000.00"}, "note": {"S": "it's \\ \u202e\n$(x)"}, "beside": {"S": "stays"}},
		{"user": {"S": "new"}, "n": {"N": "3"}, "total": {"N": "0.01"}, "ok": {"BOOL": false}},
	} {
		want.items[want.key(item)] = item
	}
	if wanted, _ := json.Marshal(want.items); string(got) != string(wanted) {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	if d.transact(t, calls[0]) {
		t.Error("carried out twice")
	}
	for name, spoil := range map[string]func(map[string]attr){
		"another number": func(i map[string]attr) { i["total"] = attr{"N": "1912.41"} },
		"a text":         func(i map[string]attr) { i["total"] = attr{"S": "1912.40"} },
		"no number":      func(i map[string]attr) { delete(i, "total") },
		"another truth":  func(i map[string]attr) { i["ok"] = attr{"BOOL": false} },
		"a note":         func(i map[string]attr) { i["note"] = attr{"S": "x"} },
	} {
		d := live()
		key := d.key(map[string]attr{"user": {"S": "o'neil $HOME `x`"}, "n": {"N": "1"}})
		spoil(d.items[key])
		before, _ := json.Marshal(d.items)
		if d.transact(t, calls[0]) {
			t.Errorf("%s: the guard let it through", name)
		}
		if after, _ := json.Marshal(d.items); string(after) != string(before) {
			t.Errorf("%s: got %s, want %s", name, after, before)
		}
	}
	d = live()
	taken := map[string]attr{"user": {"S": "new"}, "n": {"N": "3"}}
	d.items[d.key(taken)] = taken
	if d.transact(t, calls[0]) {
		t.Error("an item that is there was overwritten")
	}
}

func TestDynamoDBGoesOnWhereItStopped(t *testing.T) {
	var changes []recount.Change
	for i := range 250 {
		changes = append(changes, changed(values(fmt.Sprintf("u%03d", i), "1"), nil, values("1.00", "true", strings.Repeat("x'", 10))))
	}
	text := dynamoText(t, dynamoPlan(t, "sqlite", changes...), script.Options{File: "fix.plan", Table: "Live.Totals"})
	calls, out, exit := callsOf(t, text, 2)
	if len(calls) != 1 || exit != 10 || !strings.Contains(out, "stopped at transaction 2 of 3") {
		t.Errorf("refused at the second call: got %d calls, exit %d: %s", len(calls), exit, out)
	}
	rest, _, exit := callsOf(t, text, 0, "2")
	if len(rest) != 2 || exit != 0 {
		t.Errorf("from the second: got %d calls, exit %d", len(rest), exit)
	}
	d := &dynamo{keys: []string{"user", "n"}, items: map[string]map[string]attr{}}
	for _, call := range append(calls, rest...) {
		if !d.transact(t, call) || !strings.Contains(call, `"TableName":"Live.Totals"`) {
			t.Error("a call was refused, or goes to another table")
		}
	}
	if len(d.items) != len(changes) {
		t.Errorf("got %d items, want %d", len(d.items), len(changes))
	}
	long := dynamoText(t, dynamoPlan(t, "sqlite", changed(values("a", "1"), nil, values("1.00", "true", strings.Repeat("x", 60_000))), changed(values("b", "1"), nil, values("1.00", "true", strings.Repeat("x", 60_000)))), script.Options{})
	if calls, _, exit := callsOf(t, long, 0); len(calls) != 2 || exit != 0 {
		t.Errorf("long items: got %d calls, exit %d, want 2 calls", len(calls), exit)
	}
	p := dynamoPlan(t, "sqlite", changes[0])
	p.Header.Expires = clock.System{}.Now().Add(-time.Minute)
	if calls, _, exit := callsOf(t, dynamoText(t, p, script.Options{}), 0); len(calls) != 0 || exit != 12 {
		t.Errorf("expired: got %d calls, exit %d, want none and 12", len(calls), exit)
	}
}

// TestDynamoDBReadsExports: a CSV file says NULL by an empty field.
func TestDynamoDBReadsExports(t *testing.T) {
	text := dynamoText(t, dynamoPlan(t, "files", changed(values("a", "1"), values("", "", ""), values("2", "true", "x"))), script.Options{})
	calls, _, _ := callsOf(t, text, 0)
	for name, item := range map[string]map[string]attr{
		"absent": {"user": {"S": "a"}, "n": {"N": "1"}}, "empty": {"user": {"S": "a"}, "n": {"N": "1"}, "note": {"S": ""}}, "null": {"user": {"S": "a"}, "n": {"N": "1"}, "total": {"NULL": true}},
	} {
		d := &dynamo{keys: []string{"user", "n"}, items: map[string]map[string]attr{}}
		d.items[d.key(item)] = item
		if !d.transact(t, calls[0]) || d.items[d.key(item)]["total"]["N"] != "2" {
			t.Errorf("%s: refused, or got %v", name, d.items)
		}
	}
}

func TestWhatNoItemHoldsIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*recount.Plan){
		"an infinite number": func(p *recount.Plan) { p.Changes[0].After = values("Infinity", "NULL", "NULL") },
		"39 digits":          func(p *recount.Plan) { p.Changes[0].After = values(strings.Repeat("1", 39), "NULL", "NULL") },
		"a number too large": func(p *recount.Plan) { p.Changes[0].After = values("1e126", "NULL", "NULL") },
		"an empty key":       func(p *recount.Plan) { p.Changes[0].Key = values("", "1") },
		"a NULL key":         func(p *recount.Plan) { p.Changes[0].Key = values("NULL", "1") },
		"three keys":         func(p *recount.Plan) { p.Body.Key = append(p.Body.Key, p.Body.Key[0]) },
		"a table's name":     func(p *recount.Plan) { p.Body.Target.Table = "a table" },
		"an item too long":   func(p *recount.Plan) { p.Changes[0].After = values("1", "NULL", strings.Repeat("x", 200_000)) },
		"entries":            func(p *recount.Plan) { p.Body.Role = recount.RoleAdjust },
		"a delta":            func(p *recount.Plan) { p.Body.Write = recount.WriteDelta },
	} {
		p := dynamoPlan(t, "sqlite", changed(values("a", "1"), nil, values("1", "NULL", "NULL")))
		spoil(p)
		var b bytes.Buffer
		if err := script.DynamoDB(&b, p, script.Options{File: "fix.plan"}); !errors.Is(err, recount.ErrUnsupported) || b.Len() > 0 {
			t.Errorf("%s: got %v and %d bytes", name, err, b.Len())
		}
	}
}
