package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"recount"
	"recount/internal/archive/cover"
	"recount/internal/config"
	"recount/source"
)

// ofGroup begins the name of a consumer group where a file could stand.
const ofGroup = "group:"

// readPaused reads the positions at which the paused worker stands: out of a file,
// or from the source, where the worker commits to a consumer group.
func (r *Incident) readPaused(ctx context.Context, given string) (err error) {
	if given == "" {
		return noCut(r.calc.Name, "cut: paused needs the positions at which the worker stands")
	}
	if group, ok := strings.CutPrefix(given, ofGroup); ok {
		r.until, err = r.groupStands(ctx, group)
	} else {
		r.until, err = config.ReadPositions(config.Path(r.host.Dir(), given))
	}
	if err != nil {
		return err
	}
	for partition := range cover.Reach(r.snapshot) {
		if _, named := r.until[partition]; !named {
			return noCut(r.calc.Name, fmt.Sprintf("%s does not name partition %q, which the archive holds", given, partition))
		}
	}
	for _, w := range r.hits.Positions {
		if cut, named := r.until[w.Partition]; named && cut < w.To {
			return noCut(r.calc.Name, fmt.Sprintf("the worker stands at %s of partition %s, before the window's end %s: it has not processed those events yet",
				recount.ShortPosition(cut), w.Partition, recount.ShortPosition(w.To)))
		}
	}
	parts := make([]string, 0, len(r.until))
	for _, partition := range sortedNames(r.until) {
		parts = append(parts, partition+":"+recount.ShortPosition(r.until[partition]))
	}
	const most = 8
	if more := len(parts) - most; more > 0 {
		parts = append(slices.Clone(parts[:most]), fmt.Sprintf("and %d more", more))
	}
	r.taken = &recount.CutTaken{Kind: recount.CutPaused, How: "the worker is paused at " + strings.Join(parts, " "), Positions: r.until}
	return nil
}

// groupStands asks the source where a consumer group stands. A group with members
// at work is no paused worker: its positions move while they are read.
func (r *Incident) groupStands(ctx context.Context, group string) (positions map[string]string, err error) {
	src, err := r.host.OpenSource(ctx, r.source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	grouped, ok := src.(source.Grouped)
	if !ok {
		return nil, &recount.Error{
			Code: recount.CodeUnsupported, What: fmt.Sprintf("source %s has no consumer groups", r.source.Name), Where: src.Info().Place,
			Why: "its kind does not keep how far its readers are", Next: "write the worker's positions down in a file, and give it with --paused FILE", Err: recount.ErrUnsupported,
		}
	}
	positions, err = grouped.Processed(ctx, group, r.snapshot.Cursor)
	next := ""
	switch {
	case errors.Is(err, recount.ErrBusy):
		next = fmt.Sprintf("stop the worker, wait until group %s has no member, and plan again with --paused %s%s", group, ofGroup, group)
	case errors.Is(err, recount.ErrNotFound) && recount.AsError(err).Code == recount.CodeInternal:
		next = "name the group that the worker commits to, --paused group:NAME; or write its positions down in a file, --paused FILE"
	default:
		return positions, err
	}
	refusal := noCut(r.calc.Name, "the worker is not paused: "+err.Error())
	if errors.Is(err, recount.ErrNotFound) {
		refusal = noCut(r.calc.Name, err.Error())
	}
	told := *recount.AsError(refusal)
	told.Next = next
	return nil, &told
}
