package duckdb

import (
	"database/sql/driver"
	"fmt"
	"strconv"

	"github.com/duckdb/duckdb-go/v2"

	"recount"
)

// canonicalFunc gives the canonical text of a value whose kind DuckDB prints
// otherwise, so that rows can be sorted by it.
type canonicalFunc struct {
	kind   recount.Kind
	config duckdb.ScalarFuncConfig
}

func (f canonicalFunc) Config() duckdb.ScalarFuncConfig { return f.config }

func (f canonicalFunc) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: func(values []driver.Value) (any, error) {
		switch v := values[0].(type) {
		case float64:
			return recount.Canonical(recount.Type{Kind: f.kind}, strconv.FormatFloat(v, 'g', -1, 64))
		case string:
			return recount.Canonical(recount.Type{Kind: f.kind}, v)
		}
		return nil, fmt.Errorf("value of %T", values[0])
	}}
}

// exactName is a function that takes every type whose sum no order changes and
// none else. It is bound and never run: putting it round the argument of sum
// tells whether sum adds doubles, for what does not bind is refused.
const exactName = "recount_exact"

type exactFunc struct{ config duckdb.ScalarFuncConfig }

func (f exactFunc) Config() duckdb.ScalarFuncConfig { return f.config }

func (f exactFunc) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: func([]driver.Value) (any, error) { return nil, nil }}
}

func (d *database) addExact() error {
	decimal, err := duckdb.NewDecimalInfo(recount.MaxPrecision, recount.MaxPrecision/2)
	if err != nil {
		return err
	}
	var all []duckdb.ScalarFunc
	add := func(in, out duckdb.TypeInfo) {
		all = append(all, exactFunc{duckdb.ScalarFuncConfig{InputTypeInfos: []duckdb.TypeInfo{in}, ResultTypeInfo: out}})
	}
	huge, err := duckdb.NewTypeInfo(duckdb.TYPE_HUGEINT)
	if err != nil {
		return err
	}
	// A decimal comes back as a whole number, so that no digit count of ours
	// makes the expression round it overflow.
	add(decimal, huge)
	for _, t := range []duckdb.Type{duckdb.TYPE_BIGINT, duckdb.TYPE_HUGEINT, duckdb.TYPE_UBIGINT, duckdb.TYPE_INTERVAL} {
		info, err := duckdb.NewTypeInfo(t)
		if err != nil {
			return err
		}
		add(info, info)
	}
	boolean, err := duckdb.NewTypeInfo(duckdb.TYPE_BOOLEAN)
	if err != nil {
		return err
	}
	add(boolean, huge)
	return duckdb.RegisterScalarUDFSet(d.conn, exactName, all...)
}
