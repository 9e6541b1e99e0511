package record_test

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/sr"

	"recount"
	"recount/source"
	"recount/source/record"
)

// registry is a schema registry as the Confluent one answers.
type registry struct {
	*httptest.Server

	mu       sync.Mutex
	schemas  map[int]map[string]any
	subjects map[string]int // subject/version → id
	asked    []string
	down     bool
	user     string
}

func newRegistry(t testing.TB) *registry {
	r := &registry{schemas: map[int]map[string]any{}, subjects: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(r.answer))
	t.Cleanup(r.Close)
	return r
}

func (r *registry) answer(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q.URL.Path)
	if user, _, _ := q.BasicAuth(); user != r.user {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var id, version int
	var subject string
	if n, _ := fmt.Sscanf(q.URL.Path, "/schemas/ids/%d", &id); n == 0 {
		parts := strings.Split(q.URL.Path, "/")
		if len(parts) == 5 {
			subject = parts[2]
			_, _ = fmt.Sscan(parts[4], &version)
			id = r.subjects[fmt.Sprintf("%s/%d", subject, version)]
		}
	}
	schema, ok := r.schemas[id]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error_code":40403,"message":"Schema not found"}`))
		return
	}
	_ = json.NewEncoder(w).Encode(schema)
}

func (r *registry) add(id int, kind, text string, references ...map[string]any) {
	schema := map[string]any{"schema": text}
	if kind != "" {
		schema["schemaType"] = kind
	}
	if len(references) > 0 {
		schema["references"] = references
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.schemas[id] = schema
}

func (r *registry) fail(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *registry) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// framed encodes as producers of franz-go do.
func framed(t testing.TB, id int, indexes []int, value []byte) []byte {
	t.Helper()
	head, err := (&sr.ConfluentHeader{}).AppendEncode(nil, id, indexes)
	if err != nil {
		t.Fatal(err)
	}
	return append(head, value...)
}

func typed(kind recount.Kind, names ...string) []recount.Field {
	var fields []recount.Field
	for _, name := range names {
		path := ""
		if name, path, _ = strings.Cut(name, "="); path == "" {
			path = name
		}
		fields = append(fields, recount.Field{Name: name, Type: recount.Type{Kind: kind}, Path: path})
	}
	return fields
}

func decoder(t testing.TB, o record.Options) *record.Decoder {
	t.Helper()
	o.Where = "bus orders"
	d, err := record.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func events(t testing.TB, d *record.Decoder, records ...record.Record) ([]recount.Event, string) {
	t.Helper()
	for i := range records {
		if records[i].Time.IsZero() {
			records[i].Time = time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
		}
		records[i].Position = fmt.Sprintf("%020d", i)
	}
	got, header, err := d.Events(t.Context(), "0", records)
	if err != nil {
		t.Fatal(err)
	}
	return got, header
}

// again reads events out of the archive with a decoder that knows no registry, and
// demands what they had at first.
func again(t testing.TB, d *record.Decoder, header string, first []recount.Event) {
	t.Helper()
	reads, err := d.Again(d.Format(), header)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range first {
		archived := e
		archived.Fields, archived.Broken, archived.Fault, archived.ID, archived.Type = nil, nil, "", "", ""
		now := reads.Decode(archived)
		if fmt.Sprint(now.Fields) != fmt.Sprint(e.Fields) || now.ID != e.ID || now.Type != e.Type || !now.Time.Equal(e.Time) || now.Fault != e.Fault {
			t.Errorf("read again:\n got %v %q %q %v %q\nwant %v %q %q %v %q", now.Fields, now.ID, now.Type, now.Time, now.Fault, e.Fields, e.ID, e.Type, e.Time, e.Fault)
		}
	}
}

func wantEvent(t testing.TB, e recount.Event, id, kind, at, fields, fault string) {
	t.Helper()
	texts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		if texts[i] = f.Text; f.Null {
			texts[i] = "NULL"
		}
	}
	if got := strings.Join(texts, "|"); got != fields {
		t.Errorf("fields: got %s, want %s (%s)", got, fields, e.Fault)
	}
	stamp := ""
	if !e.Time.IsZero() {
		stamp = e.Time.Format(time.RFC3339Nano)
	}
	if e.ID != id || e.Type != kind || stamp != at {
		t.Errorf("got id %q, type %q, time %s; want %q, %q, %s (%s)", e.ID, e.Type, stamp, id, kind, at, e.Fault)
	}
	if fault == "" && e.Fault != "" || !strings.Contains(e.Fault, fault) {
		t.Errorf("got the fault %q, want %q", e.Fault, fault)
	}
}

const (
	orderV1 = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [
		{"name": "id", "type": "string"},
		{"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
		{"name": "units", "type": "long"}]}`
	orderV2 = `{"type": "record", "name": "Order", "namespace": "shop", "fields": [
		{"name": "id", "type": "string"},
		{"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
		{"name": "units", "type": "long"},
		{"name": "note", "type": ["null", "string"]}]}`
)

var orderTime = time.Date(2024, 6, 10, 12, 9, 24, 53001000, time.UTC)

func order(t testing.TB, schema string, id int, fields map[string]any) record.Record {
	t.Helper()
	fields["at"] = orderTime
	s, err := avro.ParseWithCache(schema, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatal(err)
	}
	value, err := avro.Marshal(s, fields)
	if err != nil {
		t.Fatal(err)
	}
	return record.Record{Key: []byte("k"), Value: framed(t, id, nil, value)}
}

func orders(r *registry) record.Options {
	return record.Options{
		Where:   "bus orders",
		Mapping: recount.Mapping{ID: "id", Time: "at", Fields: append(typed(recount.KindInt64, "units"), typed(recount.KindString, "note")...)},
		Values:  record.Values{Format: "avro", Registry: record.Registry{URL: r.URL}}, Keyed: true,
	}
}

func TestAvroReadsUnderTheSchemasOfTheRegistry(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "", orderV1)
	r.add(300, "AVRO", orderV2)
	d := decoder(t, orders(r))
	one := order(t, orderV1, 7, map[string]any{"id": "a", "units": int64(9007199254740993)})
	two := order(t, orderV2, 300, map[string]any{"id": "b", "units": int64(2), "note": map[string]any{"string": "hi"}})
	got, header := events(t, d, one, two, one, record.Record{Key: []byte("k")})
	wantEvent(t, got[0], "a", "", "2024-06-10T12:09:24.053001Z", "9007199254740993|NULL", "")
	wantEvent(t, got[1], "b", "", "2024-06-10T12:09:24.053001Z", "2|hi", "")
	wantEvent(t, got[3], "", "", "2024-06-10T12:00:00Z", "NULL|NULL", "")
	if string(got[1].Data) != string(two.Value) {
		t.Error("the data are not the record's own bytes")
	}
	if n := r.questions(); n != 2 {
		t.Errorf("the registry was asked %d times for two schemas", n)
	}
	r.Close()
	again(t, d, header, got)
	if want := `{"schemas":[{"id":7,"type":"avro","schema":"{\"type\":\"record\"`; !strings.HasPrefix(header, want) {
		t.Errorf("got the header %s", header)
	}
}

func TestColumnsDeclaredLaterAreReadWithoutTheRegistry(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "", orderV1)
	o := orders(r)
	o.Mapping.Fields = nil
	first, header := events(t, decoder(t, o), order(t, orderV1, 7, map[string]any{"id": "a", "units": int64(5)}))
	r.Close()
	o.Mapping.Fields = typed(recount.KindInt64, "units")
	reads, err := decoder(t, o).Again("avro", header)
	if err != nil {
		t.Fatal(err)
	}
	wantEvent(t, reads.Decode(first[0]), "a", "", "2024-06-10T12:09:24.053001Z", "5", "")
}

func TestHeadersOnlyGrow(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "", orderV1)
	r.add(9, "", orderV2)
	d := decoder(t, orders(r))
	one := order(t, orderV1, 7, map[string]any{"id": "a", "units": int64(1)})
	two := order(t, orderV2, 9, map[string]any{"id": "b", "units": int64(2), "note": nil})
	seen := map[string]bool{}
	for i := range 50 {
		first := []record.Record{one}
		if i%2 == 0 {
			first[0] = two
		}
		_, header, err := d.Events(t.Context(), fmt.Sprint(i%3), first)
		if err != nil {
			t.Fatal(err)
		}
		seen[header] = true
	}
	if len(seen) != 2 {
		t.Errorf("two schemas made %d headers", len(seen))
	}
}

func TestUnknownSchemasAreFaultsAndARegistryThatIsDownIsAnError(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "", orderV1)
	r.add(8, "JSON", `{}`)
	r.add(10, "", `{"type":"moon"}`)
	d := decoder(t, orders(r))
	good := order(t, orderV1, 7, map[string]any{"id": "a", "units": int64(1)})
	cut := record.Record{Value: good.Value[:len(good.Value)-1]}
	got, header := events(t, d, good,
		record.Record{Value: framed(t, 404, nil, nil)}, record.Record{Value: framed(t, 8, nil, nil)}, record.Record{Value: framed(t, 10, nil, nil)},
		record.Record{Value: []byte(`{"id":"a"}`)}, record.Record{Value: []byte{0, 1}}, record.Record{Value: []byte{}}, cut, record.Record{Value: append(slices.Clip(good.Value), 0)})
	for i, want := range []string{"", "schema 404 is unknown", "schema 8 is json-schema", `schema 10 cannot be used: no type "moon"`, "does not begin with the zero", "too short", "too short", "too early", "1 bytes follow"} {
		if !strings.Contains(got[i].Fault, want) || want != "" && (len(got[i].Broken) != 2 || got[i].Data == nil) {
			t.Errorf("%d: got the fault %q and broken %v, want %q", i, got[i].Fault, got[i].Broken, want)
		}
	}
	again(t, d, header, got)
	r.fail(true)
	_, _, err := d.Events(t.Context(), "0", []record.Record{order(t, orderV2, 11, map[string]any{"id": "b", "units": int64(2), "note": nil})})
	wantCode(t, err, recount.CodeRegistry, "503")
	if !errors.Is(err, recount.ErrUnreachable) {
		t.Errorf("%v is not known as something that may pass", err)
	}
	_, header, err = d.Events(t.Context(), "0", []record.Record{good})
	if err != nil || header == "" {
		t.Errorf("a schema that is known needs the registry: %v", err)
	}
	r.fail(false)
	r.add(11, "", orderV2)
	got, _ = events(t, d, order(t, orderV2, 11, map[string]any{"id": "b", "units": int64(2), "note": nil}))
	wantEvent(t, got[0], "b", "", "2024-06-10T12:09:24.053001Z", "2|NULL", "")
}

func TestServersThatAreNoRegistryAreErrors(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"404 of a web server": http.NotFound,
		"a page":              func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"an empty object":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) },
	} {
		s := httptest.NewServer(answer)
		r := &registry{Server: s}
		_, _, err := decoder(t, orders(r)).Events(t.Context(), "0", []record.Record{{Value: []byte{0, 0, 0, 0, 1}}})
		wantCode(t, err, recount.CodeRegistry, "")
		if t.Failed() {
			t.Fatal(name)
		}
		s.Close()
		_, _, err = decoder(t, orders(r)).Events(t.Context(), "0", []record.Record{{Value: []byte{0, 0, 0, 0, 1}}})
		wantCode(t, err, recount.CodeRegistry, "refused")
	}
}

