package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"recount"
	"recount/adapter"
)

func (l *loader) calculation(e entry) {
	found := e.block(calculationBlock, false)
	if found == nil {
		return
	}
	c := Calculation{Line: e.at.line}
	c.Name, c.Dedupe, c.MaxChanges = e.key, true, DefaultMaxChanges
	if v, ok := found["source"]; ok {
		c.Source = l.sourceName(v.value)
	}
	if v, ok := found["sql"]; ok {
		c.Logic, _ = l.sql(v.value)
	}
	if v, ok := found["key"]; ok {
		c.Key = texts(v.value)
	}
	if v, ok := found["memory"]; ok {
		v.oneOf(recount.CodeUnsupported, "window")
	}
	if v, ok := found["timezone"]; ok {
		c.Bucket.Zone = zone(v.value)
	}
	if v, ok := found["bucket"]; ok {
		c.Bucket.Size, c.BucketNone = bucket(v.value)
	}
	if !c.Bucket.None() && c.Bucket.Zone == nil {
		c.Bucket.Zone = time.UTC
	}
	if v, ok := found["dedupe"]; ok {
		c.Dedupe, _ = v.boolean()
	}
	if v, ok := found["compare"]; ok {
		c.Compare = compare(v.value)
	}
	if v, ok := found["limits"]; ok {
		if most, ok := v.block(limitsBlock, false)["changes"]; ok {
			c.MaxChanges, _ = most.integer(1, math.MaxInt64)
		}
	}
	l.hypotheses(&c, found)
	if v, ok := found["target"]; ok {
		l.target(&c, v.value)
	}
	l.project.Calculations[c.Name] = c
}

// sourceName reads the name of a source that the file has. Sources are read
// before calculations; one with a mistake counts as there.
func (l *loader) sourceName(v value) string {
	text, shown, ok := v.text()
	if !ok {
		return ""
	}
	known := slices.Sorted(maps.Keys(l.project.Sources))
	if _, ok := l.project.Sources[text]; ok || len(known) == 0 && len(l.r.problems) > 0 {
		return text
	}
	if near := recount.Nearest(shown, known); near != "" {
		v.problem("there is no source %q; did you mean %q?", clip(shown), near)
		return ""
	}
	v.problem("there is no source %q; there is: %s", clip(shown), strings.Join(known, ", "))
	return ""
}

// hypotheses reads previous and missed, and what depends on whether any is given.
func (l *loader) hypotheses(c *Calculation, found map[string]entry) {
	if v, ok := found["previous"]; ok {
		if file, ok := v.block(previousBlock, false)["sql"]; ok {
			if logic, ok := l.sql(file.value); ok {
				c.Previous = &logic
			}
		}
	}
	if v, ok := found["missed"]; ok {
		for _, item := range v.items() {
			if m, ok := missed(item); ok {
				c.Missed = append(c.Missed, m)
			}
		}
	}
	c.Unexplained = recount.UnexplainedCorrect
	if c.Hypotheses() {
		c.Unexplained = recount.UnexplainedHold
	}
	if v, ok := found["unexplained"]; ok {
		word, _ := v.oneOf(recount.CodeConfig, string(recount.UnexplainedHold), string(recount.UnexplainedCorrect))
		c.Unexplained = recount.Unexplained(word)
	}
}

func missed(v value) (recount.EventList, bool) {
	found := v.block(missedBlock, false)
	if found == nil {
		return recount.EventList{}, false
	}
	if len(found) == 0 {
		v.problem("the entry is empty; it needs from, to or where")
		return recount.EventList{}, false
	}
	var m recount.EventList
	if e, ok := found["from"]; ok {
		m.From = instant(e.value)
	}
	if e, ok := found["to"]; ok {
		m.To = instant(e.value)
	}
	if e, ok := found["where"]; ok {
		m.Where, _ = e.word()
	}
	if !m.From.IsZero() && !m.To.IsZero() && !m.From.Before(m.To) {
		v.problem("from is not before to")
		return m, false
	}
	return m, true
}

func instant(v value) time.Time {
	text, shown, ok := v.text()
	if !ok {
		return time.Time{}
	}
	at, err := recount.ParseTimestamp(text)
	if err != nil {
		v.problem("%q is no time with an offset, such as 2024-06-10T12:00:00Z", clip(shown))
	}
	return at
}

// sql reads a file of SQL. Its text is kept whole, so that the digest is that of
// the file.
func (l *loader) sql(v value) (recount.Logic, bool) {
	text, shown, ok := v.text()
	if !ok {
		return recount.Logic{}, false
	}
	body, err := readSQL(l.project.Dir, text)
	if err != nil {
		v.r.problemAs(recount.CodeLogicFile, "write the SQL to that file, or mend the path", v.at(), "%s: %s: %v", v.path, clip(shown), err)
		return recount.Logic{}, false
	}
	sum := sha256.Sum256([]byte(body))
	return recount.Logic{Kind: "sql", Text: body, Path: text, Digest: hex.EncodeToString(sum[:])}, true
}

