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

	// Program is recount itself, Project the folder in which it runs; both empty:
	// archivers are this program.
	Program string        `json:"-"`
	Project string        `json:"-"`
	took    time.Duration // its last run that ended by itself
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
func (s setup) archive(ctx context.Context, live bool, out io.Writer) error {
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
	_, err = archive.Open(told(st, out), clock.System{}).Run(ctx, archive.RunOptions{
		Stream: stream, Source: src, Fields: realMapping().Fields, MappingDigest: "m", Program: "sim", CommitEvents: events, Live: live, Flush: soon,
	})
	return err
}

// telling tells of each object before it is put, and when it was, so that an
// archiver can be killed while it commits.
type telling struct {
	store.Store
	out io.Writer
}

// Put tells, puts, and tells.
func (s telling) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if _, err := fmt.Fprintln(s.out, "put", name); err != nil {
		return err
	}
	err := s.Store.Put(ctx, name, write)
	_, _ = fmt.Fprintln(s.out, "was put", name)
	return err
}

// tellingDisk is telling for a store whose objects are files.
type tellingDisk struct {
	telling
	disk store.Local
}

// Path is the file of an object.
func (s tellingDisk) Path(name string) (string, error) { return s.disk.Path(name) }

func told(s store.Store, out io.Writer) store.Store {
	t := telling{s, out}
	if disk, ok := s.(store.Local); ok {
		return tellingDisk{t, disk}
	}
	return t
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
	return s.archive(ctx, true, out)
}

// locked says that an archiver ended because another one is at work.
func locked(err error) bool {
	var e *recount.Error
	return errors.As(err, &e) && e.Code == recount.CodeArchiveLocked
}

// exitLocked says that another archiver is at work.
const exitLocked = 11
