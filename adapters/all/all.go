// Package all is the one import list: a program that imports it has every
// adapter. It holds nothing else.
package all

import (
	_ "recount/engine/duckdb"   // runs SQL calculations
	_ "recount/engine/fold"     // runs folds, of a process or of the program's own
	_ "recount/source/files"    // reads files of events
	_ "recount/source/kafka"    // reads topics of Apache Kafka
	_ "recount/source/kinesis"  // reads data streams of Amazon Kinesis
	_ "recount/source/logs"     // follows log files
	_ "recount/source/nats"     // reads streams of NATS JetStream
	_ "recount/source/postgres" // reads changes of tables in PostgreSQL
	_ "recount/store/disk"      // keeps the archive in a folder
	_ "recount/store/gcs"       // keeps the archive in Google Cloud Storage
	_ "recount/store/hdfs"      // keeps the archive in HDFS
	_ "recount/store/s3"        // keeps the archive in Amazon S3, or a server like it
	_ "recount/target/files"    // live results in CSV files
	_ "recount/target/postgres" // live tables in PostgreSQL
	_ "recount/target/sqlite"   // live tables in SQLite
)
