package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"

	"recount"
)

// What one call takes: DynamoDB bounds the items of a transaction, a system the
// length of one argument.
const (
	itemsAtOnce = 100
	bytesAtOnce = 100_000
)

// DynamoDB writes the plan as a shell script of `aws dynamodb
// transact-write-items` calls, each item under a condition that holds its
// before-image. It is for a live table whose export the plan was made against.
// What it cannot write is refused with recount.ErrUnsupported before the first
// byte.
func DynamoDB(w io.Writer, p *recount.Plan, o Options) error {
	s, err := newScript(w, p, o)
	if err != nil {
		return err
	}
	tables, err := s.dynamoTables()
	if err != nil {
		return err
	}
	calls, err := s.calls(tables)
	if err != nil {
		return err
	}
	s.dynamoHead(tables, len(calls))
	for i, call := range calls {
		s.line("transact %d %.28s-%07d '%s'", i+1, p.ID, i+1, strings.ReplaceAll(call, "'", `'\''`))
	}
	s.line("echo %s", shellWord(fmt.Sprintf("recount: %d items in %d transactions are written", s.total, len(calls))))
	return s.out.Flush()
}

var dynamoName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

// dynamoTables names each part's table.
func (s *script) dynamoTables() ([]string, error) {
	var out []string
	for _, p := range s.parts {
		name := p.table()
		if s.opts.Table != "" {
			name = s.opts.Table
			if len(s.parts) > 1 {
				return nil, s.unsupported("it writes several tables, and --dynamodb-table names one", "recount show "+shellWord(s.opts.File)+" --dynamodb")
			}
		}
		again := "recount show " + shellWord(s.opts.File) + " --dynamodb --dynamodb-table NAME"
		switch {
		case !dynamoName.MatchString(name):
			return nil, s.unsupported(printable(name)+" is no name of a table in DynamoDB", again)
		case p.body.Role == recount.RoleAdjust:
			return nil, s.unsupported("its entries in "+name+" name their run, and without a ledger there is none", "correct the rows themselves, or keep the table in a database that has transactions")
		case len(p.key) > 2: // a partition key and a sort key
			return nil, s.unsupported(fmt.Sprintf("a key of table %s has %d columns, and an item's key has two at most", name, len(p.key)), "calculate with the item's own key")
		}
		out = append(out, name)
	}
	return out, nil
}

func (s *script) dynamoHead(tables []string, calls int) {
	say := func(format string, args ...any) { s.say("#", format, args...) }
	s.line("#!/bin/sh")
	say("A correction made by Recount, as %d transactions for DynamoDB. Run it with sh and the AWS command line, version 2.", calls)
	say("")
	s.about("#")
	for i, p := range s.parts {
		if tables[i] != p.table() {
			say("writes      table %s of DynamoDB, for %s", tables[i], p.table())
		}
	}
	say("")
	say("checks      expiry; each item must still hold its before-image, and a new one must not be there; a call that fails ends the script")
	say("lost        compared with recount apply: it is not all or nothing: each call of up to %d items is, the calls are not (%d here);", itemsAtOnce, calls)
	say("            no ledger: recount runs and rollback know nothing of it, and nothing stops a second run but the before-images;")
	say("            no undo: keep this file and the plan, the before-images stand in both; nothing is read back;")
	say("            no check that this is the account, the region or the table that was exported: look at `aws sts get-caller-identity` first")
	say("types       int64, decimal and double are N, bool is BOOL, all others S; NULL is an attribute that is not there (one of type NULL is taken for it)")
	say("stopped?    sh FILE NUMBER goes on with that transaction; begun again within ten minutes, a call that was carried out is not carried out twice")
	s.line("set -eu")
	s.line("from=${1:-1}")
	const clock = "20060102150405"
	s.line(`if [ "$(date -u +%%Y%%m%%d%%H%%M%%S)" -ge %s ]; then echo 'recount: the plan has expired: plan again' >&2; exit 12; fi`, s.plan.Header.Expires.UTC().Format(clock))
	s.line("transact() {")
	s.line(`  if [ "$1" -lt "$from" ]; then return 0; fi`)
	s.line(`  if ! aws dynamodb transact-write-items --client-request-token "$2" --transact-items "$3"; then`)
	s.line(`    echo "recount: stopped at transaction $1 of %d: those before it are written. If an item moved, nothing of this one is written: plan again" >&2`, calls)
	s.line("    exit 10\n  fi\n}")
}

