package record_test

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"recount"
	"recount/source/record"
)

const money = `syntax = "proto3";
package shop;
message Money { int64 units = 1; string currency = 2; }
`

const orderProto = `syntax = "proto3";
package shop;
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "shop/money.proto";
option (confluent.file_meta).doc = "orders";
message Envelope {
  map<string, Order> orders = 1;
  message Order {
    string id = 1 [(confluent.field_meta).doc = "its id"];
    google.protobuf.Timestamp at = 2;
    int64 big = 3; uint64 bigger = 4; sint32 small = 5; fixed32 count = 6; double rate = 7; float half = 8; bool paid = 9;
    bytes blob = 10; bytes text = 11;
    Status status = 12;
    optional int32 maybe = 13;
    repeated int64 list = 14;
    map<string, int64> tags = 15; map<int32, string> numbered = 16;
    Money price = 17; Money none = 18;
    google.protobuf.StringValue note = 19; google.protobuf.Int64Value missing = 20;
    google.protobuf.Duration took = 21;
    google.protobuf.Struct extra = 22;
    oneof pays { string card = 23; int64 voucher = 24; }
    confluent.type.Decimal total = 25;
    Order before = 26;
    repeated Status history = 27;
  }
  enum Status { OPEN = 0; PAID = 1; }
}
`

// message compiles a schema as a producer has it, and encodes one of its messages
// from Protobuf's own JSON.
func message(t testing.TB, files map[string]string, name, text string) []byte {
	t.Helper()
	for _, known := range []string{"meta", "type/decimal"} {
		if files["confluent/"+known+".proto"] == "" {
			files["confluent/"+known+".proto"] = readFile(t, "confluent_"+strings.TrimPrefix(known, "type/")+".proto")
		}
	}
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(files)})}
	compiled, err := c.Compile(t.Context(), "order.proto")
	if err != nil {
		t.Fatal(err)
	}
	found, ok := compiled[0].FindDescriptorByName(protoreflect.FullName(name)).(protoreflect.MessageDescriptor)
	if !ok {
		t.Fatalf("there is no message %s", name)
	}
	m := dynamicpb.NewMessage(found)
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

const orderJSON = `{"id":"a","at":"2024-06-10T12:09:24.053001002Z","big":"9007199254740993","bigger":"18446744073709551615","small":-7,"count":7,"rate":0.1,"half":0.1,
	"paid":true,"blob":"//4=","text":"YWJj","status":"PAID","list":["1","2"],"tags":{"b":"2","a":"1"},"numbered":{"7":"x"},"price":{"units":"5","currency":"EUR"},
	"note":"hi","took":"-1.500s","extra":{"k":[1,"x",null,true]},"voucher":"3","total":{"value":"CywA","precision":18,"scale":2},
	"before":{"id":"z"},"history":["OPEN",7]}`

// orderText is orderJSON in canonical JSON.
const orderText = `{"id":"a","at":"2024-06-10T12:09:24.053001002Z","big":"9007199254740993","bigger":"18446744073709551615","small":-7,"count":7,"rate":0.1,"half":0.1,` +
	`"paid":true,"blob":{"base64":"//4="},"text":"abc","status":"PAID","maybe":null,"list":["1","2"],"tags":{"a":"1","b":"2"},"numbered":{"7":"x"},` +
	`"price":{"units":"5","currency":"EUR"},"none":null,"note":"hi","missing":null,"took":"-1.5s","extra":{"k":[1,"x",null,true]},"card":null,"voucher":"3","total":"7321.60",` +
	`"before":{"id":"z","at":null,"big":"0","bigger":"0","small":0,"count":0,"rate":0,"half":0,"paid":false,"blob":"","text":"","status":"OPEN","maybe":null,"list":[],"tags":{},` +
	`"numbered":{},"price":null,"none":null,"note":null,"missing":null,"took":null,"extra":null,"card":null,"voucher":null,"total":null,"before":null,"history":[]},"history":["OPEN",7]}`

func protobufRegistry(t *testing.T) *registry {
	r := newRegistry(t)
	r.add(7, "PROTOBUF", orderProto, map[string]any{"name": "shop/money.proto", "subject": "shop money", "version": 3})
	r.add(8, "PROTOBUF", money)
	r.subjects["shop money/3"] = 8
	return r
}

func TestProtobufReadsUnderTheSchemasOfTheRegistry(t *testing.T) {
	r := protobufRegistry(t)
	d := decoder(t, record.Options{
		Values:  record.Values{Format: "protobuf", Registry: record.Registry{URL: r.URL}},
		Mapping: recount.Mapping{ID: "id", Time: "at", Type: "status", Fields: append(typed(recount.KindInt64, "big", "units=$.price.units"), typed(recount.KindJSON, "all=$")...)},
	})
	files := map[string]string{"order.proto": orderProto, "shop/money.proto": money}
	value := message(t, files, "shop.Envelope.Order", orderJSON)
	// The entry of the map before it is no message to a registry: the order is 0, 0.
	got, header := events(t, d, record.Record{Value: framed(t, 7, []int{0, 0}, value)}, record.Record{Value: framed(t, 7, []int{0, 1}, value)},
		record.Record{Value: framed(t, 7, []int{0, 0}, value[:len(value)-1])}, record.Record{Value: framed(t, 7, nil, nil)})
	wantEvent(t, got[0], "a", "PAID", "2024-06-10T12:09:24.053001Z", "9007199254740993|5|"+orderText, "")
	wantEvent(t, got[1], "", "", "", "NULL|NULL|NULL", "no message of the indexes [0 1]")
	wantEvent(t, got[2], "", "", "", "NULL|NULL|NULL", "cannot be read under schema 7")
	wantEvent(t, got[3], "", "", "", "NULL|NULL|NULL", "indexes of its message are cut off")
	r.Close()
	again(t, d, header, got)
	if !strings.Contains(header, `"references":[{"name":"shop/money.proto"`) {
		t.Errorf("the header lacks what the schema refers to: %s", header)
	}
}

