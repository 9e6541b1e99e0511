package iceberg

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	ice "github.com/apache/iceberg-go"

	"recount"
)

// column is a column of a table, whose ids are given when the table is known.
type column struct {
	name     string
	kind     ice.Type // nil: headers
	required bool
}

// eventColumns are the envelope and each field that some file has.
func eventColumns(snapshot recount.Snapshot) ([]column, error) {
	p := ice.PrimitiveTypes
	columns := []column{
		{"seq", p.Int64, true},
		{"id", p.String, false},
		{"type", p.String, false},
		{"partition", p.String, true},
		{"position", p.String, true},
		{"time", p.TimestampTz, false},
		{"ingest_time", p.TimestampTz, false},
		{"key", p.Binary, false},
		{"data", p.Binary, false},
		{"headers", nil, false},
		{"fault", p.String, false},
	}
	of := map[string]recount.Type{}
	for _, f := range snapshot.Files {
		if f.Origin != "" {
			continue
		}
		for _, field := range f.Fields {
			known, has := of[field.Name]
			if has && known != field.Type {
				return nil, &recount.Error{
					Code: recount.CodeUnsupported, What: fmt.Sprintf("field %s of source %s cannot be a column of an Iceberg table", field.Name, snapshot.Stream),
					Where: f.Name, Why: fmt.Sprintf("it is %s in this file and %s in others, and a column of Iceberg has one type", field.Type, known),
					Next: "give the field another name in recount.yaml and archive on; expire the files of the other type",
				}
			}
			if has {
				continue
			}
			of[field.Name] = field.Type
			t, err := typeOf(field.Type)
			if err != nil {
				return nil, fmt.Errorf("column %q: %w", field.Name, err)
			}
			columns = append(columns, column{field.Name, t, false})
		}
	}
	return columns, nil
}

func typeOf(t recount.Type) (ice.Type, error) {
	p := ice.PrimitiveTypes
	switch t.Kind {
	case recount.KindString, recount.KindJSON:
		return p.String, nil
	case recount.KindInt64:
		return p.Int64, nil
	case recount.KindDouble:
		return p.Float64, nil
	case recount.KindBool:
		return p.Bool, nil
	case recount.KindTimestamp:
		return p.TimestampTz, nil
	case recount.KindDate:
		return p.Date, nil
	case recount.KindDecimal:
		return ice.DecimalTypeOf(t.Precision, t.Scale), nil
	}
	return nil, fmt.Errorf("unknown kind %q", t.Kind)
}

// markColumns are those of a file of marks (docs/archive.md).
func markColumns() []column {
	p := ice.PrimitiveTypes
	return []column{
		{"seq", p.Int64, true},
		{"kind", p.String, true},
		{"id", p.String, false},
		{"time", p.TimestampTz, false},
		{"broken", p.String, false},
		{"why", p.String, false},
	}
}

// schema is the table's present one.
func (m *metadata) schema() *ice.Schema {
	for _, s := range m.Schemas {
		if s.ID == m.CurrentSchema {
			return s
		}
	}
	return ice.NewSchema(-1)
}

// ids are the columns' ids by name.
func (m *metadata) ids() map[string]int {
	ids := map[string]int{}
	for _, f := range m.schema().Fields() {
		ids[f.Name] = f.ID
	}
	return ids
}

// nameMapping is the property by which readers find columns in files that have no
// ids.
const nameMapping = "schema.name-mapping.default"

// settle makes the columns the table's present ones, and says whether they are
// others than before. One that was there under its name and type keeps its id.
func (m *metadata) settle(columns []column) bool {
	present := m.schema()
	same := len(columns) == len(present.Fields())
	var fields []ice.NestedField
	for i, c := range columns {
		f, known := present.FindFieldByName(c.name)
		if !known || f.Required != c.required || (c.kind != nil && !f.Type.Equals(c.kind)) {
			f, same = m.column(c), false
		}
		same = same && present.Fields()[i].ID == f.ID
		fields = append(fields, f)
	}
	if same {
		return false
	}
	next := 0
	for _, s := range m.Schemas {
		next = max(next, s.ID+1)
	}
	schema := ice.NewSchema(next, fields...)
	m.Schemas, m.CurrentSchema = append(m.Schemas, schema), next
	mapping, err := json.Marshal(schema.NameMapping())
	if err == nil { // names and numbers cannot fail
		m.Properties[nameMapping] = string(mapping)
	}
	return true
}

// column gives a column the next ids.
func (m *metadata) column(c column) ice.NestedField {
	id := func() int {
		m.LastColumn++
		return m.LastColumn
	}
	f := ice.NestedField{ID: id(), Name: c.name, Type: c.kind, Required: c.required}
	if c.kind == nil {
		f.Type = &ice.ListType{ElementID: id(), ElementRequired: true, Element: &ice.StructType{FieldList: []ice.NestedField{
			{ID: id(), Name: "name", Type: ice.PrimitiveTypes.String, Required: true}, {ID: id(), Name: "value", Type: ice.PrimitiveTypes.Binary},
		}}}
	}
	return f
}

// bounds are long and timestamp bounds as a manifest holds them.
func bounds(of map[string]int64, columns map[string]int) map[int][]byte {
	out := map[int][]byte{}
	for name, v := range of {
		out[columns[name]] = binary.LittleEndian.AppendUint64(nil, uint64(v))
	}
	return out
}
