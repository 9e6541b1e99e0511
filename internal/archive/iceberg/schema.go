package iceberg

import (
	"fmt"

	ice "github.com/apache/iceberg-go"

	"recount"
)

// schemaOf numbers columns, and the parts of headers, as they come.
type schemaOf struct {
	fields []ice.NestedField
	next   int
}

func (s *schemaOf) id() int {
	s.next++
	return s.next
}

func (s *schemaOf) add(name string, t ice.Type, required bool) {
	s.fields = append(s.fields, ice.NestedField{ID: s.id(), Name: name, Type: t, Required: required})
}

func (s *schemaOf) schema() *ice.Schema { return ice.NewSchema(0, s.fields...) }

// eventSchema is the envelope and each field that some file has.
func eventSchema(snapshot recount.Snapshot) (*ice.Schema, error) {
	p := ice.PrimitiveTypes
	s := &schemaOf{}
	s.add("seq", p.Int64, true)
	s.add("id", p.String, false)
	s.add("type", p.String, false)
	s.add("partition", p.String, true)
	s.add("position", p.String, true)
	s.add("time", p.TimestampTz, false)
	s.add("ingest_time", p.TimestampTz, false)
	s.add("key", p.Binary, false)
	s.add("data", p.Binary, false)
	headers, element, name, value := s.id(), s.id(), s.id(), s.id()
	s.fields = append(s.fields, ice.NestedField{ID: headers, Name: "headers", Type: &ice.ListType{
		ElementID: element, ElementRequired: true, Element: &ice.StructType{FieldList: []ice.NestedField{
			{ID: name, Name: "name", Type: p.String, Required: true}, {ID: value, Name: "value", Type: p.Binary},
		}},
	}})
	s.add("fault", p.String, false)
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
					Next: "give the field another name in recount.yaml and archive on; expire the older files, or register them by a copy of the archive",
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
			s.add(field.Name, t, false)
		}
	}
	return s.schema(), nil
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

// marksSchema is that of a file of marks (docs/archive.md).
func marksSchema() *ice.Schema {
	p := ice.PrimitiveTypes
	s := &schemaOf{}
	s.add("seq", p.Int64, true)
	s.add("kind", p.String, true)
	s.add("id", p.String, false)
	s.add("time", p.TimestampTz, false)
	s.add("broken", p.String, false)
	s.add("why", p.String, false)
	return s.schema()
}
