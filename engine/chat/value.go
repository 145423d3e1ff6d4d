package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ardanlabs/jinja"
)

// valueOf is a JSON text as a value of the template language: objects in their
// order, integers as such.
func valueOf(text []byte) (jinja.Value, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := nextValue(decoder)
	if err != nil {
		return value, err
	}
	if _, err := decoder.Token(); err == nil {
		return value, errors.New("more than one JSON value")
	}
	return value, nil
}

func nextValue(decoder *json.Decoder) (jinja.Value, error) {
	token, err := decoder.Token()
	if err != nil {
		return jinja.Undefined(), fmt.Errorf("no JSON: %w", err)
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return nextDict(decoder)
		}
		var items []jinja.Value
		for decoder.More() {
			item, err := nextValue(decoder)
			if err != nil {
				return item, err
			}
			items = append(items, item)
		}
		return jinja.NewList(items), end(decoder)
	case json.Number:
		if whole, err := t.Int64(); err == nil {
			return jinja.NewInt(whole), nil
		}
		number, err := t.Float64()
		if err != nil {
			return jinja.Undefined(), fmt.Errorf("no JSON: %w", err)
		}
		return jinja.NewFloat(number), nil
	default:
		return jinja.FromGoValue(token), nil
	}
}

func nextDict(decoder *json.Decoder) (jinja.Value, error) {
	value := jinja.NewDict()
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return value, fmt.Errorf("no JSON: %w", err)
		}
		item, err := nextValue(decoder)
		if err != nil {
			return value, err
		}
		value.AsDict().Set(key.(string), item)
	}
	return value, end(decoder)
}

// end takes the bracket that closes what was read.
func end(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	return nil
}

// dict makes a dict of names and values in turn.
func dict(pairs ...any) jinja.Value {
	value := jinja.NewDict()
	for i := 0; i < len(pairs); i += 2 {
		item, ok := pairs[i+1].(jinja.Value)
		if !ok {
			item = jinja.FromGoValue(pairs[i+1])
		}
		value.AsDict().Set(pairs[i].(string), item)
	}
	return value
}

// tojson is transformers' filter: Python's json.dumps with ensure_ascii off. The
// template library's own sorts keys where it indents, and writes some floats as
// integers.
func tojson(args []jinja.Value, options map[string]jinja.Value) (jinja.Value, error) {
	if len(args) == 0 {
		return jinja.Undefined(), errors.New("tojson needs a value")
	}
	w := jsonWriter{item: ", ", key: ": "}
	if v, ok := options["ensure_ascii"]; ok {
		w.ascii = v.IsTruthy()
	}
	indent, ok := options["indent"]
	if !ok && len(args) > 1 {
		indent, ok = args[1], true
	}
	if ok && indent.IsInt() {
		w.indent, w.item = strings.Repeat(" ", int(max(0, min(indent.AsInt(), 16)))), ","
		w.lines = true
	}
	if v, ok := options["separators"]; ok && v.IsList() && v.AsList().Len() == 2 {
		item, key := v.AsList().Get(0), v.AsList().Get(1)
		if item.IsString() && key.IsString() {
			w.item, w.key = item.AsString(), key.AsString()
		}
	}
	w.write(args[0], "\n")
	return jinja.NewString(w.String()), nil
}

type jsonWriter struct {
	strings.Builder
	item, key, indent string
	lines, ascii      bool
}

// write writes a value; line is a newline and the indentation around it.
func (w *jsonWriter) write(value jinja.Value, line string) {
	switch {
	case value.IsString():
		w.quote(value.AsString())
	case value.IsBool():
		w.WriteString(strconv.FormatBool(value.AsBool()))
	case value.IsInt():
		w.WriteString(strconv.FormatInt(value.AsInt(), 10))
	case value.IsFloat():
		w.WriteString(float(value.AsFloat()))
	case value.IsList():
		w.list(value.AsList().Items, line)
	case value.IsDict():
		w.dict(value.AsDict(), line)
	default:
		w.WriteString("null")
	}
}

func (w *jsonWriter) list(items []jinja.Value, line string) {
	w.WriteByte('[')
	for i, item := range items {
		w.next(i, line+w.indent)
		w.write(item, line+w.indent)
	}
	w.close(len(items), line, ']')
}

func (w *jsonWriter) dict(d *jinja.Dict, line string) {
	w.WriteByte('{')
	for i, key := range d.Keys {
		w.next(i, line+w.indent)
		w.quote(key)
		w.WriteString(w.key)
		w.write(d.Data[key], line+w.indent)
	}
	w.close(len(d.Keys), line, '}')
}

// next goes on to the item number i.
func (w *jsonWriter) next(i int, line string) {
	if i > 0 {
		w.WriteString(w.item)
	}
	if w.lines {
		w.WriteString(line)
	}
}

func (w *jsonWriter) close(n int, line string, bracket byte) {
	if w.lines && n > 0 {
		w.WriteString(line)
	}
	w.WriteByte(bracket)
}

// quote writes a string with the escapes that Python writes.
func (w *jsonWriter) quote(s string) {
	w.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			w.WriteByte('\\')
			w.WriteRune(c)
		case c == '\n':
			w.WriteString(`\n`)
		case c == '\r':
			w.WriteString(`\r`)
		case c == '\t':
			w.WriteString(`\t`)
		case c == '\b':
			w.WriteString(`\b`)
		case c == '\f':
			w.WriteString(`\f`)
		case c < ' ' || w.ascii && c > '~' && c <= 0xffff:
			_, _ = fmt.Fprintf(w, `\u%04x`, c)
		case w.ascii && c > 0xffff:
			_, _ = fmt.Fprintf(w, `\u%04x\u%04x`, 0xd800+(c-0x10000)>>10, 0xdc00+(c-0x10000)&0x3ff)
		default:
			w.WriteRune(c)
		}
	}
	w.WriteByte('"')
}

// float is a number as Python writes it: always with a point or an exponent.
func float(f float64) string {
	if magnitude := math.Abs(f); magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// str is Python's str of a value, as the filter "string" gives it; the template
// library's own drops none and the points of floats.
func str(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	if len(args) == 0 {
		return jinja.Undefined(), errors.New("string needs a value")
	}
	return jinja.NewString(python(args[0], false)), nil
}

// output is what is printed of a value. The template library's own drops the
// points of floats; that it prints nothing for none stays, as none is what the
// content of a call is.
func output(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	switch value := args[0]; {
	case value.IsFloat(), value.IsList(), value.IsDict():
		return jinja.NewString(python(value, false)), nil
	default:
		return value, nil
	}
}

// python is str of a value, or repr of one within another.
func python(value jinja.Value, within bool) string {
	switch {
	case value.IsString() && within:
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(value.AsString()) + "'"
	case value.IsString():
		return value.AsString()
	case value.IsFloat():
		return float(value.AsFloat())
	case value.IsUndefined():
		return ""
	case value.IsList():
		var items []string
		for _, item := range value.AsList().Items {
			items = append(items, python(item, true))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case value.IsDict():
		var items []string
		for _, key := range value.AsDict().Keys {
			items = append(items, python(jinja.NewString(key), true)+": "+python(value.AsDict().Data[key], true))
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return value.String()
}
