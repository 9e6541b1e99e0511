package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	client "github.com/colinmarc/hdfs/v2"

	"recount"
	"recount/store/remote"
)

const (
	attempts = 5  // of a call
	closings = 30 // of a file: the NameNode may wait for the DataNodes, each time up to 3 seconds
	patience = 15 * time.Second
)

// Put writes a hidden file and renames it.
func (s *Store) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	at := s.path(name)
	switch _, err := s.info(ctx, at); {
	case err == nil:
		return fmt.Errorf("put %q: %w", name, recount.ErrExists)
	case !errors.Is(err, fs.ErrNotExist):
		return s.refused("put", name, err)
	}
	if err := s.ask(ctx, func(c *client.Client) error { return c.MkdirAll(path.Dir(at), 0o755) }); err != nil {
		return s.refused("put", name, err)
	}
	object, err := remote.Fill(ctx, name, write)
	if err != nil {
		return err
	}
	defer object.Close()
	for try := 1; ; try++ {
		err := s.put(ctx, name, object)
		if !notYet(err) || try == closings || !remote.Pause(ctx, try) {
			return err
		}
	}
}

// put writes the object under a name of its own and gives it its name.
func (s *Store) put(ctx context.Context, name string, object *remote.Spool) error {
	token, err := remote.Token()
	if err != nil {
		return err
	}
	unfinished := path.Join(path.Dir(s.path(name)), hidden+token)
	err = s.fill(ctx, unfinished, name, object)
	if err == nil {
		err = s.publish(ctx, unfinished, name)
	}
	if err != nil && !errors.Is(err, recount.ErrUnknown) {
		s.discard(ctx, unfinished)
	}
	return err
}

// notYet says whether the NameNode took no further block, for want of a copy of the
// one before: the client's writer is of no use after that, and the file is written
// anew.
func notYet(err error) bool {
	return err != nil && strings.Contains(err.Error(), "NotReplicatedYetException")
}

// discard removes an unfinished file, also where the put was cancelled. What is
// left where that fails is hidden, and only takes room.
func (s *Store) discard(ctx context.Context, unfinished string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = s.ask(ctx, func(c *client.Client) error { return c.Remove(unfinished) })
}

// fill writes the hidden file; it is closed when the DataNodes have all of it.
func (s *Store) fill(ctx context.Context, unfinished, name string, object *remote.Spool) error {
	var file *client.FileWriter
	err := s.ask(ctx, func(c *client.Client) (err error) {
		file, err = c.CreateFile(unfinished, s.copies, s.block, 0o644)
		return err
	})
	if err != nil {
		return s.refused("put", name, err)
	}
	if _, err = io.Copy(file, object.Section(0, object.Size())); err != nil {
		err = s.refused("put", name, err)
	} else {
		err = ctx.Err()
	}
	if err != nil {
		_ = file.Close() // ends its connection; the file is removed
		return err
	}
	for try := 1; ; try++ {
		err := file.Close()
		if err == nil {
			return ctx.Err()
		}
		if !client.IsErrReplicating(err) || try == closings || !remote.Pause(ctx, try) {
			return s.refused("put", name, err)
		}
	}
}

// publish gives the hidden file its name. Its own name is used by nobody else, so
// that where an answer was lost, its being gone says that the rename was done.
func (s *Store) publish(ctx context.Context, unfinished, name string) error {
	return remote.Put{
		Name: name, Judge: judge,
		Send:    func(ctx context.Context) error { return rename(ctx, dial, s.address, s.user, unfinished, s.path(name)) },
		Explain: func(err error) error { return s.refused("put", name, err) },
		Mine: func(ctx context.Context) (bool, error) {
			switch _, err := s.info(ctx, unfinished); {
			case errors.Is(err, fs.ErrNotExist):
				return true, nil
			case err != nil:
				return false, err
			}
			if _, err := s.info(ctx, s.path(name)); err != nil {
				return false, s.refused("stat", name, err)
			}
			return false, nil
		},
	}.Do(ctx)
}

func judge(err error) remote.Outcome {
	var (
		fault  *remoteError
		unsent *unsentError
	)
	switch {
	case err == nil:
		return remote.Done
	case errors.As(err, &fault) && fault.class == alreadyExists:
		return remote.Taken
	case errors.As(err, &fault) && (fault.class == standby || fault.class == safeMode):
		return remote.Unsent // and it may pass
	case errors.As(err, &fault):
		return remote.Refused
	case errors.As(err, &unsent):
		return remote.Unsent
	}
	return remote.Lost
}
