package chat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// anyObject is the schema of arguments that are not kept to their own.
const anyObject = `{"type":"object"}`

// arguments is an expression of a call's arguments as JSON.
func (c callable) arguments(r *rules) (string, error) {
	if !c.kept {
		return r.schema([]byte(anyObject), "", c.path+".parameters")
	}
	return r.schema(c.schema(), "", c.path+".parameters")
}

// property is an argument of a tool.
type property struct {
	name     string
	required bool
	schema   json.RawMessage
	types    types
}

// types are the JSON types that a value may have; nil if nobody said.
type types []string

// text: the value is a string, whatever is written.
func (t types) text() bool { return len(t) == 1 && t[0] == "string" }

// typesOf finds what a schema says of a value's types. definitions are those of
// the document by their paths; depth bounds what refers to itself.
func typesOf(schema json.RawMessage, definitions map[string]json.RawMessage, depth int) types {
	var s struct {
		Ref   string            `json:"$ref"`
		Type  json.RawMessage   `json:"type"`
		Enum  []json.RawMessage `json:"enum"`
		Const json.RawMessage   `json:"const"`
		AnyOf []json.RawMessage `json:"anyOf"`
		OneOf []json.RawMessage `json:"oneOf"`
	}
	if json.Unmarshal(schema, &s) != nil || depth == 0 {
		return nil
	}
	many := typesNamed(s.Type)
	switch {
	case many != nil:
		return many
	case s.Ref != "":
		return typesOf(definitions[s.Ref], definitions, depth-1)
	case s.Const != nil:
		s.Enum = append(s.Enum, s.Const)
	}
	for _, value := range s.Enum {
		many = append(many, typeOf(value))
	}
	for _, either := range append(s.AnyOf, s.OneOf...) {
		t := typesOf(either, definitions, depth-1)
		if t == nil {
			return nil
		}
		many = append(many, t...)
	}
	slices.Sort(many)
	return slices.Compact(many)
}

// typesNamed are the types that the keyword type names; nil if it is absent.
func typesNamed(value json.RawMessage) types {
	var one string
	var many types
	switch {
	case json.Unmarshal(value, &one) == nil && one != "":
		return types{one}
	case json.Unmarshal(value, &many) == nil && len(many) > 0:
		return many
	}
	return nil
}

// typeOf is the type of a JSON value.
func typeOf(value json.RawMessage) string {
	switch value[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// onlyProperties refuses schemas of arguments that say more than which there are,
// for models that write them one by one. None may have one of the bytes in its
// name. free: any arguments are allowed.
func onlyProperties(tool callable, without string) (free bool, err error) {
	path := tool.path + ".parameters."
	names, _ := members(tool.schema())
	for _, name := range names {
		switch name {
		case "type", "title", "description", "default", "examples", "$comment", "$schema", "$id", "$defs", "definitions",
			"properties", "required", "additionalProperties":
		default:
			return false, &UnsupportedError{Param: path + name, Reason: "this model writes arguments one by one, where it cannot be kept to"}
		}
	}
	return declared(tool.schema(), path, without)
}

// declared refuses schemas of objects whose required members are not all declared,
// or with names that the model cannot write. free: none is declared, and all are
// allowed.
func declared(schema json.RawMessage, path, without string) (free bool, err error) {
	var s struct {
		Required   []string        `json:"required"`
		Additional json.RawMessage `json:"additionalProperties"`
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		return false, &UnsupportedError{Param: path + "required", Reason: err.Error()}
	}
	known := properties(schema)
	for _, name := range s.Required {
		if !slices.ContainsFunc(known, func(p property) bool { return p.name == name }) {
			return false, &UnsupportedError{Param: path + "required", Reason: quote(name) + " is not among the properties"}
		}
	}
	for _, p := range known {
		if p.name == "" || strings.ContainsAny(p.name, without) || strings.TrimSpace(p.name) != p.name {
			return false, &UnsupportedError{Param: path + "properties", Reason: "this model cannot write the name " + quote(p.name)}
		}
	}
	switch more := string(s.Additional); {
	case len(known) > 0 || more == "false":
		return false, nil
	case more == "" || more == "true" || more == "{}":
		return true, nil
	}
	return false, &UnsupportedError{Param: path + "additionalProperties", Reason: "this model's format of calls cannot keep to it"}
}

// properties are the arguments of a tool in the order of its schema. One that
// cannot be read has none: what is wrong with it is said elsewhere.
func properties(parameters []byte) []property {
	var schema map[string]json.RawMessage
	if json.Unmarshal(parameters, &schema) != nil {
		return nil
	}
	definitions := definitions(parameters)
	var required []string
	_ = json.Unmarshal(schema["required"], &required)
	names, values := members(schema["properties"])
	var out []property
	for i, name := range names {
		out = append(out, property{
			name: name, required: slices.Contains(required, name), schema: values[i],
			types: typesOf(values[i], definitions, 8),
		})
	}
	return out
}

// definitions are the schemas that a document's references mean, by these.
func definitions(document []byte) map[string]json.RawMessage {
	var schema map[string]json.RawMessage
	if json.Unmarshal(document, &schema) != nil {
		return nil
	}
	out := make(map[string]json.RawMessage)
	for _, place := range []string{"$defs", "definitions"} {
		names, values := members(schema[place])
		for i, name := range names {
			out["#/"+place+"/"+name] = values[i]
		}
	}
	return out
}

// members are the names and values of a JSON object, in its order.
func members(object json.RawMessage) (names []string, values []json.RawMessage) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if t, err := decoder.Token(); err != nil || t != json.Delim('{') {
		return nil, nil
	}
	for decoder.More() {
		name, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return nil, nil
		}
		names = append(names, name.(string))
		values = append(values, value)
	}
	return names, values
}

// quote is text as a JSON string, with no more escapes than it needs.
func quote(text string) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)
	return strings.TrimSuffix(b.String(), "\n")
}

// inside is text as it stands within the quotes of a JSON string.
func inside(text string) string {
	quoted := quote(text)
	return quoted[1 : len(quoted)-1]
}

// value is what a model wrote without quotes, as JSON: of the types that it may
// have, where they are known; else JSON where it is some, and a string where not.
func (t types) value(written string) string {
	trimmed := strings.TrimSpace(written)
	python := map[string]string{"True": "true", "False": "false", "None": "null"}[trimmed]
	if python != "" && t != nil && !slices.Contains(t, "string") {
		return python
	}
	if t.text() || !json.Valid([]byte(trimmed)) {
		return quote(written)
	}
	if kind := typeOf(json.RawMessage(trimmed)); slices.Contains(t, "string") && !slices.Contains(t, kind) &&
		(kind != "number" || !slices.Contains(t, "integer")) {
		return quote(written)
	}
	return trimmed
}
