package strictjson

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Binder makes values of type T, a struct, from parsed JSON. A field takes
// part by its json tag: without omitempty or omitzero it is required. Names
// match exactly. Fields may be structs (embedded ones take part with their
// fields), pointers, slices, maps by string, strings, booleans, integers,
// float64, [time.Time] (RFC 3339, read as UTC), bytes (base64) and
// [json.RawMessage] (any value, written again without white space). Empty
// lists, maps and bytes are read as nil; null is never accepted, except within a raw
// value.
type Binder[T any] struct{ plan *plan }

// For prepares a Binder for T.
func For[T any]() Binder[T] {
	return Binder[T]{plan: compile(reflect.TypeFor[T](), map[reflect.Type]*plan{})}
}

// Bind reads v as a T. Its errors are all [*Error].
func (b Binder[T]) Bind(v Value) (T, error) {
	var t T
	if err := b.plan.bind(&v, reflect.ValueOf(&t).Elem()); err != nil {
		var zero T
		return zero, err
	}
	return t, nil
}

// plan is a type with its tags read.
type plan struct {
	kind    reflect.Kind
	isTime  bool
	isRaw   bool
	isBytes bool
	elem    *plan // of a pointer, slice or map
	fields  []field
}

type field struct {
	name     string
	index    []int
	required bool
	plan     *plan
}

func compile(t reflect.Type, known map[reflect.Type]*plan) *plan {
	if p, ok := known[t]; ok {
		return p
	}
	p := &plan{
		kind: t.Kind(), isTime: t == reflect.TypeFor[time.Time](),
		isRaw: t == reflect.TypeFor[json.RawMessage](), isBytes: t == reflect.TypeFor[[]byte](),
	}
	known[t] = p
	switch {
	case p.isTime, p.isRaw, p.isBytes:
	case p.kind == reflect.Pointer, p.kind == reflect.Slice, p.kind == reflect.Map:
		p.elem = compile(t.Elem(), known)
	case p.kind == reflect.Struct:
		p.fields = fieldsOf(t, known)
	}
	return p
}

func fieldsOf(t reflect.Type, known map[reflect.Type]*plan) (fields []field) {
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		fields = append(fields, field{
			name: name, index: f.Index, required: !strings.Contains(options, "omit"),
			plan: compile(f.Type, known),
		})
	}
	return fields
}

func (p *plan) bind(v *Value, to reflect.Value) *Error {
	switch p.kind {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return p.elem.bind(v, to.Elem())
	case reflect.Struct:
		if p.isTime {
			return bindTime(v, to)
		}
		return p.bindStruct(v, to)
	case reflect.Slice:
		switch {
		case p.isRaw:
			to.SetBytes(v.AppendJSON(nil))
			return nil
		case p.isBytes:
			return bindBytes(v, to)
		}
		return p.bindSlice(v, to)
	case reflect.Map:
		return p.bindMap(v, to)
	case reflect.String:
		if v.Kind != String {
			return mismatch(String, v)
		}
		to.SetString(v.Text)
	case reflect.Bool:
		if v.Kind != Bool {
			return mismatch(Bool, v)
		}
		to.SetBool(v.True())
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, ok := v.Int()
		if !ok || to.OverflowInt(i) {
			if v.Kind != Number {
				return mismatch(Number, v)
			}
			return fault(Mismatch, fmt.Sprintf("must be an integer of %d bits, not %s", to.Type().Bits(), v.Short()))
		}
		to.SetInt(i)
	case reflect.Float64:
		f, ok := v.Float()
		if !ok {
			if v.Kind != Number {
				return mismatch(Number, v)
			}
			return fault(Mismatch, v.Short()+" is beyond what a number can hold")
		}
		to.SetFloat(f)
	default:
		return fault(Mismatch, "cannot be read into a "+to.Type().String())
	}
	return nil
}

func (p *plan) bindStruct(v *Value, to reflect.Value) *Error {
	if v.Kind != Object {
		return mismatch(Object, v)
	}
	for i := range v.Members {
		m := &v.Members[i]
		f := p.field(m.Name)
		if f == nil {
			return fault(Unknown, "is not a known field").in(m.Name)
		}
		if m.Value.Kind == Null && !f.required {
			return fault(Mismatch, "must not be null: leave the field out instead").in(m.Name)
		}
		if err := f.plan.bind(&m.Value, to.FieldByIndex(f.index)); err != nil {
			return err.in(m.Name)
		}
	}
	for i := range p.fields {
		if f := &p.fields[i]; f.required {
			if _, ok := v.Get(f.name); !ok {
				return fault(Missing, "is required").in(f.name)
			}
		}
	}
	return nil
}

func (p *plan) field(name string) *field {
	for i := range p.fields {
		if p.fields[i].name == name {
			return &p.fields[i]
		}
	}
	return nil
}

func (p *plan) bindSlice(v *Value, to reflect.Value) *Error {
	if v.Kind != Array {
		return mismatch(Array, v)
	}
	if len(v.Items) == 0 {
		return nil
	}
	to.Set(reflect.MakeSlice(to.Type(), len(v.Items), len(v.Items)))
	for i := range v.Items {
		if err := p.elem.bind(&v.Items[i], to.Index(i)); err != nil {
			return err.item(i)
		}
	}
	return nil
}

func (p *plan) bindMap(v *Value, to reflect.Value) *Error {
	if v.Kind != Object {
		return mismatch(Object, v)
	}
	if len(v.Members) == 0 {
		return nil
	}
	to.Set(reflect.MakeMapWithSize(to.Type(), len(v.Members)))
	for i := range v.Members {
		m := &v.Members[i]
		element := reflect.New(to.Type().Elem()).Elem()
		if err := p.elem.bind(&m.Value, element); err != nil {
			return err.in(m.Name)
		}
		to.SetMapIndex(reflect.ValueOf(m.Name), element)
	}
	return nil
}

func bindBytes(v *Value, to reflect.Value) *Error {
	if v.Kind != String {
		return mismatch(String, v)
	}
	b, err := base64.StdEncoding.Strict().DecodeString(v.Text)
	if err != nil || strings.ContainsAny(v.Text, "\r\n") { // which the decoder passes over
		return fault(Mismatch, "must be base64")
	}
	if len(b) > 0 {
		to.SetBytes(b)
	}
	return nil
}

func bindTime(v *Value, to reflect.Value) *Error {
	if v.Kind != String {
		return mismatch(String, v)
	}
	t, err := time.Parse(time.RFC3339Nano, v.Text)
	if err != nil {
		return fault(Mismatch, "must be a time like 2006-01-02T15:04:05Z (RFC 3339)")
	}
	to.Set(reflect.ValueOf(t.UTC()))
	return nil
}

// Want is the error for a value v at path at that is not of kind k.
func Want(k Kind, v Value, at *Path) *Error {
	e := mismatch(k, &v)
	e.Path = at.String()
	return e
}

func mismatch(k Kind, v *Value) *Error {
	return fault(Mismatch, fmt.Sprintf("must be %s, not %s", k, v.Kind))
}

// short cuts a literal that an error repeats.
func short(text string) string {
	if len(text) > maxName {
		return text[:maxName] + "…"
	}
	return text
}
