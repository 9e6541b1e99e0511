// Package fakefs is a file system that loses what was not synced. It keeps two
// states: what a running program sees, and what a power cut would leave of it,
// by file and by name in a folder. It stands below store/disk.
package fakefs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"recount/store/disk"
)

// The operations.
const (
	Stat     = "stat"
	OpenRoot = "openroot"
	Mkdir    = "mkdir"
	Open     = "open"
	Create   = "create"
	Read     = "read"
	ReadDir  = "readdir"
	Write    = "write"
	Truncate = "truncate"
	Sync     = "sync"
	SyncDir  = "syncdir"
	Link     = "link"
	Remove   = "remove"
	Lock     = "lock"
)

// Op is one operation. Changes says that it alters what a crash would leave.
type Op struct {
	Kind    string
	Path    string
	Changes bool
}

// Verdict says what becomes of an operation; the zero value lets it through.
type Verdict struct {
	Err     error // it fails with this; a write does half of its work before
	Skip    bool  // it is said to be done, and is not
	Replace bool  // a link replaces what has the name
}

// System is a file system. It is safe for concurrent use.
type System struct {
	// Hook is asked before each operation, while nothing of the system is locked: it
	// may take an image, or block. It is set before the system is used.
	Hook func(Op) Verdict

	*state
}

// state is what several views of a system share.
type state struct {
	noLocks bool

	mu    sync.Mutex
	root  *node
	bad   []string
	nodes int // that were made by now
}

// node is a file or folder. Contents are never altered in place, so that images
// share them.
type node struct {
	serial          int
	dir             bool
	data, synced    []byte
	entries, stable map[string]*node
	names           int
	holder          *file
	unsynced        bool // a sync failed: what the file holds is not known any more
}

func newDir(serial int) *node {
	return &node{serial: serial, dir: true, entries: map[string]*node{}, stable: map[string]*node{}, names: 1}
}

// fresh numbers a new node.
func (s *state) fresh() int {
	s.nodes++
	return s.nodes
}

// inOrder returns names in an order that each play of a scenario has: names of the
// store's own are random, and come as they were made.
func inOrder(names map[string]*node) []string {
	made := func(name string) int {
		if n := names[name]; n != nil && strings.HasPrefix(name, ".") {
			return n.serial
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(names), func(a, b string) int {
		if order := cmp.Compare(made(a), made(b)); order != 0 {
			return order
		}
		return cmp.Compare(a, b)
	})
}

// New returns an empty file system. Without locks every lock succeeds, as it may
// over a network.
func New(locks bool) *System { return &System{state: &state{root: newDir(0), noLocks: !locks}} }

// View is the same file system as another process sees it, with a hook of its
// own.
func (s *System) View() *System { return &System{state: s.state} }

// Mode says what a crash leaves of what was not synced.
type Mode int

// The modes.
const (
	All  Mode = iota // all is there, and still not synced: the process alone was killed
	None             // nothing is: the power was cut
	Some             // each name, and each file or a part of it, by chance: it was cut a little later
)

// String names the mode.
func (m Mode) String() string { return [...]string{"all", "none", "some"}[m] }

// Image returns what a crash at this moment leaves, with no lock held.
func (s *System) Image(mode Mode, rng *rand.Rand) *System {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := copier{mode: mode, rng: rng, done: map[*node]*node{}}
	return &System{state: &state{root: c.copy(s.root), noLocks: s.noLocks, bad: slices.Clone(s.bad), nodes: s.nodes}}
}

type copier struct {
	mode Mode
	rng  *rand.Rand
	done map[*node]*node
}

func (c *copier) copy(n *node) *node {
	if made := c.done[n]; made != nil {
		return made
	}
	made := &node{serial: n.serial, dir: n.dir}
	c.done[n] = made
	if !n.dir {
		made.data = c.content(n)
		made.synced = made.data
		if c.mode == All { // what was not synced still is not
			made.synced, made.unsynced = n.synced, n.unsynced
		}
		return made
	}
	made.entries = c.folder(c.names(n))
	for _, child := range made.entries {
		child.names++
	}
	made.stable = maps.Clone(made.entries)
	if c.mode == All {
		made.stable = c.folder(n.stable)
	}
	return made
}

func (c *copier) folder(names map[string]*node) map[string]*node {
	made := map[string]*node{}
	for _, name := range inOrder(names) {
		made[name] = c.copy(names[name])
	}
	return made
}

// names are the entries of a folder that the crash leaves.
func (c *copier) names(n *node) map[string]*node {
	switch c.mode {
	case All:
		return n.entries
	case None:
		return n.stable
	case Some:
	}
	left := map[string]*node{}
	all := maps.Clone(n.stable)
	maps.Copy(all, n.entries)
	for _, name := range inOrder(all) {
		now, stable := n.entries[name], n.stable[name]
		pick := now
		if now != stable && c.rng.IntN(2) == 0 {
			pick = stable
		}
		if pick != nil {
			left[name] = pick
		}
	}
	return left
}

func (c *copier) content(n *node) []byte {
	switch {
	case c.mode == All || bytes.Equal(n.data, n.synced):
		return n.data
	case c.mode == None:
		return n.synced
	}
	if !bytes.HasPrefix(n.data, n.synced) {
		if c.rng.IntN(2) == 0 {
			return n.data
		}
		return n.synced
	}
	fresh := n.data[len(n.synced):]
	torn := append([]byte(nil), n.data[:len(n.synced)+c.rng.IntN(len(fresh)+1)]...)
	switch c.rng.IntN(4) {
	case 0:
		return n.data
	case 1:
		return n.synced
	case 2: // the length is there, the blocks are not
		return append(torn, make([]byte, len(n.data)-len(torn))...)
	}
	return torn
}

// Files returns all files by path, without those of the store's own.
func (s *System) Files() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string][]byte{}
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		for name, child := range n.entries {
			switch {
			case child.dir:
				walk(at+name+"/", child)
			case !strings.HasPrefix(name, "."):
				files[at+name] = child.data
			}
		}
	}
	walk("/", s.root)
	return files
}

