package files_test

import (
	"path/filepath"
	"strings"
	"testing"

	"recount"
	"recount/adapter"
	"recount/source"
	"recount/source/files"
)

// A delivery of Firehose: objects back to back, two with a line end after them.
const (
	first  = `{"version":"0","id":"6a7e8feb-b491","detail-type":"OrderPaid","source":"shop.orders","time":"2024-06-10T12:00:00Z","detail":{"order":"o1","total":"12.50"}}`
	second = `{"version":"0","id":"6a7e8feb-b492","detail-type":"OrderPaid","source":"shop.orders","time":"2024-06-10T12:00:01Z","detail":{"order":"o2 }{ \"","total":"3.00"}}`
	third  = "{\n  \"id\": \"6a7e8feb-b493\",\n  \"time\": \"2024-06-10T12:00:02Z\",\n  \"detail\": {\"order\": \"o3\"}\n}"
)

func deliveries() recount.Mapping {
	return recount.Mapping{ID: "id", Time: "time", Type: "detail-type", Fields: []recount.Field{
		{Name: "order", Type: recount.Type{Kind: recount.KindString}, Path: "$.detail.order"},
		{Name: "total", Type: recount.Decimal(18, 2), Path: "$.detail.total"},
	}}
}

func openAs(t *testing.T, dir, format string, m recount.Mapping, paths ...string) source.Source {
	t.Helper()
	s, err := files.Open(t.Context(), adapter.Env{Dir: dir, Stream: "orders", Mapping: m, Now: fixedNow}, files.Config{Paths: paths, Format: format})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestObjectsStandOneAfterAnother(t *testing.T) {
	dir := t.TempDir()
	text := first + second + "\n" + third + "\n \n" + first
	names := map[string][]byte{
		"shop-1-2024-06-10-12-00-00-6a7e": []byte(text), "shop-1-2024-06-10-12-01-00-6a7f": pack(t, ".gz", []byte(text)), "shop-1-2024-06-10-12-02-00-6a80.gz": pack(t, ".gz", []byte(text)),
	}
	for name, content := range names {
		write(t, filepath.Join(dir, name), content)
	}
	events, err := read(t, openAs(t, dir, "json", deliveries(), "shop-1-*"), source.Cursor{})
	if err != nil || len(events) != 12 {
		t.Fatalf("got %d events, %v; want 12", len(events), err)
	}
	for i, want := range []string{first, second, third, first, first} {
		if ev := events[i]; string(ev.Data) != want || ev.Fault != "" || ev.ID == "" || ev.Time.IsZero() {
			t.Errorf("event %d: got %+v with %s, want its own bytes and no fault", i, ev, ev.Data)
		}
	}
	if got := events[1]; got.Fields[0] != recount.Text(`o2 }{ "`) || got.Fields[1] != recount.Text("3.00") || got.Type != "OrderPaid" {
		t.Errorf("second event: got %+v", got)
	}
	_, err = read(t, openAs(t, dir, "", deliveries(), "shop-1-*"), source.Cursor{})
	wantCode(t, err, recount.CodeConfig, "set format: csv, json, jsonl, parquet or avro")
}

func TestABrokenObjectCostsItself(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		faults []int
		events int
	}{
		"garbage between":        {first + "oops\n" + second, []int{1}, 3},
		"a value without a name": {first + `{"id":7,12}` + second, []int{1}, 3},
		"a line cut short":       {first[:50] + "\n" + second + "\n" + first, []int{0}, 3},
		"one bracket too many":   {first + "}" + second, []int{1}, 3},
		"an array":               {"[" + first + "," + first + "]", []int{0}, 1},
		"cut at the end":         {first + second[:70], []int{1}, 2},
		"white space alone":      {" \r\n\n", nil, 0},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "e.json"), []byte(c.text))
		events, err := read(t, openAs(t, dir, "", deliveries(), "e.json"), source.Cursor{})
		if err != nil || len(events) != c.events {
			t.Errorf("%s: got %d events, %v; want %d", name, len(events), err, c.events)
			continue
		}
		var faults []int
		for i, ev := range events {
			if ev.Fault != "" {
				faults = append(faults, i)
			}
		}
		if len(faults) != len(c.faults) || len(faults) > 0 && faults[0] != c.faults[0] {
			t.Errorf("%s: got faults at %v, want %v", name, faults, c.faults)
		}
	}
}

func TestAnObjectThatWasCutOffIsNotWrittenOn(t *testing.T) {
	dir := t.TempDir()
	s := openAs(t, dir, "", deliveries(), "e.json")
	name, cursor := filepath.Join(dir, "e.json"), source.Cursor{}
	for _, step := range []struct {
		text   string
		events int
		code   recount.Code
	}{
		{first, 1, ""},
		{first + second, 1, ""},
		{first + second + third[:20], 1, ""},
		{first + second + third, 0, recount.CodeSourceChanged},
	} {
		write(t, name, []byte(step.text))
		events, err := read(t, s, cursor)
		if step.code != "" {
			wantCode(t, err, step.code, "written on since")
		} else if err != nil || len(events) != step.events {
			t.Fatalf("%d bytes: got %d events, %v; want %d", len(step.text), len(events), err, step.events)
		}
	}
}

// The samples are as the tools write them: kcat -J, Connect's JsonConverter with
// schemas.enable, and a file of Firehose with EventBridge's records.
func TestSamplesOfExports(t *testing.T) {
	for _, c := range []struct {
		file, format string
		mapping      recount.Mapping
		events       int
		want         string
	}{
		{"kcat.jsonl", "", recount.Mapping{
			ID: "$.payload.order_id", Time: "$.payload.paid_at", TimeUnit: recount.UnitMS, Key: "key", Partition: "partition", Position: "offset", IngestTime: "ts",
			Fields: []recount.Field{{Name: "amount", Type: recount.Decimal(18, 2), Path: "$.payload.amount"}},
		}, 4, "o-1001 2024-06-10T12:00:03.871Z u17 0 00000000000000090100 19.90"},
		{"connect.json", "", recount.Mapping{
			ID: "$.payload.order_id", Time: "$.payload.paid_at", TimeUnit: recount.UnitMS,
			Fields: []recount.Field{{Name: "amount", Type: recount.Decimal(18, 2), Path: "$.payload.amount"}},
		}, 3, "o-1001 2024-06-10T12:00:03.871Z  connect.json 00000000000000000001 19.90"},
		{"firehose", "json", recount.Mapping{
			ID: "id", Time: "time", Type: "detail-type",
			Fields: []recount.Field{{Name: "amount", Type: recount.Decimal(18, 2), Path: "$.detail.amount"}},
		}, 3, "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa 2024-06-10T12:00:03Z  firehose 00000000000000000001 19.90"},
	} {
		events, err := read(t, openAs(t, "testdata", c.format, c.mapping, c.file), source.Cursor{})
		if err != nil || len(events) != c.events {
			t.Errorf("%s: got %d events, %v; want %d", c.file, len(events), err, c.events)
			continue
		}
		ev := events[0]
		got := strings.Join([]string{ev.ID, recount.FormatTimestamp(ev.Time), string(ev.Key), ev.Partition, ev.Position, ev.Fields[0].Text}, " ")
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.file, got, c.want)
		}
		for i, ev := range events {
			tombstone := strings.Contains(string(ev.Data), `"payload":null`)
			if (ev.Fault != "") != tombstone {
				t.Errorf("%s, event %d: fault %q", c.file, i+1, ev.Fault)
			}
		}
	}
}