func TestTheFirstMessageHasAShortIndex(t *testing.T) {
	r := newRegistry(t)
	r.add(8, "PROTOBUF", money)
	d := decoder(t, record.Options{
		Values:  record.Values{Format: "protobuf", Registry: record.Registry{URL: r.URL}},
		Mapping: recount.Mapping{Time: "record:timestamp", Fields: typed(recount.KindInt64, "units")},
	})
	value := message(t, map[string]string{"order.proto": money}, "shop.Money", `{"units":5}`)
	got, _ := events(t, d, record.Record{Value: framed(t, 8, []int{0}, value)}, record.Record{Value: append([]byte{0, 0, 0, 0, 8, 2, 0}, value...)})
	for _, e := range got {
		wantEvent(t, e, "", "", "2024-06-10T12:00:00Z", "5", "")
	}
}

func TestHostileProtobufIsNotBuilt(t *testing.T) {
	r := newRegistry(t)
	r.add(8, "PROTOBUF", `syntax = "proto3"; message M { repeated M m = 1; repeated int32 n = 2; map<int32, int32> e = 3; M one = 4; string s = 5; }`)
	d := decoder(t, record.Options{
		Values:  record.Values{Format: "protobuf", Registry: record.Registry{URL: r.URL}},
		Mapping: recount.Mapping{Time: "record:timestamp", Fields: typed(recount.KindString, "s")},
	})
	many := func(piece string) []byte { return []byte(strings.Repeat(piece, 8<<20/len(piece))) }
	packed := append([]byte{0x12, 0x80, 0x80, 0x80, 0x04}, many("\x01")...) // 8 MiB of ones
	var deep []byte
	for range 150 {
		deep = append([]byte{0x22}, append(protowire.AppendVarint(nil, uint64(len(deep))), deep...)...)
	}
	for name, c := range map[string]struct {
		value []byte
		want  string
	}{
		"messages":  {many("\x0a\x00"), "more than 1000000 items"},
		"elements":  {many("\x10\x01"), "more than 1000000 items"},
		"packed":    {packed, "more than 1000000 items"},
		"entries":   {many("\x1a\x00"), "more than 1000000 items"},
		"depth":     {deep, "depth"},
		"too large": {append(protowire.AppendVarint([]byte{0x2a}, 64<<20), make([]byte, 64<<20)...), "is read up to"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, _ := events(t, d, record.Record{Value: framed(t, 8, []int{0}, c.value)})
		runtime.ReadMemStats(&after)
		if !strings.Contains(got[0].Fault, c.want) {
			t.Errorf("%s: got the fault %q, want %q", name, got[0].Fault, c.want)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(2*len(c.value))+(16<<20) {
			t.Errorf("%s: %d MiB were taken for %d", name, took>>20, len(c.value)>>20)
		}
	}
}

func TestMessagesReadBack(t *testing.T) {
	r := newRegistry(t)
	r.add(8, "PROTOBUF", money)
	d := decoder(t, record.Options{
		Values:  record.Values{Format: "protobuf", Registry: record.Registry{URL: r.URL}},
		Mapping: recount.Mapping{Time: "record:timestamp", Fields: append(typed(recount.KindInt64, "units"), typed(recount.KindString, "currency")...)},
	})
	rapid.Check(t, func(rt *rapid.T) {
		units, currency := rapid.Int64().Draw(rt, "units"), rapid.String().Draw(rt, "currency")
		value := protowire.AppendVarint([]byte{0x08}, uint64(units)) //nolint:gosec // as Protobuf writes it
		value = protowire.AppendString(append(value, 0x12), currency)
		got, _ := events(t, d, record.Record{Value: framed(t, 8, []int{0}, value)})
		wantEvent(t, got[0], "", "", "2024-06-10T12:00:00Z", strconv.FormatInt(units, 10)+"|"+currency, "")
	})
}

// TestARegistryOfOthers reads from the registry that franz-go tests itself with,
// what its client has registered and then deleted softly.
func TestARegistryOfOthers(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	client, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	register := func(subject string, s sr.Schema) int {
		made, err := client.CreateSchema(t.Context(), subject, s)
		if err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	register("shop/money", sr.Schema{Schema: money, Type: sr.TypeProtobuf})
	const order = `syntax = "proto3"; package shop; import "shop/money.proto"; message Order { string id = 1; Money price = 2; }`
	id := register("orders-value", sr.Schema{Schema: order, Type: sr.TypeProtobuf, References: []sr.SchemaReference{{Name: "shop/money.proto", Subject: "shop/money", Version: 1}}})
	if _, err := client.DeleteSubject(t.Context(), "orders-value", sr.SoftDelete); err != nil {
		t.Fatal(err)
	}
	d := decoder(t, record.Options{
		Values:  record.Values{Format: "protobuf", Registry: record.Registry{URL: fake.URL()}},
		Mapping: recount.Mapping{ID: "id", Time: "record:timestamp", Fields: typed(recount.KindInt64, "units=$.price.units")},
	})
	value := message(t, map[string]string{"order.proto": order, "shop/money.proto": money}, "shop.Order", `{"id":"a","price":{"units":"5"}}`)
	got, _ := events(t, d, record.Record{Value: framed(t, id, []int{0}, value)}, record.Record{Value: framed(t, id+100, []int{0}, value)})
	wantEvent(t, got[0], "a", "", "2024-06-10T12:00:00Z", "5", "")
	wantEvent(t, got[1], "", "", "2024-06-10T12:00:00Z", "NULL", "unknown to the registry")
}
