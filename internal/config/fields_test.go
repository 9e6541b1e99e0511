package config

import (
	"strings"
	"testing"
	"time"

	"recount"
)

// inputs is a configuration of upcasts, lookups and versions.
const inputs = `version: 1
archive: archive
sources:
  orders:
    files: {paths: ["a.csv"]}
    event: {id: id, time: at, type: type}
    fields: {user_id: string, product: int64, value: "decimal(18,2)"}
    upcast:
      - {name: cents, when: "type = 'v1'", set: {value: "cents * 0.01"}}
      - {name: none, set: {product: "0", user_id: "'x'"}}
  prices:
    files: {paths: ["b.csv"]}
    event: {id: id, time: at}
    fields: {product: int64, price: "decimal(18,2)", since: timestamp}
lookups:
  rates: {file: right.csv, key: [user_id], time: since, fields: {user_id: string, since: date, total: "decimal(9,2)"}}
  prices: {source: prices, key: [product], time: since}
calculations:
  totals:
    source: orders
    versions:
      - {name: old, sql: v1.sql, effective: {to: "2024-06-10T00:00:00Z"}}
      - {name: new, sql: totals.sql, effective: {from: "2024-06-10T00:00:00Z", to: "2024-06-12T00:00:00Z"}}
    key: [user_id, day]
    bucket: 24h
    lookups:
      rates: {on: [user_id], take: {rate: total}, missing: null}
      prices: {on: [product], take: {price: price}}
    target: {sqlite: {path: live.db}, table: totals}
`

func TestUpcastsLookupsAndVersionsAreRead(t *testing.T) {
	p, err := Load(project(t, inputs), fakes(t), env)
	if err != nil {
		t.Fatal(err)
	}
	if u := p.Sources["orders"].Upcasts; len(u) != 2 || u[0].When != "type = 'v1'" || u[0].Set["value"] != "cents * 0.01" || u[0].Line != 9 || len(u[1].Set) != 2 || u[0].Digest() == u[1].Digest() {
		t.Errorf("upcasts: got %+v", u)
	}
	c := p.Calculations["totals"]
	if l := c.Lookups; len(l) != 2 || l[0].Lookup.File != "right.csv" || !l[0].Missing || l[0].Take["rate"] != "total" || l[1].Lookup.Source != "prices" || l[1].Missing || l[1].Lookup.Time != "since" {
		t.Errorf("lookups: got %+v", l)
	}
	edge := time.Date(2024, 6, 10, 0, 0, 0, 0, time.UTC)
	if v := c.Logic.Versions; c.Logic.Kind != recount.LogicVersions || len(v) != 2 || !v[0].Effective.To.Equal(edge) || !v[1].Effective.From.Equal(edge) || v[1].Logic.Path != "totals.sql" {
		t.Errorf("versions: got %+v", c.Logic)
	}
	if over := c.Logic.Over(recount.Window{From: edge, To: edge.Add(time.Hour)}); len(over) != 1 || over[0].Name != "new" {
		t.Errorf("in force at the edge: got %+v", over)
	}
	if over := c.Logic.Over(recount.Window{}); len(over) != 2 {
		t.Errorf("in force at some time: got %+v", over)
	}
	one, err := c.AsVersion("old")
	if err != nil || one.Logic.Path != "v1.sql" || one.As != "old" {
		t.Errorf("as old: got %+v, %v", one.Logic, err)
	}
}