func readSQL(dir, path string) (string, error) {
	const most = 1 << 20
	f, err := os.Open(Path(dir, path)) //nolint:gosec // the configuration's author names the file
	if err != nil {
		return "", cause(err)
	}
	defer f.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return "", cause(err)
	case len(body) > most:
		return "", fmt.Errorf("the file has over %d bytes", most)
	case !utf8.Valid(body):
		return "", fmt.Errorf("the file is not UTF-8")
	case strings.TrimSpace(string(body)) == "":
		return "", fmt.Errorf("the file is empty")
	}
	return string(body), nil
}

// Path returns where a path of recount.yaml, or of the command line, leads:
// relative ones start in the project folder.
func Path(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func texts(v value) []string {
	var list []string
	for _, item := range v.items() {
		text, ok := item.word()
		if !ok {
			continue
		}
		if slices.Contains(list, text) {
			item.problem("it stands twice")
			continue
		}
		list = append(list, text)
	}
	if seq, ok := v.node.(*ast.SequenceNode); ok && len(seq.Values) == 0 {
		v.problem("the list is empty")
	}
	return list
}

// bucket reads a grid that midnights fall on.
func bucket(v value) (size time.Duration, none bool) {
	const day = 24 * time.Hour
	if text, ok := v.node.(*ast.StringNode); ok && text.Value == "none" {
		return 0, true
	}
	size, ok := v.duration()
	if !ok {
		return 0, false
	}
	if size < time.Second || day%size != 0 && size%day != 0 {
		v.problem("a bucket divides a day, as 15m and 1h do, or is whole days, as 24h is; or none")
		return 0, false
	}
	return size, false
}

var plainDecimal = regexp.MustCompile(`^[0-9]{1,38}(\.[0-9]{1,38})?$`)

func compare(v value) map[string]recount.Rule {
	rules := map[string]recount.Rule{}
	for _, e := range v.entries() {
		if !e.isMapping() {
			if _, ok := e.oneOf(recount.CodeConfig, "exact"); ok {
				rules[e.key] = recount.Rule{}
			}
			continue
		}
		abs, ok := e.block(compareBlock, false)["abs"]
		if !ok {
			continue
		}
		if text, ok := abs.decimal(); ok {
			rules[e.key] = recount.Rule{Abs: text}
		}
	}
	return rules
}

// decimal returns a number as it is spelled, so that no digit is lost.
func (v value) decimal() (text string, ok bool) {
	shown := ""
	switch n := v.node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
		text = n.GetToken().Value
		shown = text
	default:
		if text, shown, ok = v.text(); !ok {
			return "", false
		}
	}
	if n, ok := new(big.Rat).SetString(text); !plainDecimal.MatchString(text) || !ok || n.Sign() == 0 {
		v.problem("%q is no decimal above zero, such as 0.01", clip(shown))
		return "", false
	}
	return text, true
}

func (l *loader) target(c *Calculation, v value) {
	found := v.block(targetBlock, true)
	if found == nil {
		return
	}
	if spec, block, ok := l.pickAdapter(adapter.Target, v, targetBlock, found); ok {
		c.Target.Adapter, c.Target.Config = spec.Name, l.adapterBlock(spec, block.value, nil)
		if overlay, ok := found["apply"]; ok {
			c.Target.Apply = &Apply{Config: l.adapterBlock(spec, block.value, &overlay.value)}
		}
	}
	if e, ok := found["table"]; ok {
		c.Target.Table, _ = e.word()
	}
	if e, ok := found["columns"]; ok {
		c.Columns = columns(c, e.value)
	}
	if e, ok := found["where"]; ok {
		c.Where, _ = e.word()
	}
	c.Extra = recount.ExtraReport
	if e, ok := found["extra"]; ok {
		word, _ := e.oneOf(recount.CodeConfig, string(recount.ExtraReport), string(recount.ExtraExplained), string(recount.ExtraDelete))
		c.Extra = recount.Extra(word)
		if c.Extra == recount.ExtraDelete && c.Where == "" {
			e.problem("delete needs where: it says which live rows the calculation owns")
		}
	}
}

// columns reads which table column a result column goes to, and checks that
// compare names only those.
func columns(c *Calculation, v value) map[string]string {
	mapped, taken := map[string]string{}, map[string]string{}
	for _, e := range v.entries() {
		column, ok := e.word()
		if !ok {
			continue
		}
		if first, twice := taken[column]; twice {
			e.problem("the table column is taken by %q already", clip(first))
			continue
		}
		taken[column] = e.key
		mapped[e.key] = column
	}
	if m, ok := v.node.(*ast.MappingNode); ok && len(m.Values) == 0 {
		v.problem("it names no column")
	}
	known := slices.Sorted(maps.Keys(mapped))
	for _, name := range slices.Sorted(maps.Keys(c.Compare)) {
		if _, ok := mapped[name]; !ok && len(known) > 0 {
			v.problem("compare names %q, which is not mapped here; mapped: %s", clip(name), strings.Join(known, ", "))
		}
	}
	return mapped
}