func TestTheRegistryAsksForItsUserAndAuthority(t *testing.T) {
	r := newRegistry(t)
	r.user = "recount"
	r.add(7, "", orderV1)
	good := order(t, orderV1, 7, map[string]any{"id": "a", "units": int64(1)})
	_, _, err := decoder(t, orders(r)).Events(t.Context(), "0", []record.Record{good})
	wantCode(t, err, recount.CodeRegistry, "401")
	if !errors.Is(err, recount.ErrPermission) {
		t.Errorf("%v is not known as a missing right", err)
	}
	tls := httptest.NewUnstartedServer(http.HandlerFunc(r.answer))
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // a refused certificate is what is asked for
	tls.StartTLS()
	defer tls.Close()
	o := orders(&registry{Server: tls})
	o.Values.Registry.User, o.Values.Registry.Password = "recount", "hush"
	_, _, err = decoder(t, o).Events(t.Context(), "0", []record.Record{good})
	wantCode(t, err, recount.CodeRegistry, "certificate")
	if strings.Contains(fmt.Sprint(err), "hush") {
		t.Error("the password is shown")
	}
	o.Values.Registry.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	got, _ := events(t, decoder(t, o), good)
	wantEvent(t, got[0], "a", "", "2024-06-10T12:09:24.053001Z", "1|NULL", "")
	o.Values.Registry.CA = "ca.pem"
	_, err = record.New(o)
	wantCode(t, err, recount.CodeConfig, "no certificate")
}

