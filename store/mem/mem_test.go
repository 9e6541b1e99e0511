package mem_test

import (
	"testing"

	"recount/store"
	"recount/store/mem"
	"recount/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(*testing.T) (store.Store, func() store.Store) {
		s := &mem.Store{}
		return s, func() store.Store { return s }
	})
}
