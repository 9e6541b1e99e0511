package duckdb

import (
	"fmt"
	"strings"

	"recount"
)

// declared returns the DuckDB type of a declared field.
func declared(t recount.Type) string {
	switch t.Kind {
	case recount.KindString:
		return "VARCHAR"
	case recount.KindInt64:
		return "BIGINT"
	case recount.KindDouble:
		return "DOUBLE"
	case recount.KindDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", t.Precision, t.Scale)
	case recount.KindBool:
		return "BOOLEAN"
	case recount.KindTimestamp:
		return "TIMESTAMP WITH TIME ZONE"
	case recount.KindDate:
		return "DATE"
	case recount.KindJSON:
		return "JSON"
	}
	return "VARCHAR"
}

// resultType returns the type of a result column that DuckDB names so; false if
// no live table's column can be compared with it.
func resultType(name string) (recount.Type, bool) {
	switch name {
	case "VARCHAR", "UUID":
		return recount.Type{Kind: recount.KindString}, true
	case "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT":
		return recount.Type{Kind: recount.KindInt64}, true
	case "HUGEINT", "UBIGINT", "UHUGEINT":
		return recount.Decimal(recount.MaxPrecision, 0), true
	case "DOUBLE", "FLOAT":
		return recount.Type{Kind: recount.KindDouble}, true
	case "BOOLEAN":
		return recount.Type{Kind: recount.KindBool}, true
	case "TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS":
		return recount.Type{Kind: recount.KindTimestamp}, true
	case "DATE":
		return recount.Type{Kind: recount.KindDate}, true
	case "JSON":
		return recount.Type{Kind: recount.KindJSON}, true
	}
	if strings.HasPrefix(name, "ENUM(") && !strings.HasSuffix(name, "]") {
		return recount.Type{Kind: recount.KindString}, true
	}
	if inner, ok := strings.CutPrefix(name, "DECIMAL("); ok && strings.HasSuffix(inner, ")") {
		t, err := recount.ParseType("decimal(" + inner)
		return t, err == nil
	}
	return recount.Type{}, false
}

// plain returns the expression that brings a result column into the type in
// which it is written to Parquet.
func plain(column string, t recount.Type) string {
	return "CAST(" + column + " AS " + plainType(t) + ")"
}

func plainType(t recount.Type) string {
	if t.Kind == recount.KindJSON {
		return "VARCHAR"
	}
	return declared(t)
}

// sortText returns the expression whose binary order is that of the canonical
// text of a column that plain made.
func sortText(column string, t recount.Type) string {
	switch t.Kind {
	case recount.KindString, recount.KindBool, recount.KindDate:
		return column
	case recount.KindInt64, recount.KindDecimal:
		return "CAST(" + column + " AS VARCHAR)"
	case recount.KindTimestamp:
		// The session's zone is UTC. Zeros behind the second's point are cut, as
		// recount.FormatTimestamp does.
		return "rtrim(rtrim(strftime(CAST(" + column + " AS TIMESTAMP), '%Y-%m-%dT%H:%M:%S.%f'), '0'), '.') || 'Z'"
	case recount.KindDouble, recount.KindJSON:
		return canonicalName(t.Kind) + "(" + column + ")"
	}
	return column
}

// canonicalName is the function of ours that gives the canonical text of a kind
// which DuckDB prints otherwise.
func canonicalName(k recount.Kind) string { return "recount_canonical_" + string(k) }

// probe is the constant that stands for a broken field.
func probe(t recount.Type, n int) string {
	small, large := "''", "'zzzz'"
	switch t.Kind {
	case recount.KindString:
	case recount.KindInt64, recount.KindDouble:
		small, large = "0", "999999999"
	case recount.KindDecimal:
		small, large = "0", strings.Repeat("9", min(9, t.Precision-t.Scale))
		if t.Precision == t.Scale {
			large = "0." + strings.Repeat("9", t.Scale)
		}
	case recount.KindBool:
		small, large = "false", "true"
	case recount.KindTimestamp:
		small, large = "'1970-01-01 00:00:00+00'", "'2999-12-31 00:00:00+00'"
	case recount.KindDate:
		small, large = "'1970-01-01'", "'2999-12-31'"
	case recount.KindJSON:
		small, large = "'null'", "'\"zzzz\"'"
	}
	switch n {
	case 1:
		return "CAST(" + small + " AS " + declared(t) + ")"
	case 2:
		return "CAST(" + large + " AS " + declared(t) + ")"
	}
	return "CAST(NULL AS " + declared(t) + ")"
}
