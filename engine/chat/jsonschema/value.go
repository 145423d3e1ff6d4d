package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindArray
	kindObject
)

// value is a JSON value that knows its place in the document and the order of
// its members.
type value struct {
	kind  kind
	truth bool
	// text is the string, or the number as written.
	text  string
	items []*value
	// names are the members of an object, in the order of the document; items has
	// their values.
	names []string

	parent *value
	// step leads from the parent to this value.
	step string
	// canon is the key, once it was asked for.
	canon string
}

func (v *value) member(name string) *value {
	for i, n := range v.names {
		if n == name {
			return v.items[i]
		}
	}
	return nil
}

// path is the JSON pointer of the value.
func (v *value) path() string {
	var steps []string
	for ; v.parent != nil; v = v.parent {
		steps = append(steps, strings.NewReplacer("~", "~0", "/", "~1").Replace(v.step))
	}
	var b strings.Builder
	for i := len(steps) - 1; i >= 0; i-- {
		b.WriteString("/" + steps[i])
	}
	return b.String()
}

// refuse is the error that names the value's place.
func (v *value) refuse(format string, args ...any) error {
	return &Error{Path: v.path(), Keyword: v.keyword(), Reason: fmt.Sprintf(format, args...)}
}

// keyword is the last name on the path that is a keyword: the place of an item
// of a list belongs to the list.
func (v *value) keyword() string {
	for ; v.parent != nil; v = v.parent {
		if v.parent.kind == kindObject {
			return v.step
		}
	}
	return ""
}

// decode reads a document. Nothing may follow it, and no object may have two
// members of one name: which of them holds would depend on the reader.
func decode(doc []byte) (*value, error) {
	if len(doc) > maxBytes {
		return nil, &LimitError{Limit: "bytes", Max: maxBytes}
	}
	if !utf8.Valid(doc) {
		return nil, &Error{Reason: "is not UTF-8"}
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	v, err := decodeNext(d, nil, "", 0)
	if err != nil {
		return nil, asMalformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, &Error{Reason: "has text behind its end"}
	}
	return v, nil
}

func asMalformed(err error) error {
	var known *Error
	var limit *LimitError
	if errors.As(err, &known) || errors.As(err, &limit) {
		return err
	}
	return &Error{Reason: fmt.Sprintf("is no JSON: %v", err)}
}

func decodeNext(d *json.Decoder, parent *value, step string, depth int) (*value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	v := &value{parent: parent, step: step}
	switch token := token.(type) {
	case nil:
		v.kind = kindNull
	case bool:
		v.kind, v.truth = kindBool, token
	case json.Number:
		v.kind, v.text = kindNumber, token.String()
	case string:
		v.kind, v.text = kindString, token
	case json.Delim:
		if depth >= maxDepth {
			return nil, &LimitError{Limit: "levels of nesting", Max: maxDepth}
		}
		v.kind = kindArray
		if token == '{' {
			v.kind = kindObject
		}
		return v, decodeItems(d, v, depth+1)
	}
	return v, nil
}

func decodeItems(d *json.Decoder, v *value, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		step := strconv.Itoa(len(v.items))
		if v.kind == kindObject {
			token, err := d.Token()
			if err != nil {
				return fmt.Errorf("name: %w", err)
			}
			step, _ = token.(string)
			if seen[step] {
				return v.refuse("has two members named %q", step)
			}
			seen[step] = true
			v.names = append(v.names, step)
		}
		item, err := decodeNext(d, v, step, depth)
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

// maxNumber bounds the length of a number's text and its exponent, for whoever
// computes with it.
const maxNumber = 300

// rational is the exact value of a number.
func (v *value) rational() (*big.Rat, error) {
	if v.kind != kindNumber {
		return nil, v.refuse("must be a number")
	}
	if _, exp, ok := strings.Cut(strings.ToLower(v.text), "e"); ok {
		if n, err := strconv.Atoi(exp); err != nil || n > maxNumber || n < -maxNumber {
			return nil, v.refuse("is too large or too small a number")
		}
	}
	r, ok := new(big.Rat).SetString(v.text)
	if !ok || len(v.text) > maxNumber {
		return nil, v.refuse("is too long a number")
	}
	return r, nil
}

// size is the value of a keyword that counts something.
func (v *value) size() (int, error) {
	r, err := v.rational()
	if err != nil {
		return 0, err
	}
	if !r.IsInt() || r.Sign() < 0 {
		return 0, v.refuse("must be an integer that is not negative")
	}
	if !r.Num().IsInt64() || r.Num().Int64() > 1<<31-1 {
		return 1<<31 - 1, nil
	}
	return int(r.Num().Int64()), nil
}

// key is equal for values that are equal in JSON Schema: numbers by value,
// objects without order.
func (v *value) key() string {
	if v.canon == "" {
		v.canon = v.makeKey()
	}
	return v.canon
}

func (v *value) makeKey() string {
	switch v.kind {
	case kindNull:
		return "null"
	case kindBool:
		return strconv.FormatBool(v.truth)
	case kindString:
		return strconv.Quote(v.text)
	case kindNumber:
		if r, err := v.rational(); err == nil {
			return r.RatString()
		}
		return v.text
	case kindArray, kindObject:
	}
	parts := make([]string, len(v.items))
	for i, item := range v.items {
		parts[i] = item.key()
		if v.kind == kindObject {
			parts[i] = strconv.Quote(v.names[i]) + ":" + parts[i]
		}
	}
	if v.kind == kindArray {
		return "[" + strings.Join(parts, ",") + "]"
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}
