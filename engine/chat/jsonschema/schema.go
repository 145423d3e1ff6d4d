package jsonschema

import (
	"math/big"
	"net/url"
	"strconv"
	"strings"
)

// typeSet is a set of types of values. The numbers are cut into two, so that
// "integer" and "number" intersect like any others.
type typeSet uint8

const (
	typeNull typeSet = 1 << iota
	typeBool
	typeInteger
	typeFraction // numbers that are no integers
	typeString
	typeArray
	typeObject

	typeNumber = typeInteger | typeFraction
	anyType    = typeNull | typeBool | typeNumber | typeString | typeArray | typeObject
)

func typeNamed(name string) (typeSet, bool) {
	switch name {
	case "null":
		return typeNull, true
	case "boolean":
		return typeBool, true
	case "integer":
		return typeInteger, true
	case "number":
		return typeNumber, true
	case "string":
		return typeString, true
	case "array":
		return typeArray, true
	case "object":
		return typeObject, true
	default:
		return 0, false
	}
}

// schema is one schema of the document, parsed. Fields are the keywords; their
// zero values say that the keyword is absent.
type schema struct {
	at *value
	id int
	// never is the schema false.
	never bool

	hasTypes bool
	types    typeSet
	// implied are the types that the other keywords speak of.
	implied typeSet
	enums   []*enumeration

	bounds     []bound
	multipleOf *multiple

	minLength, maxLength *count
	pattern              *pattern
	format               *pattern

	prefix             []*schema
	items              *schema
	minItems, maxItems *count
	uniqueItems        *value

	properties       []property
	byName           map[string]*schema
	required         []*value
	additional       *schema
	propertyNames    *schema
	minProps, maxPro *count

	ref *schema
	// more counts the keywords beside $ref that are no annotations.
	more  int
	allOf []*schema
	// unions are anyOf and oneOf, of which one branch is taken.
	unions []*union
}

type property struct {
	name   string
	schema *schema
}

type enumeration struct {
	at     *value
	values []*value
	// keys are those of the values.
	keys map[string]bool
}

func newEnumeration(at *value, values []*value) *enumeration {
	e := &enumeration{at: at, values: values, keys: map[string]bool{}}
	for _, v := range values {
		e.keys[v.key()] = true
	}
	return e
}

// count is the value of a keyword that counts.
type count struct {
	at *value
	n  int
}

// bound is one side of a range of numbers.
type bound struct {
	at    *value
	value *big.Rat
	upper bool
	// open bounds are not part of the range.
	open bool
}

type multiple struct {
	at *value
	of *big.Rat
}

// pattern is what a string must match: from pattern, or from format.
type pattern struct {
	at *value
	// source is the pattern as it was given.
	source string
	// text is what a whole string must be.
	text *expression
	// parts are all that must hold: text, and what the pattern looks ahead to.
	parts []patternPart
}

type patternPart struct {
	condition
	// regex is in Go's notation.
	regex string
}

// union is anyOf or oneOf.
type union struct {
	at       *value
	branches []*schema
	// exactlyOne says that no two branches may hold.
	exactlyOne bool
}

// parser turns values of the document into schemas, those that are reached.
type parser struct {
	root  *value
	known map[*value]*schema
	table map[string]keyword
}

func newParser(root *value) *parser {
	p := &parser{root: root, known: map[*value]*schema{}, table: map[string]keyword{}}
	for _, k := range keywordTable() {
		p.table[k.Name] = k
	}
	return p
}

// schema parses a value that stands where a schema must. The same value is the
// same schema, however it is reached; that ends recursion.
func (p *parser) schema(v *value) (*schema, error) {
	if s := p.known[v]; s != nil {
		return s, nil
	}
	s := &schema{at: v, id: len(p.known)}
	p.known[v] = s
	switch v.kind {
	case kindBool:
		s.never = !v.truth
		return s, nil
	case kindObject:
	default:
		return nil, v.refuse("must be a schema: an object, true or false")
	}
	for i, name := range v.names {
		if err := p.keyword(s, name, v.items[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (p *parser) keyword(s *schema, name string, v *value) error {
	if strings.HasPrefix(name, "x-") {
		return nil // extensions are annotations
	}
	k, ok := p.table[name]
	switch {
	case !ok:
		return v.refuse("is no keyword of JSON Schema that is known here")
	case k.Use == Refused:
		return v.refuse("cannot be kept: %s", k.Note)
	case k.parse == nil:
		return nil
	}
	s.implied |= k.implies
	if name != "$ref" {
		s.more++
	}
	return k.parse(p, s, v)
}

func (p *parser) schemas(v *value) ([]*schema, error) {
	if v.kind != kindArray || len(v.items) == 0 {
		return nil, v.refuse("must be a list of at least one schema")
	}
	list := make([]*schema, 0, len(v.items))
	for _, item := range v.items {
		s, err := p.schema(item)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// resolve finds what a reference within the document points to.
func (p *parser) resolve(v *value) (*value, error) {
	if v.kind != kindString {
		return nil, v.refuse("must be a string")
	}
	ref := v.text
	if id := p.root.member("$id"); id != nil && id.kind == kindString && id.text != "" {
		if rest, ok := strings.CutPrefix(ref, strings.TrimSuffix(id.text, "#")); ok {
			ref = "#" + strings.TrimPrefix(rest, "#")
		}
	}
	fragment, ok := strings.CutPrefix(ref, "#")
	pointer, err := url.PathUnescape(fragment)
	if !ok || err != nil || (pointer != "" && pointer[0] != '/') {
		return nil, v.refuse("points to %q: only pointers within the schema are followed, such as \"#/$defs/name\"", v.text)
	}
	target := p.root.find(pointer)
	if target == nil {
		return nil, v.refuse("points to %q, which is not there", v.text)
	}
	return target, nil
}

// find is the value that a JSON pointer leads to from here; nil if there is none.
func (v *value) find(pointer string) *value {
	if pointer == "" {
		return v
	}
	for step := range strings.SplitSeq(pointer[1:], "/") {
		if v = v.child(strings.NewReplacer("~1", "/", "~0", "~").Replace(step)); v == nil {
			return nil
		}
	}
	return v
}

// child is the member or item that a step of a pointer leads to.
func (v *value) child(step string) *value {
	if v.kind == kindObject {
		return v.member(step)
	}
	i, err := strconv.Atoi(step)
	if v.kind != kindArray || err != nil || i < 0 || i >= len(v.items) {
		return nil
	}
	return v.items[i]
}
