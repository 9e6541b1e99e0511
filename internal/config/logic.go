package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"

	"recount"
)

// logicKeys are the keys that name a logic, of a calculation or of previous.
var logicKeys = []string{"sql", "worker", "go", "rows"}

// logic reads what makes the rows: exactly one of logicKeys.
func (l *loader) logic(v value, found map[string]entry) (recount.Logic, bool) {
	var given []entry
	for _, key := range logicKeys {
		if e, ok := found[key]; ok {
			given = append(given, e)
		}
	}
	switch {
	case len(given) > 1:
		v.r.problem(given[1].at, "%s: %s stands there too; the rows come from one of them", given[1].path, given[0].key)
	case len(given) == 1:
		return map[string]func(value) (recount.Logic, bool){"sql": l.sql, "worker": l.worker, "go": l.goFold, "rows": l.rows}[given[0].key](given[0].value)
	default:
		if v.misspelled(found) {
			return recount.Logic{}, false
		}
		where := v.key
		if where == (pos{}) {
			where = v.at()
		}
		v.r.problem(where, "%s is missing: the file of the SQL that gives the rows; or worker or go, a fold; or rows, where something else made them", join(v.path, "sql"))
	}
	return recount.Logic{}, false
}

// misspelled says whether an unknown key, reported already, was meant as one of
// logicKeys.
func (v value) misspelled(found map[string]entry) bool {
	before := v.r.problems
	defer func() { v.r.problems = before }()
	for _, e := range v.entries() {
		if _, known := found[e.key]; !known && recount.Nearest(e.key, logicKeys) != "" {
			return true
		}
	}
	return false
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
	return recount.Logic{Kind: recount.LogicSQL, Text: body, Path: text, Digest: hex.EncodeToString(sum[:])}, true
}

func readSQL(dir, path string) (string, error) {
	const most = 1 << 20
	f, err := openFile(dir, path)
	if err != nil {
		return "", err
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

// rows reads a file of rows, whose digest makes a plan belong to its content, or
// {table: NAME}, whose content is known only when it is read.
func (l *loader) rows(v value) (recount.Logic, bool) {
	if v.isMapping() {
		table, ok := v.block(rowsBlock, false)["table"]
		if !ok {
			return recount.Logic{}, false
		}
		name, ok := table.word()
		return recount.Logic{Kind: recount.LogicTable, Path: name}, ok
	}
	text, shown, ok := v.text()
	if !ok {
		return recount.Logic{}, false
	}
	if !rowsFile(text) {
		v.problem("%q: the rows of a file are read by its ending, which is .parquet, .csv or .jsonl (these also .gz or .zst)", clip(shown))
		return recount.Logic{}, false
	}
	digest, err := fileDigest(l.project.Dir, text)
	if err != nil {
		v.r.problemAs(recount.CodeLogicFile, "write the rows to that file, or mend the path", v.at(), "%s: %s: %v", v.path, clip(shown), err)
		return recount.Logic{}, false
	}
	return recount.Logic{Kind: recount.LogicRows, Path: text, Digest: digest}, true
}

// rowsFile says whether a file's ending names a form of rows that is read.
func rowsFile(path string) bool {
	name := strings.ToLower(path)
	if strings.HasSuffix(name, ".parquet") {
		return true
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".jsonl")
}

func memory(v value) recount.Memory {
	text, shown, ok := v.text()
	window := recount.Memory{Kind: recount.MemoryWindow}
	if !ok || text == string(recount.MemoryWindow) {
		return window
	}
	if text == string(recount.MemoryUnbounded) {
		return recount.Memory{Kind: recount.MemoryUnbounded}
	}
	d, err := time.ParseDuration(text)
	switch {
	case err == nil && d > 0:
		return recount.Memory{Kind: recount.MemoryDuration, Length: d}
	case err == nil:
		v.problem("a row that remembers nothing before its bucket has memory: window")
	default:
		words := []string{string(recount.MemoryWindow), string(recount.MemoryUnbounded)}
		if near := recount.Nearest(shown, words); near != "" {
			v.problem("unknown value %q; did you mean %q?", clip(shown), near)
			return window
		}
		v.problem("unknown value %q; it can be window, unbounded, or a duration such as 24h", clip(shown))
	}
	return window
}

// openingOf reads the columns of the relation `opening`, and gives them to the
// calculation's SQL.
func openingOf(c *Calculation, found map[string]entry) []recount.Field {
	v, ok := found["opening"]
	if !ok {
		return nil
	}
	if c.Memory.Kind != recount.MemoryUnbounded {
		v.r.problem(v.at, "%s: needs memory: unbounded; with another memory a row's events are all read, and it has no opening state", v.path)
		return nil
	}
	if c.Logic.Kind != "" && c.Logic.Kind != recount.LogicSQL {
		v.r.problem(v.at, "%s: needs sql, which reads the relation opening; with rows nothing does", v.path)
		return nil
	}
	list := columnTypes(v.value)
	for _, key := range c.Key {
		if len(list) > 0 && !slices.ContainsFunc(list, func(f recount.Field) bool { return f.Name == key }) {
			v.r.problem(v.at, "%s: it lacks the key column %q, by which its rows are told apart", v.path, clip(key))
		}
	}
	if c.Logic.Kind == recount.LogicSQL {
		c.Logic.Opening = list
	}
	return list
}

// columnTypes reads a type by column. Names are compared without case, as SQL
// does.
func columnTypes(v value) []recount.Field {
	var list []recount.Field
	entries := v.entries()
	if m, ok := v.node.(*ast.MappingNode); ok && len(m.Values) == 0 {
		v.problem("it names no column")
	}
	for _, e := range entries {
		if slices.ContainsFunc(list, func(f recount.Field) bool { return strings.EqualFold(f.Name, e.key) }) {
			v.r.problem(e.at, "%s: SQL does not tell it from another column", e.path)
			continue
		}
		if problem := badColumnName(e.key); problem != "" {
			v.r.problem(e.at, "%s: %s", e.path, problem)
			continue
		}
		if t, ok := typeOf(e.value); ok {
			list = append(list, recount.Field{Name: e.key, Type: t})
		}
	}
	return list
}
