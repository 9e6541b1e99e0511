package process_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"recount"
	"recount/engine/fold/process"
	"recount/engine/fold/run"
)

var answerColumns = []recount.Column{
	{Name: "user_id", Type: recount.Type{Kind: recount.KindString}},
	{Name: "total", Type: recount.Decimal(18, 2)},
	{Name: "at", Type: recount.Type{Kind: recount.KindTimestamp}},
	{Name: "j", Type: recount.Type{Kind: recount.KindJSON}},
}

// asked is a batch of three keys, the last of which goes on.
func asked() run.Batch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{{Name: "value", Type: arrow.PrimitiveTypes.Int64}}, nil))
	b.Field(0).(*array.Int64Builder).AppendValues([]int64{1, 2, 3, 4}, nil)
	key := func(s string) []recount.Value { return []recount.Value{recount.Text(s)} }
	return run.Batch{Record: b.NewRecordBatch(), Seq: []int64{11, 12, 13, 14}, Groups: []run.Group{
		{Number: 0, From: 0, To: 2, Begin: true, End: true, Key: key("a")},
		{Number: 1, From: 2, To: 3, Begin: true, End: true, Key: key("b")},
		{Number: 2, From: 3, To: 4, Begin: true, Key: key("c")},
	}}
}

// sound checks what every answer holds that was taken.
func sound(t *testing.T, in run.Batch, a run.Answer) {
	t.Helper()
	last := int64(-1)
	for _, r := range a.Rows {
		if r.Group < last || r.Group > 2 || r.At < -1 || r.At >= len(in.Seq) || len(r.Values) != len(answerColumns) {
			t.Fatalf("row %+v after group %d", r, last)
		}
		last = r.Group
		for i, v := range r.Values {
			if v.Null {
				continue
			}
			if again, err := recount.Canonical(answerColumns[i].Type, v.Text); err != nil || again != v.Text {
				t.Fatalf("column %s: %q is not canonical: %q, %v", answerColumns[i].Name, v.Text, again, err)
			}
		}
	}
	for _, e := range a.Effects {
		if e.Seq < 11 || e.Seq > 14 || e.Kind == "" || !json.Valid(e.Payload) {
			t.Fatalf("effect %+v", e)
		}
	}
	for _, s := range a.States {
		if !json.Valid(s.Bytes) {
			t.Fatalf("state %+v", s)
		}
	}
}

func FuzzAnswersInLines(f *testing.F) {
	f.Add("{\"row\":{\"user_id\":\"a\",\"total\":1.5,\"at\":\"2024-06-10T12:00:00+02:00\",\"j\":{\"x\": 1}}}\n{\"state\":[1]}\n{\"done\":0}\n{\"state\":1}\n{\"done\":1}\n{\"state\":{}}\n{\"shown\":2}\n", false)
	f.Add("{\"shown\":0}\n{\"effect\":{\"kind\":\"m\",\"key\":\"a\",\"payload\":{\"b\":1,\"a\":2}},\"seq\":12}\n{\"state\":0}\n{\"shown\":0}\n{\"done\":0}\n", true)
	f.Add("{\"failed\":1,\"seq\":13,\"why\":\"no\"}", false)
	f.Add("hello\n", false)
	f.Fuzz(func(t *testing.T, output string, show bool) {
		in := asked()
		w := run.Wants{Columns: answerColumns, State: strings.Contains(output, "state"), Show: show, Effects: true}
		a, err := process.Answered(false, []byte(output), answerColumns, nil, w, in)
		if err == nil {
			sound(t, in, a)
		}
	})
}

func FuzzAnswersInArrow(f *testing.F) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "recount_group", Type: arrow.PrimitiveTypes.Int64}, {Name: "recount_at", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "recount_what", Type: arrow.PrimitiveTypes.Int8}, {Name: "recount_blob", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "user_id", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "total", Type: &arrow.Decimal128Type{Precision: 18, Scale: 2}, Nullable: true},
		{Name: "at", Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true}, {Name: "j", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i, text := range []string{"0", "1"} {
		for n, v := range []string{text, text, "0", "", "a", "1.50", "2024-06-10T12:00:00Z", "{}"} {
			if err := b.Field(n).AppendValueFromString(v); err != nil {
				f.Fatalf("row %d, column %d: %v", i, n, err)
			}
		}
	}
	for _, options := range [][]ipc.Option{nil, {ipc.WithLZ4()}, {ipc.WithZstd()}} {
		var out bytes.Buffer
		w := ipc.NewWriter(&out, append(options, ipc.WithSchema(schema))...)
		if err := w.Write(b.NewRecordBatch()); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes(), false)
		f.Add(out.Bytes(), true)
	}
	f.Add([]byte("hello\n"), false)
	f.Fuzz(func(t *testing.T, output []byte, show bool) {
		in := asked()
		w := run.Wants{Columns: answerColumns, Show: show, Effects: true}
		a, err := process.Answered(true, output, answerColumns, nil, w, in)
		if err == nil {
			sound(t, in, a)
		}
	})
}

// FuzzMembers holds the reader of objects against that of the standard library.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":[1,{"c":"]}"}],"d":"\"\\"}`, ` {"a" : null , "b":-1e5}`, `{"\u0061":true,"a":false}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		trimmed := bytes.TrimSpace([]byte(text))
		if !json.Valid(trimmed) || trimmed[0] != '{' {
			return
		}
		names, values, err := process.Members(trimmed)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		var whole map[string]json.RawMessage
		if err := json.Unmarshal(trimmed, &whole); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for i, n := range names {
			got[strings.ToValidUTF8(n, "\ufffd")] = values[i]
		}
		for n, v := range whole {
			if got[strings.ToValidUTF8(n, "\ufffd")] != string(v) && strings.ToValidUTF8(text, "") == text {
				t.Errorf("%q: member %q is %q, want %q", text, n, got[n], v)
			}
		}
	})
}

func FuzzReply(f *testing.F) {
	f.Add(`{"recount":1,"format":"arrow","columns":[{"name":"a","type":"decimal(18,2)"}],"reads":["value"]}`)
	f.Add(`{"recount":1,"failed":"no"}`)
	f.Fuzz(func(t *testing.T, line string) {
		columns, reads, err := process.ReadReply([]byte(line), numberFields, []string{"user_id"})
		if err == nil && (len(columns) == 0 || len(reads) == 0 || reads[0] != "user_id") {
			t.Errorf("%q: columns %v, reads %v", line, columns, reads)
		}
	})
}
