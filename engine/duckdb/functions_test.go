package duckdb

import (
	"slices"
	"strings"
	"testing"
)

// unlisted are functions that the check refuses by not knowing them: DuckDB's
// own inner ones, its collations, its geometry, and ways to look at types.
func unlisted(name string) bool {
	for _, prefix := range []string{"__internal_", "icu_", "st_", "pg_", "has_", "variant_", "format_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains(strings.Fields(`alias can_cast_implicitly cast_to_type col_description combine create_sort_key finalize get_type
is_histogram_other_bin make_type map_to_pg_oid obj_description remap_struct replace_type shobj_description sum_no_overflow
timetz_byte_comparable`), name)
}

func TestEveryFunctionOfDuckDBIsJudged(t *testing.T) {
	ctx := t.Context()
	d, err := newDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	rows, err := d.conn.QueryContext(ctx, `SELECT lower(function_name), function_type, string_agg(DISTINCT coalesce(stability, 'CONSISTENT'), ' ')
		FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate', 'macro') GROUP BY ALL`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	seen := map[string]bool{}
	for rows.Next() {
		var name, kind, stability string
		if err := rows.Scan(&name, &kind, &stability); err != nil {
			t.Fatal(err)
		}
		seen[name] = true
		f := familyOf[name]
		if f == unknown && !unlisted(name) {
			t.Errorf("%s (%s, %s) is in no family: look what it does and list it", name, kind, stability)
		}
		allowed := f == pure || f == exact || f == adding || f == floating || f == ordered || f == listing
		if allowed && stability != "CONSISTENT" {
			t.Errorf("%s is allowed, and DuckDB says that it is %s", name, stability)
		}
		if kind == "aggregate" && f == pure {
			t.Errorf("%s is an aggregate and listed as if it were none", name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	// Names that are in the grammar, another version or another build.
	elsewhere := strings.Fields(`age mean unnest current_time current_timestamp localtime localtimestamp getenv json_execute_serialized_sql
*~ !*~ count_if ilike_escape not_like_escape map_contains_entry map_contains_value`)
	for name := range familyOf {
		if !seen[name] && !slices.Contains(elsewhere, name) {
			t.Logf("%s is listed, and DuckDB has it not", name)
		}
	}
}

// An aggregate that is let pass for its ORDER BY must heed it: DuckDB drops the
// order of those that it holds to need none.
func TestFloatingAggregatesHeedTheirOrder(t *testing.T) {
	ctx := t.Context()
	d, err := newDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.close() }()
	if err := d.exec(ctx, "CREATE TABLE t AS SELECT random() AS x, random() AS y, range AS p FROM range(10)"); err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(families[floating] + " sum avg") {
		var plan, key string
		args := "x"
		for range 2 {
			err = d.row(ctx, "EXPLAIN SELECT "+name+"("+args+" ORDER BY p) FROM t", &key, &plan)
			args = "x, y"
			if err == nil {
				break
			}
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		// The sort key is one more argument of the aggregate.
		_, call, _ := strings.Cut(plan, name+"(")
		call, _, _ = strings.Cut(call, ")")
		if strings.Count(call, "#") < strings.Count(args, ",")+1 {
			t.Errorf("%s drops its ORDER BY:\n%s", name, plan)
		}
	}
}
