//go:build !unix

package duckdb

func limitChild() {}
