package fold

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"recount"
	"recount/engine"
)

// mostFeeds is how many feeds are kept: a run and its proof share one, and so do
// the states of all hypotheses.
const mostFeeds = 3

// feeds are the newest feeds of a session.
type feeds struct{ list []namedFeed }

type namedFeed struct {
	name [sha256.Size]byte
	feed engine.Feed
}

// feed returns the events that a variant sees, with at least these columns.
func (s *session) feed(ctx context.Context, v engine.Variant, columns []string) (engine.Feed, error) {
	columns = unique(columns)
	name, err := feedName(v, columns)
	if err != nil {
		return engine.Feed{}, err
	}
	for i, f := range s.feeds.list {
		if f.name == name {
			s.feeds.list = append(slices.Delete(s.feeds.list, i, i+1), f)
			return f.feed, nil
		}
	}
	f, err := s.makeFeed(ctx, v, columns)
	if err != nil {
		return f, err
	}
	s.feeds.list = append(s.feeds.list, namedFeed{name, f})
	if len(s.feeds.list) > mostFeeds {
		old := s.feeds.list[0]
		s.feeds.list = slices.Delete(s.feeds.list, 0, 1)
		return f, remove(old.feed)
	}
	return f, nil
}

func unique(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// makeFeed makes a feed, which is the caller's.
func (s *session) makeFeed(ctx context.Context, v engine.Variant, columns []string) (engine.Feed, error) {
	v.Logic, v.Keys, v.Key, v.Columns, v.Split, v.Shake = recount.Logic{}, nil, nil, nil, 0, engine.Shake{}
	return s.Feed(ctx, v, engine.FeedQuery{Columns: unique(columns)})
}

// feedName is a digest of what chooses the events of a feed.
func feedName(v engine.Variant, columns []string) ([sha256.Size]byte, error) {
	var ids [][]string // lists of ids do not travel as JSON
	for _, l := range v.Missed {
		ids = append(ids, idsOf(l)...)
	}
	for _, a := range v.Again {
		ids = append(ids, idsOf(a.EventList)...)
	}
	text, err := json.Marshal(struct {
		Columns []string
		V       engine.Variant
		IDs     [][]string
	}{columns, engine.Variant{
		Dedupe: v.Dedupe, Missed: v.Missed, Again: v.Again, Twice: v.Twice, Late: v.Late, Arrival: v.Arrival, See: v.See, Part: v.Part,
		Within: v.Within, Only: v.Only, Probe: v.Probe,
	}, ids})
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("name a feed: %w", err)
	}
	return sha256.Sum256(text), nil
}

func idsOf(l recount.EventList) [][]string {
	list := make([][]string, 2)
	if l.IDs != nil {
		list[0] = append([]string{"ids"}, l.IDs.IDs...)
	}
	if l.Except != nil {
		list[1] = append([]string{"except"}, l.Except.IDs...)
	}
	return list
}

func (f *feeds) close() error {
	var errs []error
	for _, one := range f.list {
		errs = append(errs, remove(one.feed))
	}
	f.list = nil
	return errors.Join(errs...)
}

func remove(f engine.Feed) error {
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
