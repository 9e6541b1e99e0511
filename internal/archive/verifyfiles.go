package archive

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"recount"
	"recount/internal/archive/originals"
)

// VerifyFiles reads every byte of files and marks and compares size and SHA-256
// with their commits. Nothing of them may be used before it has said yes; what
// it found is never remembered.
func (a *Archive) VerifyFiles(ctx context.Context, files []recount.DataFile, marks []recount.MarksFile) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers())
	own, adopted := originals.Group(files)
	for _, o := range adopted {
		g.Go(func() error {
			stream, _, _ := strings.Cut(o.Parts[0].File.Name, "/")
			return a.reader(stream, nil).Read(ctx, o, func(*originals.Event) error { return nil })
		})
	}
	for _, i := range own {
		g.Go(func() error { return a.verifyFile(ctx, files[i]) })
	}
	for _, m := range marks {
		g.Go(func() error { return a.verifyMarks(ctx, m) })
	}
	return g.Wait()
}

// readers is how many objects are read at once.
func readers() int {
	const most = 8
	return min(runtime.GOMAXPROCS(0), most)
}

func (a *Archive) verifyFile(ctx context.Context, f recount.DataFile) error {
	return a.damagedFile(f, a.check(ctx, f.Name, f.Bytes, f.SHA256))
}

// damagedFile is the error for a file that is not as committed: it says which
// events are hit.
func (a *Archive) damagedFile(f recount.DataFile, err error) error {
	if err = a.damaged(f.Name, err); err == nil {
		return nil
	}
	var e *recount.Error
	if errors.As(err, &e) && e.Code == recount.CodeDamaged {
		e.Why += fmt.Sprintf("; it holds %d events: %s", f.Rows, spansText(f.Spans))
	}
	return err
}

func spansText(spans []recount.PositionSpan) string {
	const shown = 3
	var parts []string
	for i, s := range spans {
		if i == shown {
			parts = append(parts, fmt.Sprintf("and %d more partitions", len(spans)-shown))
			break
		}
		parts = append(parts, fmt.Sprintf("partition %s, positions %s to %s", s.Partition, s.First, s.Last))
	}
	return strings.Join(parts, "; ")
}

func (a *Archive) verifyMarks(ctx context.Context, m recount.MarksFile) error {
	return a.damaged(m.Name, a.check(ctx, m.Name, m.Bytes, m.SHA256))
}

// damaged turns what check found into the error for people.
func (a *Archive) damaged(name string, err error) error {
	if err == nil {
		return nil
	}
	var differs *differsError
	if errors.Is(err, recount.ErrNotFound) {
		differs = &differsError{missing: true}
	}
	if differs == nil && !errors.As(err, &differs) {
		return fmt.Errorf("verify %q: %w", name, err)
	}
	return &recount.Error{
		Code: recount.CodeDamaged, What: "a file of the archive is damaged", Where: a.where(name), Why: differs.Error(),
		Next: "put the file back from a copy, then: recount archive verify", Err: differs,
	}
}