// calls lists the transactions, each as the JSON of its items.
func (s *script) calls(tables []string) ([]string, error) {
	var calls, items []string
	size := 0
	flush := func() {
		if len(items) > 0 {
			calls = append(calls, "["+strings.Join(items, ",")+"]")
		}
		items, size = nil, 0
	}
	order := []recount.Action{recount.ActionDelete, recount.ActionUpdate, recount.ActionInsert}
	for _, action := range order {
		for i, p := range s.parts {
			for _, c := range p.writes {
				if c.Action != action {
					continue
				}
				item, err := p.item(tables[i], c)
				if err == nil && len(item) > bytesAtOnce {
					err = fmt.Errorf("it has %d bytes, more than an argument of a command holds", len(item))
				}
				if err != nil {
					return nil, s.unsupported("row "+printable(recount.KeyText(c.Key))+" of table "+p.table()+" cannot be an item: "+err.Error(), "correct it by hand, with recount show "+shellWord(s.opts.File)+" --csv")
				}
				quoted := len(item) + 3*strings.Count(item, "'") + 1
				if len(items) == itemsAtOnce || size+quoted > bytesAtOnce {
					flush()
				}
				items, size = append(items, item), size+quoted
			}
		}
	}
	flush()
	return calls, nil
}

// attribute is a value of DynamoDB: its type and the value.
type attribute map[string]any

// action is one item of a transaction, under DynamoDB's own names.
//
//nolint:tagliatelle // the names are those of its API
type action struct {
	Table     string               `json:"TableName"`
	Key       map[string]attribute `json:"Key,omitempty"`
	Item      map[string]attribute `json:"Item,omitempty"`
	Update    string               `json:"UpdateExpression,omitempty"`
	Condition string               `json:"ConditionExpression"`
	Names     map[string]string    `json:"ExpressionAttributeNames,omitempty"`
	Values    map[string]attribute `json:"ExpressionAttributeValues,omitempty"`
}

// item is one change as the JSON of an item of a transaction.
func (p *part) item(table string, c recount.Change) (string, error) {
	a := action{Table: table, Names: map[string]string{"#k0": p.key[0].name}, Values: map[string]attribute{}}
	key := map[string]attribute{}
	for i, column := range p.key {
		v, err := p.attribute(column.name, p.typeOf(p.body.Key[i]), c.Key[i])
		if err != nil {
			return "", err
		}
		if _, ok := v["BOOL"]; v == nil || ok || v["S"] == "" {
			return "", fmt.Errorf("%s is empty or a truth value, and no key of an item", column.name)
		}
		key[column.name] = v
	}
	kind, err := "Put", error(nil)
	switch c.Action {
	case recount.ActionInsert:
		a.Item, a.Condition = key, "attribute_not_exists(#k0)"
		err = p.put(&a, c)
	case recount.ActionDelete:
		kind, a.Key, a.Condition = "Delete", key, "attribute_exists(#k0)"
		err = p.unmoved(&a, c)
	case recount.ActionUpdate:
		kind, a.Key, a.Condition = "Update", key, "attribute_exists(#k0)"
		if err = p.unmoved(&a, c); err == nil {
			err = p.set(&a, c)
		}
	case recount.ActionExtra, recount.ActionHeld, recount.ActionExcluded:
		return "", fmt.Errorf("action %s writes nothing", c.Action)
	}
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]action{kind: a}); err != nil {
		return "", err
	}
	return plainJSON(strings.TrimSuffix(b.String(), "\n")), nil
}

func (p *part) put(a *action, c recount.Change) error {
	for i, column := range p.columns {
		v, err := p.attribute(column.name, p.columnType(i), c.After[i])
		if err != nil {
			return err
		}
		if v != nil {
			a.Item[column.name] = v
		}
	}
	return nil
}

