package main

import (
	"testing"
)

func TestTry(t *testing.T) {
	for n := range 4 {
		g := newGame(draw(1, n), &planted{})
		g.say = t.Logf
		got, err := g.play(t.Context())
		t.Logf("%d: %+v %v", n, got, err)
	}
}
