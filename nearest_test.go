package recount

import "testing"

func TestNearestFindsTheNameThatWasMeant(t *testing.T) {
	among := []string{"paths", "format", "quarantine", "lateness", "timezone"}
	for name, want := range map[string]string{
		"path": "paths", "pathss": "paths", "Paths": "paths", "fromat": "format", "latenes": "lateness",
		"time-zone": "timezone", "kafka": "", "": "", "x": "", "zone": "",
	} {
		if got := Nearest(name, among); got != want {
			t.Errorf("nearest to %q: got %q, want %q", name, got, want)
		}
	}
}