func TestJSONOfARegistry(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "JSON", `{"type": "object"}`)
	value := framed(t, 7, nil, []byte(`{"id":"a","at":"2024-06-10T12:09:24.053001Z","units":3}`))
	o := orders(r)
	o.Values.Format = "json-schema"
	got, header := events(t, decoder(t, o), record.Record{Value: value}, record.Record{Value: value[5:]})
	wantEvent(t, got[0], "a", "", "2024-06-10T12:09:24.053001Z", "3|NULL", "")
	wantEvent(t, got[1], "", "", "", "NULL|NULL", "does not begin with the zero")
	r.add(9, "", orderV1)
	other, head := events(t, decoder(t, o), record.Record{Value: append([]byte{0, 0, 0, 0, 8}, value[5:]...)}, record.Record{Value: append([]byte{0, 0, 0, 0, 9}, value[5:]...)})
	for _, e := range other {
		wantEvent(t, e, "a", "", "2024-06-10T12:09:24.053001Z", "3|NULL", "")
	}
	again(t, decoder(t, o), head, other)
	if header != `{"schemas":[{"id":7,"type":"json-schema","schema":"{\"type\":\"object\"}"}]}` {
		t.Errorf("got the header %s", header)
	}
	o.Values.Registry.URL = ""
	d := decoder(t, o)
	got, header = events(t, d, record.Record{Value: value})
	wantEvent(t, got[0], "a", "", "2024-06-10T12:09:24.053001Z", "3|NULL", "")
	again(t, d, header, got)
}

