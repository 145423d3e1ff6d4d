package strictjson

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// Kind is the type of a JSON value.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

// String names the kind with its article, as error messages need it.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Number:
		return "a number"
	case String:
		return "a string"
	case Array:
		return "a list"
	case Object:
		return "an object"
	}
	return "nothing"
}

// Value is one parsed JSON value. The zero Value is null.
type Value struct {
	// Kind says which of the other fields is set.
	Kind Kind
	// Text is a string's content, or a number's or boolean's literal.
	Text string
	// Items are the elements of an array.
	Items []Value
	// Members are the members of an object, in the document's order; no name
	// is there twice.
	Members []Member
}

// Member is one name and value of an object.
type Member struct {
	Name  string
	Value Value
}

// Get returns the member of an object by its name.
func (v Value) Get(name string) (Value, bool) {
	for i := range v.Members {
		if v.Members[i].Name == name {
			return v.Members[i].Value, true
		}
	}
	return Value{}, false
}

// AppendJSON appends the value as JSON: members in their order, numbers as they
// were written, no white space.
func (v Value) AppendJSON(dst []byte) []byte {
	switch v.Kind {
	case Null:
		return append(dst, "null"...)
	case Bool, Number:
		return append(dst, v.Text...)
	case String:
		return appendString(dst, v.Text)
	case Array:
		dst = append(dst, '[')
		for i, item := range v.Items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.AppendJSON(dst)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i, m := range v.Members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, m.Name), ':')
			dst = m.Value.AppendJSON(dst)
		}
		return append(dst, '}')
	}
	return dst
}

// appendString leaves <, > and & as they are.
func appendString(dst []byte, text string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	// A string that was parsed is valid UTF-8: nothing can fail.
	_ = enc.Encode(text)
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// True reports whether v is the boolean true.
func (v Value) True() bool { return v.Kind == Bool && v.Text == "true" }

// exactFloat is the bound below which a float64 holds every integer.
const exactFloat = 1 << 53

// Int returns the integer that v is. As in JSON Schema, 2.0 and 2e0 are
// integers; 2.5, and an integer out of range, are not.
func (v Value) Int() (int64, bool) {
	if v.Kind != Number {
		return 0, false
	}
	if i, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
		return i, true
	}
	f, ok := v.Float()
	if !ok || f != math.Trunc(f) || math.Abs(f) > exactFloat {
		return 0, false
	}
	return int64(f), true
}

// Short is the text of v, cut to what an error may repeat of a stranger's.
func (v Value) Short() string { return short(v.Text) }

// Float returns the number that v is; false also for one that a float64
// cannot hold.
func (v Value) Float() (float64, bool) {
	if v.Kind != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.Text, 64)
	return f, err == nil
}
