package files_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/hamba/avro/v2/ocf"

	"recount/adapter"
	"recount/internal/config"
	"recount/source"
	"recount/source/files"
)

// order is one event of the recipes' shop.
type order struct {
	n    int
	user string
}

func (o order) id() string     { return fmt.Sprintf("o-%04d", o.n) }
func (o order) paid() int64    { return time.Date(2024, 6, 10, 12, o.n, 1, 37e6, time.UTC).UnixMilli() }
func (o order) amount() string { return fmt.Sprintf("%d.50", o.n) }

// flat is the record as Connect's JsonConverter writes it without schemas.
func (o order) flat() string {
	return fmt.Sprintf(`{"order_id":%q,"user_id":%q,"paid_at":%d,"amount":%s}`, o.id(), o.user, o.paid(), o.amount())
}

// bridged is the record as EventBridge delivers it, again where it is replayed.
func (o order) bridged(replay string) string {
	if replay != "" {
		replay = `"replay-name":"` + replay + `",`
	}
	return fmt.Sprintf(`{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf370393%04d","detail-type":"OrderPaid","source":"shop.orders","account":"123456789012",`+
		`"time":"2024-06-10T12:%02d:01Z","region":"eu-central-1","resources":[],%s"detail":{"order_id":%q,"user_id":%q,"amount":%s}}`,
		o.n, o.n, replay, o.id(), o.user, o.amount())
}

func orders(from, to int) []order {
	var list []order
	for n := from; n < to; n++ {
		list = append(list, order{n, fmt.Sprintf("u%02d", n%3)})
	}
	return list
}

func joinedText(list []order, end string, text func(order) string) []byte {
	var b bytes.Buffer
	for _, o := range list {
		b.WriteString(text(o) + end)
	}
	return b.Bytes()
}

// connectAvro is what the S3 sink writes with AvroFormat, key and value kept.
func connectAvro(t *testing.T, list []order) []byte {
	t.Helper()
	const schema = `{"type":"record","name":"kv","namespace":"io.confluent","fields":[{"name":"key","type":["null","string"]},
		{"name":"value","type":["null",{"type":"record","name":"Value","namespace":"orders","fields":[
			{"name":"order_id","type":"string"},{"name":"user_id","type":"string"},
			{"name":"paid_at","type":{"type":"long","connect.version":1,"connect.name":"org.apache.kafka.connect.data.Timestamp","logicalType":"timestamp-millis"}},
			{"name":"amount","type":"double"}]}]}]}`
	var out bytes.Buffer
	enc, err := ocf.NewEncoder(schema, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		value := map[string]any{"order_id": o.id(), "user_id": o.user, "paid_at": time.UnixMilli(o.paid()), "amount": float64(o.n) + 0.5}
		if err := enc.Encode(map[string]any{"key": o.user, "value": map[string]any{"orders.Value": value}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := enc.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var orderColumns = []arrow.Field{
	{Name: "order_id", Type: arrow.BinaryTypes.String},
	{Name: "user_id", Type: arrow.BinaryTypes.String},
	{Name: "paid_at", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}},
	{Name: "amount", Type: arrow.PrimitiveTypes.Float64},
}

func addOrder(t *testing.T, o order, column func(i int) array.Builder) {
	t.Helper()
	for i, text := range []string{o.id(), o.user, time.UnixMilli(o.paid()).UTC().Format(time.RFC3339Nano), o.amount()} {
		if err := column(i).AppendValueFromString(text); err != nil {
			t.Fatal(err)
		}
	}
}

// connectParquet is what the S3 sink writes with ParquetFormat, key and value kept.
func connectParquet(t *testing.T, list []order) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "key", Type: arrow.BinaryTypes.String}, {Name: "value", Type: arrow.StructOf(orderColumns...)}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for _, o := range list {
		if err := b.Field(0).AppendValueFromString(o.user); err != nil {
			t.Fatal(err)
		}
		value, ok := b.Field(1).(*array.StructBuilder)
		if !ok {
			t.Fatal("no struct")
		}
		value.Append(true)
		addOrder(t, o, value.FieldBuilder)
	}
	return writeParquet(t, b.NewRecordBatch())
}

func lakeParquet(t *testing.T, list []order) []byte {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema(orderColumns, nil))
	for _, o := range list {
		addOrder(t, o, b.Field)
	}
	return writeParquet(t, b.NewRecordBatch())
}

