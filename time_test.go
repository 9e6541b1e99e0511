package recount_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"recount"
)

func TestParseLocal(t *testing.T) {
	for _, c := range []struct {
		text, zone string
		want       string // empty: an error
	}{
		{"2024-06-10T12:00:00Z", "", "2024-06-10T12:00:00Z"},
		{"2024-06-10T12:00:00.5+05:30", "", "2024-06-10T06:30:00.5Z"},
		{"2024-06-10T12:00:00-00:30", "UTC", "2024-06-10T12:30:00Z"},
		{"2024-06-10 12:00:00+02", "", "2024-06-10T10:00:00Z"},
		{"2024-06-10 12:00:00+0200", "", "2024-06-10T10:00:00Z"},
		{"2024-06-10T12:00:00+0200", "", "2024-06-10T10:00:00Z"},
		{" 2024-06-10 12:00:00 ", "UTC", "2024-06-10T12:00:00Z"},
		{"2024-06-10 12:00:00", "", ""},
		{"2024-06-10 12:00:00", "Europe/Berlin", "2024-06-10T10:00:00Z"},
		{"2024-06-10T12:00:00.053", "Asia/Kathmandu", "2024-06-10T06:15:00.053Z"},
		{"2024-06-10 12:00", "UTC", "2024-06-10T12:00:00Z"},
		{"2024-06-10", "UTC", "2024-06-10T00:00:00Z"},
		{"2024-06-10 12:00:00.123456789", "UTC", "2024-06-10T12:00:00.123456Z"},
		{"2024-06-10 12:00:00.1234567891", "UTC", "2024-06-10T12:00:00.123456Z"},
		{"2024-06-10 12:00:00.", "UTC", ""},
		{"2024-06-10 12:00:00z", "UTC", ""},
		{"2024-06-10 24:00:00", "UTC", ""},
		{"2024-06-10 12:60:00", "UTC", ""},
		{"2024-06-10 12:00:60", "UTC", ""},
		{"2024-06-31 12:00:00", "UTC", ""},
		{"2023-02-29 12:00:00", "UTC", ""},
		{"2000-02-29 12:00:00", "UTC", "2000-02-29T12:00:00Z"},
		{"1900-02-29 12:00:00", "UTC", ""},
		{"2024-00-10 12:00:00", "UTC", ""},
		{"2024-06-00 12:00:00", "UTC", ""},
		{"2024-06-10T12:00:00+25:00", "UTC", ""},
		{"2024-06-10T12:00:00+02:60", "UTC", "2024-06-10T09:00:00Z"}, // as Go's layouts read it
		{"20240610", "UTC", ""},
		{"", "UTC", ""},
		{"soon", "UTC", ""},
	} {
		var z *time.Location
		if c.zone != "" {
			z = zone(t, c.zone)
		}
		got, err := recount.ParseLocal(c.text, z)
		if (err == nil) != (c.want != "") || err == nil && recount.FormatTimestamp(got) != c.want {
			t.Errorf("%q in %q: got %v, %v; want %q", c.text, c.zone, got, err, c.want)
		}
		if err == nil && got.Location() != time.UTC {
			t.Errorf("%q: got an instant in %v, want UTC", c.text, got.Location())
		}
	}
}

func TestLocalTimesThatAreNone(t *testing.T) {
	for _, c := range []struct{ text, zone, says string }{
		{"2024-03-31 02:30:00", "Europe/Berlin", "2024-03-31 02:30:00 does not exist in Europe/Berlin"},
		{"2024-03-31 02:00:00", "Europe/Berlin", "does not exist"},
		{"2024-10-27 02:30:00.5", "Europe/Berlin", "stands twice in Europe/Berlin, as 2024-10-27T02:30:00+02:00 and as 2024-10-27T02:30:00+01:00"},
		{"2018-11-04 00:00:00", "America/Sao_Paulo", "does not exist"},
		{"2011-12-30 12:00:00", "Pacific/Apia", "does not exist"},
		{"2024-04-07 01:45:00", "Australia/Lord_Howe", "stands twice"},
		{"1883-11-18 12:00:00", "America/New_York", "stands twice"},
	} {
		_, err := recount.ParseLocal(c.text, zone(t, c.zone))
		var local *recount.LocalTimeError
		if !errors.As(err, &local) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s in %s: got %v, want %q", c.text, c.zone, err, c.says)
		}
	}
	for text, want := range map[string]string{"2024-03-31 01:59:59": "2024-03-31T00:59:59Z", "2024-03-31 03:00:00": "2024-03-31T01:00:00Z", "2024-10-27 03:00:00": "2024-10-27T02:00:00Z"} {
		got, err := recount.ParseLocal(text, zone(t, "Europe/Berlin"))
		if err != nil || recount.FormatTimestamp(got) != want {
			t.Errorf("%s beside the change of the clock: got %v, %v; want %s", text, got, err, want)
		}
	}
}

