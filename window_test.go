package recount_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
)

var zoneNames = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Beirut",
	"Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Atlantic/Azores", "America/St_Johns", "Asia/Amman",
}

func zone(t interface{ Fatal(...any) }, name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func instant(t interface{ Fatal(...any) }, text string) time.Time {
	at, err := recount.ParseTimestamp(text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWindow(t *testing.T) {
	w := recount.Window{From: instant(t, "2024-06-10T12:00:00Z"), To: instant(t, "2024-06-10T12:30:00Z")}
	for text, inside := range map[string]bool{
		"2024-06-10T11:59:59.999999Z": false, "2024-06-10T12:00:00Z": true, "2024-06-10T12:29:59.999999Z": true, "2024-06-10T12:30:00Z": false,
	} {
		if got := w.Contains(instant(t, text)); got != inside {
			t.Errorf("contains %s: got %v, want %v", text, got, inside)
		}
	}
	for _, c := range []struct {
		first, last string
		want        bool
	}{
		{"2024-06-10T11:00:00Z", "2024-06-10T11:59:59Z", false},
		{"2024-06-10T11:00:00Z", "2024-06-10T12:00:00Z", true},
		{"2024-06-10T12:30:00Z", "2024-06-10T13:00:00Z", false},
		{"2024-06-10T12:29:00Z", "2024-06-10T13:00:00Z", true},
		{"2024-06-10T11:00:00Z", "2024-06-10T13:00:00Z", true},
	} {
		if got := w.Overlaps(instant(t, c.first), instant(t, c.last)); got != c.want {
			t.Errorf("overlaps [%s, %s]: got %v, want %v", c.first, c.last, got, c.want)
		}
	}
	if got, want := w.String(), "[2024-06-10T12:00:00Z, 2024-06-10T12:30:00Z)"; got != want || w.Length() != 30*time.Minute {
		t.Errorf("got %s of %v, want %s", got, w.Length(), want)
	}
}

func TestWiden(t *testing.T) {
	for _, c := range []struct {
		name, zone   string
		size         time.Duration
		from, to     string
		wFrom, wantT string
	}{
		{"no buckets", "UTC", 0, "2024-06-10T12:05:00Z", "2024-06-10T12:25:00Z", "2024-06-10T12:05:00Z", "2024-06-10T12:25:00Z"},
		{"hours", "UTC", time.Hour, "2024-06-10T12:05:00Z", "2024-06-10T13:25:00Z", "2024-06-10T12:00:00Z", "2024-06-10T14:00:00Z"},
		{"whole already", "UTC", time.Hour, "2024-06-10T12:00:00Z", "2024-06-10T13:00:00Z", "2024-06-10T12:00:00Z", "2024-06-10T13:00:00Z"},
		{"hours of a zone off by half", "Asia/Kolkata", time.Hour, "2024-06-10T12:05:00Z", "2024-06-10T12:25:00Z", "2024-06-10T11:30:00Z", "2024-06-10T12:30:00Z"},
		{"a day of 23 hours", "Europe/Berlin", 24 * time.Hour, "2024-03-31T10:00:00Z", "2024-03-31T11:00:00Z", "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"},
		{"a day of 25 hours", "Europe/Berlin", 24 * time.Hour, "2024-10-27T10:00:00Z", "2024-10-27T11:00:00Z", "2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"},
		{"a day that starts at one", "America/Sao_Paulo", 24 * time.Hour, "2018-11-04T10:00:00Z", "2018-11-04T11:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"the day before it", "America/Sao_Paulo", 24 * time.Hour, "2018-11-03T10:00:00Z", "2018-11-03T11:00:00Z", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
		{"a day with midnight twice", "America/Havana", 24 * time.Hour, "2024-11-03T04:30:00Z", "2024-11-03T05:30:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		{"a day that began twice", "America/St_Johns", 24 * time.Hour, "1988-10-30T01:40:00Z", "1988-10-30T01:41:00Z", "1988-10-30T01:30:00Z", "1988-10-31T03:30:00Z"},
		{"weeks begin with the epoch's Thursday", "UTC", 7 * 24 * time.Hour, "2024-06-10T12:00:00Z", "2024-06-10T12:00:01Z", "2024-06-06T00:00:00Z", "2024-06-13T00:00:00Z"},
		{"before 1970", "UTC", 48 * time.Hour, "1969-12-31T12:00:00Z", "1969-12-31T13:00:00Z", "1969-12-30T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"quarters around the gap", "Europe/Berlin", 15 * time.Minute, "2024-03-31T00:50:00Z", "2024-03-31T01:05:00Z", "2024-03-31T00:45:00Z", "2024-03-31T01:15:00Z"},
		{"six hours on a short day", "Europe/Berlin", 6 * time.Hour, "2024-03-31T20:00:00Z", "2024-03-31T20:01:00Z", "2024-03-31T17:00:00Z", "2024-03-31T22:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := recount.Bucket{Size: c.size, Zone: zone(t, c.zone)}
			got := b.Widen(recount.Window{From: instant(t, c.from), To: instant(t, c.to)})
			if !got.From.Equal(instant(t, c.wFrom)) || !got.To.Equal(instant(t, c.wantT)) {
				t.Errorf("got %s, want [%s, %s)", got, c.wFrom, c.wantT)
			}
		})
	}
}

// Buckets tile the time: each instant lies in one, and each ends where the next
// starts.
func TestBucketsTile(t *testing.T) {
	sizes := []time.Duration{time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 7 * time.Hour, 24 * time.Hour, 48 * time.Hour, 168 * time.Hour}
	zones := map[string]*time.Location{}
	for _, name := range zoneNames {
		zones[name] = zone(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		z := zones[rapid.SampledFrom(zoneNames).Draw(t, "zone")]
		b := recount.Bucket{Size: rapid.SampledFrom(sizes).Draw(t, "size"), Zone: z}
		at := time.UnixMicro(rapid.Int64Range(-1e15, 2.5e15).Draw(t, "at")).UTC()
		if rapid.Bool().Draw(t, "near a change of the clock") {
			if _, end := at.In(z).ZoneBounds(); !end.IsZero() {
				at = end.Add(time.Duration(rapid.Int64Range(-int64(26*time.Hour), int64(26*time.Hour)).Draw(t, "off"))).UTC()
			}
		}
		start := b.Floor(at)
		end := b.Next(start)
		if start.After(at) || !end.After(at) {
			t.Fatalf("%v lies not in [%v, %v)", at, start, end)
		}
		if !b.Floor(start).Equal(start) || !b.Floor(end).Equal(end) || !b.Floor(end.Add(-time.Microsecond)).Equal(start) {
			t.Fatalf("bucket [%v, %v): its start floors to %v, its end to %v, its last instant to %v", start, end, b.Floor(start), b.Floor(end), b.Floor(end.Add(-time.Microsecond)))
		}
		w := b.Widen(recount.Window{From: at, To: at.Add(time.Second)})
		if again := b.Widen(w); !again.From.Equal(w.From) || !again.To.Equal(w.To) {
			t.Fatalf("widened twice: got %s, want %s", again, w)
		}
	})
}

func TestBucketShowsItsSizeAsConfigured(t *testing.T) {
	for want, size := range map[string]time.Duration{
		"none": 0, "10m": 10 * time.Minute, "1h": time.Hour, "24h": 24 * time.Hour, "1h30m": 90 * time.Minute, "90s": 90 * time.Second,
	} {
		got := recount.Bucket{Size: size}.String()
		if parsed, err := time.ParseDuration(got); got != want && (err != nil || parsed != size) {
			t.Errorf("%v: got %s, want %s", size, got, want)
		}
	}
}