// Bad lists files that were published though their sync had failed.
func (s *System) Bad() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bad)
}

func (s *System) ask(kind, name string, changes bool) Verdict {
	if s.Hook == nil {
		return Verdict{}
	}
	return s.Hook(Op{Kind: kind, Path: name, Changes: changes})
}

func failed(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// find returns a node by its absolute path.
func (s *System) find(name string) (*node, error) {
	n := s.root
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		if part == "" {
			continue
		}
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		if n = n.entries[part]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// parent returns the folder in which a name stands.
func (s *System) parent(name string) (*node, error) {
	n, err := s.find(path.Dir(name))
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	return n, err
}

// Stat tells of a file.
func (s *System) Stat(name string) (fs.FileInfo, error) {
	if v := s.ask(Stat, name, false); v.Err != nil {
		return nil, failed("stat", name, v.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(name)
	if err != nil {
		return nil, failed("stat", name, err)
	}
	return infoOf(name, n), nil
}

// Mkdir makes a folder.
func (s *System) Mkdir(name string, _ fs.FileMode) error {
	v := s.ask(Mkdir, name, true)
	if v.Err != nil {
		return failed("mkdir", name, v.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.parent(name)
	if err == nil && dir.entries[path.Base(name)] != nil {
		err = syscall.EEXIST
	}
	if err != nil {
		return failed("mkdir", name, err)
	}
	dir.entries[path.Base(name)] = newDir(s.fresh())
	return nil
}

// OpenRoot opens a folder.
func (s *System) OpenRoot(name string) (disk.Folder, error) {
	if v := s.ask(OpenRoot, name, false); v.Err != nil {
		return nil, failed("open", name, v.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, failed("open", name, err)
	}
	return folder{s, name}, nil
}

type folder struct {
	system *System
	at     string
}

func (f folder) path(name string) string                   { return path.Join(f.at, name) }
func (f folder) Stat(name string) (fs.FileInfo, error)     { return f.system.Stat(f.path(name)) }
func (f folder) Lstat(name string) (fs.FileInfo, error)    { return f.system.Stat(f.path(name)) }
func (f folder) Mkdir(name string, perm fs.FileMode) error { return f.system.Mkdir(f.path(name), perm) }
func (f folder) Link(name, second string) error            { return f.system.link(f.path(name), f.path(second)) }
func (f folder) Remove(name string) error                  { return f.system.remove(f.path(name)) }
func (f folder) Close() error                              { return nil }
func (f folder) OpenFile(name string, flag int, _ fs.FileMode) (disk.File, error) {
	return f.system.openFile(f.path(name), flag)
}

func (s *System) openFile(name string, flag int) (disk.File, error) {
	kind := Open
	if flag&os.O_CREATE != 0 {
		kind = Create
	}
	if v := s.ask(kind, name, kind == Create); v.Err != nil {
		return nil, failed("open", name, v.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(name)
	switch {
	case err == nil && flag&os.O_EXCL != 0:
		return nil, failed("open", name, syscall.EEXIST)
	case err == nil:
		return &file{system: s, name: name, node: n}, nil
	case kind != Create || !errors.Is(err, syscall.ENOENT):
		return nil, failed("open", name, err)
	}
	dir, err := s.parent(name)
	if err != nil {
		return nil, failed("open", name, err)
	}
	n = &node{serial: s.fresh(), names: 1}
	dir.entries[path.Base(name)] = n
	return &file{system: s, name: name, node: n}, nil
}

func (s *System) link(name, second string) error {
	v := s.ask(Link, second, true)
	if v.Err != nil {
		return failed("link", second, v.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find(name)
	if err != nil {
		return failed("link", name, err)
	}
	dir, err := s.parent(second)
	if err != nil {
		return failed("link", second, err)
	}
	base := path.Base(second)
	if taken := dir.entries[base]; taken != nil {
		if !v.Replace {
			return failed("link", second, syscall.EEXIST)
		}
		taken.names--
	}
	if n.unsynced {
		s.bad = append(s.bad, fmt.Sprintf("%s was published after its sync had failed", second))
	}
	dir.entries[base] = n
	n.names++
	return nil
}

func (s *System) remove(name string) error {
	v := s.ask(Remove, name, true)
	if v.Err != nil {
		return failed("remove", name, v.Err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, err := s.parent(name)
	if err != nil {
		return failed("remove", name, err)
	}
	n := dir.entries[path.Base(name)]
	if n == nil {
		return failed("remove", name, syscall.ENOENT)
	}
	if n.dir && len(n.entries) > 0 {
		return failed("remove", name, syscall.ENOTEMPTY)
	}
	n.names--
	delete(dir.entries, path.Base(name))
	return nil
}
