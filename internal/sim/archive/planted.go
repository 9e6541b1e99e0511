package main

import (
	"recount/internal/sim/archive/fakebus"
	"recount/internal/sim/archive/fakefs"
	"recount/internal/sim/archive/fakestore"
	"recount/source"
	"recount/store"
)

// planted is a fault that the simulator must find: it bends the file system, the
// object store, or a port between them and the archiver.
type planted struct {
	name    string
	disk    func(fakefs.Op) fakefs.Verdict
	objects func(fakestore.Op) fakestore.Verdict
	store   func(store.Store, *fakebus.Consumer) store.Store
	source  func(*fakebus.Consumer) source.Source
}

// real says that a fault is planted.
func (p *planted) real() bool { return p.name != "" }
