package main

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
)

// runCamel runs Camel's route with its default collector and as much memory as
// Connect's, 50,000 records a batch. Its last object is there when the lines are
// as many bytes as the values and their line ends.
func (b *bench) runCamel(ctx context.Context, bucket string) (usage, error) {
	const records = "50000"
	classes := filepath.Join(b.peers(), "camel-classes") + ":" + filepath.Join(b.peers(), "camel", "*")
	cmd := exec.CommandContext(ctx, "java", "-Xmx2G", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classes, //nolint:gosec // our own command line
		"Archiver", b.broker.topic, b.broker.server.Addr, bucket, b.s3.endpoint, records)
	p, err := b.start("camel", cmd)
	if err != nil {
		return usage{}, err
	}
	return p.until(ctx, func() (bool, error) {
		size, err := b.s3.size(ctx, bucket)
		return size >= b.bytes+b.events, err
	})
}

func (b *bench) countCamel(ctx context.Context, bucket string) (lines int64, err error) {
	err = b.s3.each(ctx, bucket, func(key string, _ int64) error {
		object, err := b.s3.read(ctx, bucket, key)
		lines += int64(bytes.Count(object, []byte("\n")))
		return err
	})
	return lines, err
}
