// Package all is the one import list: a program that imports it has every
// adapter. It holds nothing else.
package all

import (
	_ "recount/engine/duckdb"   // runs SQL calculations
	_ "recount/source/files"    // reads files of events
	_ "recount/source/kafka"    // reads topics of Apache Kafka
	_ "recount/store/disk"      // keeps the archive in a folder
	_ "recount/target/files"    // live results in CSV files
	_ "recount/target/postgres" // live tables in PostgreSQL
	_ "recount/target/sqlite"   // live tables in SQLite
)
