package app

import (
	"context"
	"errors"

	"recount"
	"recount/internal/archive"
	"recount/internal/archive/positions"
)

// ArchiveStream is what the archive holds of one stream.
type ArchiveStream struct {
	archive.StreamSummary
	// Files are the committed files.
	Files []recount.DataFile
}

// ArchiveHour is what the archive holds of one hour of a stream.
type ArchiveHour = archive.HourSummary

// ArchiveReport is the proof that one stream is whole, or what is wrong with it.
type ArchiveReport = archive.StreamReport

// ArchivedPartition is what is archived of one partition.
type ArchivedPartition = archive.PartitionSummary

// RunSealed is the kind of a run of positions that are all in.
const RunSealed = positions.Sealed

// ArchivedEvent is one archived copy of an event.
type ArchivedEvent struct {
	Stream string
	archive.CatEvent
}

// ArchiveLs sums up the named streams, or all that the archive holds.
func (a *App) ArchiveLs(ctx context.Context, sources []string) ([]ArchiveStream, error) {
	arch, _, err := a.streams(ctx, sources)
	if err != nil {
		return nil, err
	}
	list, err := arch.Ls(ctx, sources...)
	if err != nil {
		return nil, err
	}
	out := make([]ArchiveStream, len(list))
	for i, s := range list {
		snapshot, err := arch.Snapshot(ctx, s.Stream)
		if err != nil {
			return nil, err
		}
		out[i] = ArchiveStream{StreamSummary: s, Files: snapshot.Files}
	}
	return out, nil
}

// ArchiveLsAt sums up one stream as it was at an older snapshot.
func (a *App) ArchiveLsAt(ctx context.Context, source, snapshot string) ([]ArchiveStream, error) {
	arch, _, err := a.streams(ctx, []string{source})
	if err != nil {
		return nil, err
	}
	s, err := arch.LsAt(ctx, source, snapshot)
	if err != nil {
		return nil, err
	}
	held, err := arch.SnapshotAt(ctx, source, s.Snapshot)
	if err != nil {
		return nil, err
	}
	return []ArchiveStream{{StreamSummary: s, Files: held.Files}}, nil
}

// ArchiveVerify proves the named streams, or all. It reads on after a damage:
// the reports have all of them, the error is the first.
func (a *App) ArchiveVerify(ctx context.Context, sources []string) ([]ArchiveReport, error) {
	arch, streams, err := a.streams(ctx, sources)
	if err != nil {
		return nil, err
	}
	report, err := arch.Verify(ctx, streams, a.opts.Progress)
	return report.Streams, err
}

// ArchiveCat returns every archived copy of an event: of one source's stream, or
// of all where source is empty.
func (a *App) ArchiveCat(ctx context.Context, source, event string) ([]ArchivedEvent, error) {
	var sources []string
	if source != "" {
		sources = []string{source}
	}
	arch, streams, err := a.streams(ctx, sources)
	if err != nil {
		return nil, err
	}
	var found []ArchivedEvent
	var missing error
	for _, stream := range streams {
		copies, err := arch.Cat(ctx, stream, event)
		var e *recount.Error
		switch {
		case errors.As(err, &e) && (e.Code == recount.CodeNoEvent || e.Code == recount.CodeNoArchive):
			if missing == nil {
				missing = err
			}
		case err != nil:
			return nil, err
		}
		for _, c := range copies {
			found = append(found, ArchivedEvent{Stream: stream, CatEvent: c})
		}
	}
	if len(found) == 0 {
		return nil, missing
	}
	return found, nil
}
