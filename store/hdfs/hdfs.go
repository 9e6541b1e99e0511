// Package hdfs keeps the archive in a folder of a Hadoop file system. An object
// is written to a hidden file and renamed to its name when it is whole; the
// NameNode refuses the rename where the name is taken. Clusters that demand
// Kerberos are not supported, and said so.
package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path"
	"strings"
	"sync"

	client "github.com/colinmarc/hdfs/v2"

	"recount"
	"recount/adapter"
	"recount/store"
	"recount/store/remote"
)

const (
	scheme = "hdfs"
	port   = "8020" // of a NameNode, unless the URL names one
	// hidden begins the names of unfinished objects. No object's name has a part
	// that begins so.
	hidden = ".tmp-"
)

func init() {
	adapter.Register(adapter.Declare(adapter.Store, scheme, "The archive lies in a folder of a Hadoop file system (HDFS).",
		func(_ context.Context, _ adapter.Env, c Config) (store.Store, error) { return Open(c.URL) }))
}

// Config is the block `hdfs`.
type Config struct {
	URL string `json:"url" doc:"Where the archive lies: hdfs://namenode:8020/folder, with user or datanode_hostname after a question mark."`
}

// Store is a folder of a cluster. It is safe for concurrent use.
type Store struct {
	url     remote.URL
	address string // of the NameNode
	user    string
	byName  bool // reach DataNodes by their names

	mu     sync.Mutex
	client *client.Client // nil until it is needed, and after it broke
	block  int64          // bytes of a block
	copies int            // of each block
}

// Open returns the store of a URL. It asks nobody: what is wrong with the cluster
// shows with the first call.
func Open(text string) (*Store, error) {
	u, err := remote.Parse(text, scheme, "user", "datanode_hostname")
	if err != nil {
		return nil, err
	}
	byName, err := u.Bool("datanode_hostname", false)
	if err != nil {
		return nil, err
	}
	s := &Store{url: u, address: u.Host, user: u.Get("user"), byName: byName}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		s.address = net.JoinHostPort(strings.Trim(u.Host, "[]"), port)
	}
	if s.user == "" {
		s.user = os.Getenv("HADOOP_USER_NAME")
	}
	if s.user == "" {
		me, err := user.Current()
		if err != nil {
			return nil, &recount.Error{
				Code: recount.CodeConfig, What: "the HDFS user is not known", Where: "archive: " + u.String(), Why: err.Error(), Err: err,
				Next: "write archive: " + u.String() + "?user=… in recount.yaml, or set HADOOP_USER_NAME",
			}
		}
		s.user = me.Username
	}
	return s, nil
}

// Place returns the cluster and folder.
func (s *Store) Place() string { return s.url.String() }

func (s *Store) path(name string) string { return path.Join("/", s.url.Prefix, name) }

func checkName(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if strings.HasPrefix(name, hidden) || strings.Contains(name, "/"+hidden) {
		return &recount.Error{
			Code: recount.CodeStorage, What: "an object's name is not allowed", Where: name,
			Why:  fmt.Sprintf("names that begin with %s are of unfinished objects", hidden),
			Next: "rename the stream or file that the name was made from",
		}
	}
	if strings.Contains(name, ":") {
		return &recount.Error{
			Code: recount.CodeStorage, What: "an object's name is not allowed", Where: name,
			Why: "HDFS takes no name with a colon", Next: "rename the stream or file that the name was made from",
		}
	}
	return nil
}

// connected returns the client, which is made when it is first needed.
func (s *Store) connected() (*client.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	c, err := client.NewClient(client.ClientOptions{
		Addresses: []string{s.address}, User: s.user, UseDatanodeHostname: s.byName, NamenodeDialFunc: dial, DatanodeDialFunc: dial,
	})
	if err != nil {
		return nil, err
	}
	defaults, err := c.ServerDefaults()
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	s.client, s.block, s.copies = c, defaults.BlockSize, defaults.Replication
	return c, nil
}

// drop gives up a client whose connection broke; the next call makes a new one.
func (s *Store) drop(broken *client.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == broken {
		s.client = nil
		_ = broken.Close()
	}
}

// ask makes a call that may be made twice, again where the connection broke.
func (s *Store) ask(ctx context.Context, act func(c *client.Client) error) error {
	var last error
	for try := range attempts {
		if try > 0 && !remote.Pause(ctx, try) {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := s.connected()
		if err == nil {
			err = act(c)
			if err != nil && isBroken(err) {
				s.drop(c)
			}
		}
		if err == nil || !isBroken(err) {
			return err
		}
		last = err
	}
	return errors.Join(ctx.Err(), last)
}

// info describes a file; fs.ErrNotExist where there is none, or a folder.
func (s *Store) info(ctx context.Context, at string) (info fs.FileInfo, err error) {
	err = s.ask(ctx, func(c *client.Client) error {
		info, err = c.Stat(at)
		return err
	})
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	return info, err
}

// Stat returns the size of an object.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	info, err := s.info(ctx, s.path(name))
	if err != nil {
		return 0, s.refused("stat", name, err)
	}
	return info.Size(), nil
}

// Delete removes an object.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	at := s.path(name)
	_, err := s.info(ctx, at) // a folder is no object
	if err == nil {
		err = s.ask(ctx, func(c *client.Client) error { return c.Remove(at) })
	}
	if err = s.refused("delete", name, err); errors.Is(err, recount.ErrNotFound) {
		return nil
	}
	return err
}

// Lock is not supported: HDFS has no lock that ends with its process. Two
// archivers are kept apart by their commits, which are put only if absent.
func (s *Store) Lock(_ context.Context, name string) (func() error, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("lock %q: %w", name, recount.ErrUnsupported)
}
