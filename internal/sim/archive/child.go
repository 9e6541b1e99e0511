package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"recount"
	"recount/adapter"
	"recount/internal/archive"
	"recount/internal/clock"
	"recount/source"
	"recount/source/files"
	"recount/source/kafka"
	"recount/store"
	"recount/store/disk"
	"recount/store/s3"
)

// setup is what an archiver that will be killed is told: the product's own source
// and store. It holds all of the product but its surface and its engine, which
// take long to start.
type setup struct {
	Brokers []string `json:"brokers,omitempty"`
	Topic   string   `json:"topic,omitempty"`
	Files   string   `json:"files,omitempty"` // a pattern, where there is no topic
	Bucket  string   `json:"bucket,omitempty"`
	Folder  string   `json:"folder,omitempty"` // where there is no bucket
}

func realMapping() recount.Mapping {
	return recount.Mapping{ID: "id", Time: "at", Zone: time.UTC, Fields: []recount.Field{
		{Name: "user_id", Type: recount.Type{Kind: recount.KindString}, Path: "user_id"},
	}}
}

func (s setup) openSource(ctx context.Context) (source.Source, error) {
	env := adapter.Env{Dir: "/", Stream: stream, Mapping: realMapping(), Now: clock.System{}.Now}
	if s.Topic != "" {
		return kafka.Open(ctx, env, kafka.Config{Brokers: s.Brokers, Topics: []string{s.Topic}, ClientID: "recount"})
	}
	return files.Open(ctx, env, files.Config{Paths: []string{s.Files}, Format: "jsonl"})
}

func (s setup) openStore(ctx context.Context) (store.Store, error) {
	if s.Bucket != "" {
		return s3.Open(ctx, s.Bucket)
	}
	return disk.Open(s.Folder, clock.System{}.Now)
}

// archive archives what there is, or lives on until it is killed. The commits are
// small, so that kills meet all that there is between two of them.
func (s setup) archive(ctx context.Context, live bool) error {
	src, err := s.openSource(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	const (
		soon   = 30 * time.Millisecond
		events = 40
	)
	_, err = archive.Open(st, clock.System{}).Run(ctx, archive.RunOptions{
		Stream: stream, Source: src, Fields: realMapping().Fields, MappingDigest: "m", Program: "sim", CommitEvents: events, Live: live, Flush: soon,
	})
	return err
}

// beArchiver is what the process does that will be killed.
func beArchiver(ctx context.Context, text string, out io.Writer) error {
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	return s.archive(ctx, true)
}

// locked says that an archiver ended because another one is at work.
func locked(err error) bool {
	var e *recount.Error
	return errors.As(err, &e) && e.Code == recount.CodeArchiveLocked
}

// exitLocked says that another archiver is at work.
const exitLocked = 11
