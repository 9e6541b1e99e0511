package config

import (
	"context"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
)

// fakeValues is what adapters of a bus embed.
type fakeValues struct {
	Envelope string `json:"envelope" doc:"What wraps the fields." default:"none"`
	Registry struct {
		URL      string         `json:"url" doc:"Its address."`
		Password recount.Secret `json:"password" doc:"Its password." secret:"true"`
	} `json:"registry" doc:"The registry."`
}

func (v fakeValues) Completes() bool { return v.Envelope != "none" }

func (v fakeValues) Complete(m *recount.Mapping) {
	if v.Completes() && m.Time == "" {
		m.Time = "envelope:time"
	}
}

type fakeBus struct {
	Topic string `json:"topic" doc:"The topic."`
	fakeValues
}

func buses(t testing.TB) *adapter.Registry {
	t.Helper()
	reg := fakes(t)
	if err := reg.Add(adapter.Declare(adapter.Source, "bus", "A bus.", func(context.Context, adapter.Env, fakeBus) (any, error) { return nil, nil })); err != nil {
		t.Fatal(err)
	}
	return reg
}

const ofBus = "version: 1\narchive: archive\nsources:\n  orders:\n    bus: {topic: orders"

func TestKeysOfAnEmbeddedStructAreTheBlocksOwn(t *testing.T) {
	spec, _ := buses(t).Lookup(adapter.Source, "bus")
	var names []string
	for _, k := range spec.Keys() {
		names = append(names, k.Name)
	}
	if got := strings.Join(names, " "); got != "topic envelope registry" {
		t.Errorf("got the keys %s", got)
	}
	dir := project(t, ofBus+", registry: {url: http://r, password: env:BAD}}\n    event: {time: at}\n")
	p, err := Load(dir, buses(t), env)
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := p.Resolve(p.Sources["orders"].Config)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := resolved.(*fakeBus)
	if !ok || c.Envelope != "none" || c.Registry.URL != "http://r" || c.Registry.Password.Reveal() != "hunter2" {
		t.Errorf("got %+v", resolved)
	}
}

func TestAnEnvelopeStandsForTheEvent(t *testing.T) {
	for text, want := range map[string]string{
		", envelope: cloudevents}\n":                               "envelope:time",
		", envelope: cloudevents}\n    event: {id: $.id}\n":        "envelope:time",
		", envelope: cloudevents}\n    event: {time: $.made_at}\n": "$.made_at",
		"}\n    event: {time: at}\n":                               "at",
		"}\n":                                                      "sources.orders.event is missing",
		"}\n    event: {id: $.id}\n":                               "sources.orders.event.time is missing",
		"}\n    evnt: {time: at}\n":                                `did you mean "event"?`,
	} {
		p, err := Load(project(t, ofBus+text), buses(t), env)
		switch {
		case err == nil && p.Sources["orders"].Mapping.Time != want:
			t.Errorf("%q: got the time %q, want %q", text, p.Sources["orders"].Mapping.Time, want)
		case err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(want, "mean") && strings.Contains(err.Error(), "missing")):
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
