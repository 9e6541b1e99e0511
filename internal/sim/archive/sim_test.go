package main

import (
	"testing"
)

func TestTry(t *testing.T) {
	var sum tally
	for n := range 2 {
		g := newGame(draw(3, n), &planted{})
		g.say = t.Logf
		got, err := g.play(t.Context())
		t.Logf("%d: %+v %v", n, got, err)
		sum.add(got)
	}
	t.Logf("%+v", sum)
}
func TestPlant(t *testing.T) {
	for i := range faults {
		found, by, err := faults[i].caught(t.Context(), 1, 40)
		t.Logf("%v %s: %+v %v", found, faults[i].name, by, err)
	}
}
