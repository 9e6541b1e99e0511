package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"
)

const project = `version: 1
archive: "s3://%s/archive?endpoint=%s&region=%s&path_style=true"
sources:
  orders:
    kafka: {brokers: ["%s"], topics: ["%s"]}
    event: {id: event_id, time: created_at, type: status}
    timezone: UTC
    fields: {order_id: string, user_id: string, status: string, amount: "decimal(18,2)", currency: string, country: string, items: int64}
`

func (b *bench) runRecount(ctx context.Context, bucket string) (usage, error) {
	dir := filepath.Join(b.dir, "project")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a scratch folder
		return usage{}, err
	}
	text := fmt.Sprintf(project, bucket, b.s3.endpoint, region, b.broker.server.Addr, b.broker.topic)
	if err := os.WriteFile(filepath.Join(dir, "recount.yaml"), []byte(text), 0o600); err != nil {
		return usage{}, err
	}
	cmd := exec.CommandContext(ctx, b.recount, "archive", "run", "orders", "--once", "-C", dir, "--quiet") //nolint:gosec // our own program
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+account, "AWS_SECRET_ACCESS_KEY="+secret)
	p, err := b.start("recount", cmd)
	if err != nil {
		return usage{}, err
	}
	return p.end()
}

// countRecount counts the rows of the archive's files: all of them are committed
// after a run that nothing interrupted.
func (b *bench) countRecount(ctx context.Context, bucket string) (int64, error) {
	return b.parquetRows(ctx, bucket, func(key string) bool {
		return strings.HasPrefix(key, "archive/orders/") && strings.HasSuffix(key, ".parquet")
	})
}

// parquetRows adds up the rows that the wanted files' footers tell.
func (b *bench) parquetRows(ctx context.Context, bucket string, wanted func(key string) bool) (total int64, err error) {
	err = b.s3.each(ctx, bucket, func(key string, _ int64) error {
		if !wanted(key) {
			return nil
		}
		object, err := b.s3.read(ctx, bucket, key)
		if err != nil {
			return err
		}
		r, err := file.NewParquetReader(bytes.NewReader(object))
		if err != nil {
			return fmt.Errorf("open %s: %w", key, err)
		}
		total += r.NumRows()
		return r.Close()
	})
	return total, err
}