func TestHeadersThatAreBroken(t *testing.T) {
	var d source.Decoder
	o := orders(&registry{Server: &httptest.Server{URL: "http://nowhere"}})
	d, err := decoder(t, o).Again("avro", "{")
	wantCode(t, err, recount.CodeDamaged, "")
	_, err = decoder(t, o).Again("avro+moon", "")
	wantCode(t, err, recount.CodeNewerArchive, "")
	_ = d
}

func wantCode(t testing.TB, err error, code recount.Code, text string) {
	t.Helper()
	var e *recount.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Error(), text) || e.Next == "" || e.Where == "" && code == recount.CodeConfig {
		t.Errorf("got %v, want %s with %q", err, code, text)
	}
}

func TestPartitionsAreReadAtOnce(t *testing.T) {
	r := newRegistry(t)
	r.add(7, "", orderV1)
	r.add(9, "", orderV2)
	d := decoder(t, orders(r))
	one := order(t, orderV1, 7, map[string]any{"id": "a", "units": int64(1)})
	two := order(t, orderV2, 9, map[string]any{"id": "b", "units": int64(2), "note": nil})
	var readers sync.WaitGroup
	for p := range 8 {
		readers.Go(func() {
			for range 20 {
				got, header, err := d.Events(t.Context(), fmt.Sprint(p), []record.Record{one, two, one})
				if err != nil {
					t.Error(err)
					return
				}
				reads, err := d.Again("avro", header)
				if err != nil || got[1].ID != "b" || reads.Decode(got[2]).ID != "a" {
					t.Errorf("got %v, %v", got, err)
				}
			}
		})
	}
	readers.Wait()
	if n := r.questions(); n != 2 {
		t.Errorf("the registry was asked %d times for two schemas", n)
	}
}