// unmoved adds the before-image to the condition.
func (p *part) unmoved(a *action, c recount.Change) error {
	for i, column := range p.columns[:p.planned] {
		v, err := p.attribute(column.name, p.columnType(i), c.Before[i])
		if err != nil {
			return err
		}
		name, value := fmt.Sprintf("#c%d", i), fmt.Sprintf(":b%d", i)
		a.Names[name] = column.name
		// An export may say the same of what is not there and of an empty text.
		exported := p.body.Target.Adapter == "files" && v["S"] == ""
		if v == nil || exported {
			absent := fmt.Sprintf("attribute_not_exists(%s) OR attribute_type(%s, :null)", name, name)
			a.Values[":null"] = attribute{"S": "NULL"}
			if exported {
				absent += fmt.Sprintf(" OR %s = %s", name, value)
				a.Values[value] = attribute{"S": ""}
			}
			a.Condition += " AND (" + absent + ")"
			continue
		}
		a.Condition += fmt.Sprintf(" AND %s = %s", name, value)
		a.Values[value] = v
	}
	return nil
}

// set writes the columns that change.
func (p *part) set(a *action, c recount.Change) error {
	var sets, removes []string
	for i, column := range p.columns[:p.planned] {
		if c.Before[i] == c.After[i] {
			continue
		}
		v, err := p.attribute(column.name, p.columnType(i), c.After[i])
		if err != nil {
			return err
		}
		name, value := fmt.Sprintf("#c%d", i), fmt.Sprintf(":a%d", i)
		if v == nil {
			removes = append(removes, name)
			continue
		}
		sets, a.Values[value] = append(sets, name+" = "+value), v
	}
	var parts []string
	if len(sets) > 0 {
		parts = append(parts, "SET "+strings.Join(sets, ", "))
	}
	if len(removes) > 0 {
		parts = append(parts, "REMOVE "+strings.Join(removes, ", "))
	}
	a.Update = strings.Join(parts, " ")
	return nil
}

// typeOf is the type under which a column is compared: an export holds texts
// where the live table holds numbers.
func (*part) typeOf(c recount.PlanColumn) recount.Type {
	t, err := recount.ParseType(c.Type)
	if err != nil {
		return recount.Type{Kind: recount.KindString}
	}
	return t
}

func (p *part) columnType(i int) recount.Type {
	if i < p.planned {
		return p.typeOf(p.body.Columns[i])
	}
	return recount.Type{Kind: p.columns[i].kind}
}

// attribute is a value as DynamoDB holds it; nil: none.
func (p *part) attribute(column string, t recount.Type, v recount.Value) (attribute, error) {
	empty := p.body.Target.Adapter == "files" && v.Text == "" && t.Kind != recount.KindString
	if v.Null || empty {
		return nil, nil //nolint:nilnil // an attribute that is not there is a value
	}
	switch t.Kind {
	case recount.KindInt64, recount.KindDecimal, recount.KindDouble:
		if !isNumber(v.Text) {
			return nil, fmt.Errorf("%s holds %s, and no number of DynamoDB is that", column, printable(v.Text))
		}
		return attribute{"N": v.Text}, nil
	case recount.KindBool:
		text, err := recount.Canonical(t, v.Text)
		return attribute{"BOOL": text == "true"}, err
	case recount.KindString, recount.KindTimestamp, recount.KindDate, recount.KindJSON:
	}
	return attribute{"S": v.Text}, nil
}

var numberText = regexp.MustCompile(`^[+-]?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?$`)

// isNumber says whether DynamoDB holds the number as it is: 38 digits, between
// 1e-130 and 1e126.
func isNumber(text string) bool {
	m := numberText.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	const most = 38
	if digits := strings.Trim(m[1]+m[2], "0"); len(digits) > most {
		return false
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return false
	}
	const least, top = "1e-130", "1e126"
	low, _ := new(big.Rat).SetString(least)
	high, _ := new(big.Rat).SetString(top)
	n.Abs(n)
	return n.Sign() == 0 || n.Cmp(low) >= 0 && n.Cmp(high) < 0
}

// plainJSON escapes what does not print, so that no reader of the script sees
// another order than there is.
func plainJSON(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