// samples are files as each program writes them, by the page's heading.
func samples(t *testing.T) map[string]map[string][]byte {
	t.Helper()
	csvLine := func(o order) string {
		return o.id() + "," + o.user + "," + time.UnixMilli(o.paid()).UTC().Format("2006-01-02 15:04:05.000") + "," + o.amount()
	}
	jsonLine := func(o order) string {
		return fmt.Sprintf(`{"order_id":%q,"user_id":%q,"paid_at":%q,"amount":%q}`, o.id(), o.user, time.UnixMilli(o.paid()).UTC().Format(time.RFC3339Nano), o.amount())
	}
	return map[string]map[string][]byte{
		"Kafka Connect's S3 sink, JSON": {
			"topics/orders/partition=0/orders+0+0000000100.json": joinedText(orders(0, 5), "\n", order.flat),
			"topics/orders/partition=0/orders+0+0000000105.json": joinedText(orders(5, 8), "\n", order.flat),
			"topics/orders/partition=1/orders+1+0000000000.json": joinedText(orders(8, 20), "\n", order.flat),
		},
		"Kafka Connect's S3 sink, Avro and Parquet": {
			"topics/orders/partition=0/orders+0+0000000100.avro":           connectAvro(t, orders(0, 8)),
			"topics/orders/partition=1/orders+1+0000000000.snappy.parquet": connectParquet(t, orders(8, 20)),
		},
		"Firehose": {
			"orders/2024/06/10/12/orders-1-2024-06-10-12-00-00-6a7e8feb-b491-4cf7-a9f1-bf3703930001": pack(t, ".gz", joinedText(orders(0, 8), "", order.flat)),
			"orders/2024/06/10/12/orders-1-2024-06-10-12-05-00-6a7e8feb-b491-4cf7-a9f1-bf3703930002": joinedText(orders(8, 20), "", order.flat),
		},
		"EventBridge": {
			"2024/06/10/12/bridge-1-2024-06-10-12-00-00-6a7e8feb.gz": pack(t, ".gz", joinedText(orders(0, 8), "", func(o order) string { return o.bridged("") })),
			"2024/06/11/09/bridge-1-2024-06-11-09-00-00-6a7e8fec.gz": pack(t, ".gz", joinedText(orders(8, 20), "", func(o order) string { return o.bridged("june") })),
		},
		"Parquet in folders, as Hive, Spark and DuckDB write it": {
			"date=2024-06-10/country=DE/part-00000-6a7e8feb.c000.snappy.parquet": lakeParquet(t, orders(0, 8)),
			"date=2024-06-10/country=FR/part-00000-6a7e8feb.c000.snappy.parquet": lakeParquet(t, orders(8, 20)),
		},
		"CSV and JSON lines": {
			"exports/2024/06/orders.csv":      append([]byte("order_id,user_id,paid_at,amount\n"), joinedText(orders(0, 8), "\n", csvLine)...),
			"exports/2024/06/orders.jsonl.gz": pack(t, ".gz", joinedText(orders(8, 20), "\n", jsonLine)),
		},
	}
}

// recipes are the yaml blocks of the page by their headings.
func recipes(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/adopt.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		heading, _, _ := strings.Cut(section, "\n")
		_, block, ok := strings.Cut(section, "```yaml\n")
		block, _, _ = strings.Cut(block, "```")
		if ok {
			found[heading] = block
		}
	}
	return found
}

func TestTheRecipesReadWhatTheProgramsWrite(t *testing.T) {
	all := samples(t)
	blocks := recipes(t)
	if len(blocks) != len(all) {
		t.Errorf("got %d recipes, want %d", len(blocks), len(all))
	}
	for heading, block := range blocks {
		t.Run(heading, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "recount.yaml"), []byte(block))
			reg := &adapter.Registry{}
			spec, _ := adapter.Default.Lookup(adapter.Source, "files")
			if err := reg.Add(spec); err != nil {
				t.Fatal(err)
			}
			if err := reg.Add(adapter.Declare(adapter.Store, "disk", "", func(context.Context, adapter.Env, struct {
				Path string `json:"path"`
			},
			) (any, error) {
				return nil, nil
			})); err != nil {
				t.Fatal(err)
			}
			project, err := config.Load(dir, reg, os.LookupEnv)
			if err != nil {
				t.Fatal(err)
			}
			src, err := project.Source("orders")
			if err != nil {
				t.Fatal(err)
			}
			at := newLake()
			for name, content := range all[heading] {
				at.put(t, name, content)
				write(t, filepath.Join(dir, filepath.FromSlash(name)), content)
			}
			block, ok := src.Config.(*files.Config)
			if !ok {
				t.Fatalf("config is %T", src.Config)
			}
			s, err := files.Open(t.Context(), adapter.Env{
				Dir: dir, Stream: "orders", Mapping: src.Mapping, Now: fixedNow,
				Objects: func(context.Context, string) (adapter.Objects, error) { return at, nil },
			}, *block)
			if err != nil {
				t.Fatal(err)
			}
			events, err := read(t, s, source.Cursor{})
			if err != nil || len(events) != 20 {
				t.Fatalf("got %d events, %v, want 20", len(events), err)
			}
			for i, o := range orders(0, 20) {
				e := events[i]
				second := time.UnixMilli(o.paid()).Truncate(time.Second)
				if e.Fault != "" || !strings.HasSuffix(e.ID, fmt.Sprintf("%04d", o.n)) || string(e.Key) != o.user || !e.Time.Truncate(time.Second).Equal(second) ||
					e.Fields[0].Text != o.user || e.Fields[1].Text != o.amount() {
					t.Errorf("got %+v, want %+v", e, o)
				}
			}
		})
	}
}