// Whatever a clock shows leads back to the instant at which it showed it, or to
// two of which one is it.
func TestLocalInvertsIn(t *testing.T) {
	zones := map[string]*time.Location{}
	for _, name := range zoneNames {
		zones[name] = zone(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		z := zones[rapid.SampledFrom(zoneNames).Draw(t, "zone")]
		at := time.UnixMicro(rapid.Int64Range(-1e15, 2.5e15).Draw(t, "at")).UTC()
		if rapid.Bool().Draw(t, "near a change of the clock") {
			if _, end := at.In(z).ZoneBounds(); !end.IsZero() {
				at = end.Add(time.Duration(rapid.Int64Range(-int64(3*time.Hour), int64(3*time.Hour)).Draw(t, "off")).Truncate(time.Microsecond)).UTC()
			}
		}
		text := at.In(z).Format("2006-01-02 15:04:05.999999")
		got, err := recount.ParseLocal(text, z)
		if local, ok := errors.AsType[*recount.LocalTimeError](err); ok {
			if len(local.Times) != 2 || !local.Times[0].Equal(at) && !local.Times[1].Equal(at) || !local.Times[0].Before(local.Times[1]) {
				t.Fatalf("%s in %s: got %v, want %v among two in order", text, z, local.Times, at)
			}
			return
		}
		if err != nil || !got.Equal(at) {
			t.Fatalf("%s in %s: got %v, %v; want %v", text, z, got, err, at)
		}
	})
}

// slowly reads as the layouts do, without the way for plain spellings.
func slowly(text string, z *time.Location) (time.Time, bool) {
	s := strings.TrimSpace(text)
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07", "2006-01-02T15:04:05.999999999-0700", "2006-01-02 15:04:05.999999999-0700",
	} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, true
		}
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if wall, err := time.Parse(layout, s); err == nil && z != nil {
			at, err := recount.Local(wall, z)
			return at, err == nil
		}
	}
	return time.Time{}, false
}

func FuzzParseLocal(f *testing.F) {
	for _, text := range []string{
		"2024-06-10 12:09:24.053", "2024-06-10T12:09:24Z", "2024-06-10T12:09:24.123456789+05:30", "2024-06-10 12:09:24+00", "2024-06-10", "2024-03-31 02:30:00",
		"2024-02-30 00:00:00", "9999-12-31 23:59:59.999999999", "0000-01-01 00:00:00", "2024-06-10 12:09:24,5", "2024-06-10T12:09:24+23:59", "2024-06-10T1:09:24Z",
	} {
		f.Add(text)
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, text string) {
		for _, z := range []*time.Location{nil, time.UTC, berlin} {
			got, err := recount.ParseLocal(text, z)
			want, ok := slowly(text, z)
			if (err == nil) != ok || ok && !got.Equal(want) {
				t.Fatalf("%q in %v: got %v, %v; the layouts give %v, %v", text, z, got, err, want, ok)
			}
		}
		at, err := recount.ParseTimestamp(text)
		if err != nil || at.Year() < 0 || at.Year() > 9999 {
			return
		}
		canonical := recount.FormatTimestamp(at)
		if again, err := recount.ParseTimestamp(canonical); err != nil || !again.Equal(at.Truncate(time.Microsecond)) {
			t.Fatalf("%q: %s is read as %v, %v", text, canonical, again, err)
		}
	})
}

func BenchmarkParseLocal(b *testing.B) {
	for name, z := range map[string]*time.Location{"UTC": time.UTC, "Europe/Berlin": zone(b, "Europe/Berlin")} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := recount.ParseLocal("2024-06-10 12:09:24.053", z); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
