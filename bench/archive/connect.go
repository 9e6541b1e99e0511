package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // reads the sink's catalog

	"recount/internal/servertest"
)

// runConnect runs a Connect worker, with the memory that its own start script
// gives it, and one task of the Iceberg sink. It commits every ten seconds: with
// its default, five minutes, it would wait for nothing.
func (b *bench) runConnect(ctx context.Context, bucket string) (usage, error) {
	dir, err := os.MkdirTemp(b.dir, "connect-")
	if err != nil {
		return usage{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	port, err := servertest.FreePort()
	if err != nil {
		return usage{}, err
	}
	control := "control-" + bucket
	if err := b.broker.create(ctx, control, 1); err != nil {
		return usage{}, err
	}
	catalog := filepath.Join(dir, "catalog.db")
	worker, connector := filepath.Join(dir, "worker.properties"), filepath.Join(dir, "sink.properties")
	if err := os.WriteFile(worker, []byte(properties(map[string]string{
		"bootstrap.servers": b.broker.server.Addr, "listeners": fmt.Sprintf("http://127.0.0.1:%d", port),
		"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"value.converter.schemas.enable": "false", "offset.storage.file.filename": filepath.Join(dir, "offsets"),
		"plugin.path": filepath.Join(b.peers(), "plugins"), "connector.client.config.override.policy": "All",
	})), 0o600); err != nil {
		return usage{}, err
	}
	if err := os.WriteFile(connector, []byte(properties(map[string]string{
		"name": bucket, "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector", "tasks.max": "1", "topics": b.broker.topic,
		"iceberg.tables": "db.orders", "iceberg.tables.auto-create-enabled": "true",
		"iceberg.catalog": "c", "iceberg.catalog.catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", "iceberg.catalog.uri": "jdbc:sqlite:" + catalog,
		"iceberg.catalog.warehouse": "s3://" + bucket + "/warehouse", "iceberg.catalog.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
		"iceberg.catalog.s3.endpoint": b.s3.endpoint, "iceberg.catalog.s3.path-style-access": "true",
		"iceberg.catalog.s3.access-key-id": account, "iceberg.catalog.s3.secret-access-key": secret, "iceberg.catalog.client.region": region,
		"iceberg.control.commit.interval-ms": "10000", "iceberg.control.topic": control, "iceberg.control.group-id-prefix": bucket,
		"consumer.override.auto.offset.reset": "earliest", "consumer.override.max.poll.records": "5000",
	})), 0o600); err != nil {
		return usage{}, err
	}
	cmd := exec.CommandContext(ctx, "java", "-Xms256M", "-Xmx2G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35", //nolint:gosec // our own command line
		"-XX:+ExplicitGCInvokesConcurrent", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(b.peers(), "connect", "*"),
		"org.apache.kafka.connect.cli.ConnectStandalone", worker, connector)
	p, err := b.start("connect", cmd)
	if err != nil {
		return usage{}, err
	}
	return p.until(ctx, func() (bool, error) {
		rows, err := b.icebergRows(ctx, bucket, catalog)
		return rows >= b.events, err
	})
}

func properties(p map[string]string) string {
	var text strings.Builder
	for key, value := range p {
		text.WriteString(key + "=" + value + "\n")
	}
	return text.String()
}

// icebergRows is the total of records that the table's newest snapshot tells; 0
// while there is none.
func (b *bench) icebergRows(ctx context.Context, bucket, catalog string) (int64, error) {
	if _, err := os.Stat(catalog); err != nil {
		return 0, nil // the worker has not come so far
	}
	db, err := sql.Open("sqlite", "file:"+catalog+"?mode=ro&_pragma=busy_timeout(1000)")
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	var location string
	if err := db.QueryRowContext(ctx, "SELECT metadata_location FROM iceberg_tables WHERE table_name = 'orders'").Scan(&location); err != nil {
		return 0, nil // no table yet, or it is being written
	}
	object, err := b.s3.read(ctx, bucket, strings.TrimPrefix(location, "s3://"+bucket+"/"))
	if err != nil {
		return 0, err
	}
	var metadata struct {
		Current   int64 `json:"current-snapshot-id"` //nolint:tagliatelle // Iceberg's own
		Snapshots []struct {
			ID      int64             `json:"snapshot-id"` //nolint:tagliatelle // see above
			Summary map[string]string `json:"summary"`
		} `json:"snapshots"`
	}
	if err := json.Unmarshal(object, &metadata); err != nil {
		return 0, fmt.Errorf("read %s: %w", location, err)
	}
	for _, s := range metadata.Snapshots {
		if s.ID == metadata.Current {
			return strconv.ParseInt(s.Summary["total-records"], 10, 64)
		}
	}
	return 0, nil
}

func (b *bench) countConnect(ctx context.Context, bucket string) (int64, error) {
	return b.parquetRows(ctx, bucket, func(key string) bool { return strings.HasSuffix(key, ".parquet") })
}