func TestWrongInputsAreRefused(t *testing.T) {
	for _, c := range []struct{ name, old, now, says string }{
		{"an upcast without a name", "name: cents, ", "", "name is missing"},
		{"a name twice", "name: none", "name: cents", `another step is called "cents"`},
		{"a name that is none", "name: cents", "name: a b", "use letters, digits"},
		{"no set", `, set: {value: "cents * 0.01"}`, "", "set is missing"},
		{"an empty set", `{value: "cents * 0.01"}`, "{}", "it sets no field"},
		{"a field that is not declared", "set: {value:", "set: {valu:", `did you mean "value"?`},
		{"two places of a lookup", "{source: prices, key", "{file: right.csv, source: prices, key", "file stands there too"},
		{"no place", "{source: prices, key", "{key", "file is missing"},
		{"a file of no known form", "file: right.csv", "file: totals.sql", "read by its ending"},
		{"a file that is not there", "file: right.csv", "file: none.csv", "there is no such file"},
		{"no time of a file", "time: since, fields", "fields", "time is missing"},
		{"a time without a type", "since: date, ", "", `no type for "since"`},
		{"a time that is none", "since: date", "since: string", "since when a row is valid is said by a timestamp or a date"},
		{"fields of a source", "key: [product], time: since", "key: [product], fields: {product: int64}", "the fields of a source are declared there"},
		{"a key of a source that is no field", "key: [product], time", "key: [produce], time", "no field of source prices"},
		{"a time of a source that is none", "key: [product], time: since", "key: [product], time: price", "no field of type timestamp"},
		{"a lookup that there is not", "      prices: {on", "      price: {on", "did you mean prices?"},
		{"on that is no field", "on: [product]", "on: [produce]", "no field of source orders"},
		{"on of another length", "on: [product]", "on: [product, user_id]", "the lookup's key has 1 columns"},
		{"on of another type", "on: [product]", "on: [user_id]", "they are never equal"},
		{"a field that there is already", "take: {price: price}", "take: {value: price}", "a field of that name already"},
		{"a field twice", "take: {price: price}", "take: {Rate: price}", "a field of that name already"},
		{"an envelope's name", "take: {price: price}", "take: {time: price}", "every event has a column of that name"},
		{"no such column", "take: {price: price}", "take: {price: cost}", `no column "cost"`},
		{"nothing taken", "take: {price: price}", "take: {}", "it takes no column"},
		{"missing", "missing: null", "missing: no", "unknown value"},
		{"sql beside versions", "    versions:", "    sql: v1.sql\n    versions:", "versions stands there too"},
		{"no versions", "      - {name: old, sql: v1.sql, effective: {to: \"2024-06-10T00:00:00Z\"}}\n      - {name: new, sql: totals.sql, effective: {from: \"2024-06-10T00:00:00Z\", to: \"2024-06-12T00:00:00Z\"}}\n", "      []\n", "the list is empty"},
		{"a version without logic", "sql: v1.sql, ", "", "sql is missing"},
		{"a version's name twice", "name: new", "name: old", `another version is called "old"`},
		{"no end of the first", `, effective: {to: "2024-06-10T00:00:00Z"}`, "", `version "old" has no end`},
		{"no begin of the second", `from: "2024-06-10T00:00:00Z", to`, "to", `version "new" has no begin`},
		{"a gap", `from: "2024-06-10`, `from: "2024-06-11`, "no version is in force between"},
		{"an overlap", `from: "2024-06-10`, `from: "2024-06-09`, "overlap"},
		{"turned round", `to: "2024-06-12`, `to: "2024-06-10`, "from is not before to"},
		{"a state of SQL", "{name: new, ", "{name: new, state: continues, ", `version "old" is sql, and worker and go alone have states`},
		{"a state of nothing", "{name: old, ", "{name: old, state: continues, ", `no version stands before "old"`},
		{"another word for a state", "{name: new, ", "{name: new, state: goes on, ", "it can be continues"},
		{"an edge in a bucket", "2024-06-10T00:00:00Z", "2024-06-10T01:00:00Z", "inside the bucket"},
		{"a time without an offset", `to: "2024-06-12T00:00:00Z"`, `to: "2024-06-12T00:00:00"`, "no time with an offset"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(inputs, c.old) {
				t.Fatalf("the configuration does not hold %q", c.old)
			}
			_, err := Load(project(t, strings.ReplaceAll(inputs, c.old, c.now)), fakes(t), env)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want a problem that says %q", err, c.says)
			}
		})
	}
}
