package chat

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// gemma is the format of Gemma 4: a call is a name and an object whose keys have
// no quotes and whose strings have quotes of their own, by its chat template:
// https://ai.google.dev/gemma/docs/capabilities/function-calling.
type gemma struct{}

const (
	gemmaBegin = "<|tool_call>"
	gemmaCall  = "call:"
	gemmaEnd   = "<tool_call|>"
	gemmaQuote = `<|"|>`
	// gemmaMarks are what no key may have.
	gemmaMarks = `:,{}[]<"` + "\n"
)

func (g gemma) marked() marked { return marked{markers: []string{gemmaBegin}, open: g.open} }

func (g gemma) content([]callable) step { return g.marked().content }

func (g gemma) free(calls string) string { return g.marked().free(calls) }

// open reads a call up to its first brace; mark bytes are before it.
func (g gemma) open(mark int) step {
	return func(p *Parser, last bool) step {
		ahead := strings.TrimLeft(p.rest[mark:], blanks)
		name, ok := strings.CutPrefix(ahead, gemmaCall)
		if !ok && !last && strings.HasPrefix(gemmaCall, ahead) {
			return nil
		}
		brace := strings.IndexByte(name, '{')
		if ok && brace < 0 && !last && len(name) <= longestName {
			return nil
		}
		if !ok || brace < 0 || brace > longestName || strings.TrimSpace(name[:brace]) == "" {
			return g.marked().refuse(p, mark)
		}
		p.take(len(p.rest) - len(name) + brace)
		p.begin(strings.TrimSpace(name[:brace]))
		return new(gemmaObject).next
	}
}

// gemmaObject turns an object into JSON while it is read.
type gemmaObject struct {
	// open are the brackets that are open; key: a key comes next.
	open []byte
	key  bool
}

// next takes brackets and commas, up to a key or a value.
func (o *gemmaObject) next(p *Parser, last bool) step {
	p.rest = strings.TrimLeft(p.rest, blanks)
	if p.rest == "" {
		return nil
	}
	switch c := p.rest[0]; {
	case c == '{' || c == '[':
		o.open = append(o.open, c)
	case c == '}' || c == ']':
		o.open = o.open[:len(o.open)-1]
	case c == ',' || c == ':':
	case strings.HasPrefix(p.rest, gemmaQuote):
		p.take(len(gemmaQuote))
		p.argue(`"`)
		return o.str
	case strings.HasPrefix(gemmaQuote, p.rest):
		if last {
			p.rest = ""
		}
		return nil
	default:
		return o.bare
	}
	c := p.take(1)
	p.argue(c)
	o.key = c != ":" && len(o.open) > 0 && o.open[len(o.open)-1] == '{'
	if len(o.open) == 0 {
		return drop(gemmaEnd, skip(blanks, gemma{}.content(nil)))
	}
	return o.next
}

// str hands on a string.
func (o *gemmaObject) str(p *Parser, last bool) step {
	at, length, certain := find(p.rest, gemmaQuote)
	if at >= 0 {
		p.argue(inside(p.take(at)) + `"`)
		p.take(length)
		return o.next
	}
	p.argue(inside(p.take(certain)))
	if last { // what is left began to end the string
		p.rest = ""
	}
	return nil
}

// bare takes what has no quotes: a key, a number or a word.
func (o *gemmaObject) bare(p *Parser, last bool) step {
	end := ",]}"
	if o.key {
		end = ":"
	}
	at := strings.IndexAny(p.rest, end)
	if at < 0 && !last {
		return nil
	}
	if at < 0 { // cut short
		word := p.take(len(p.rest))
		if o.key {
			word = `"` + inside(word)
		}
		p.argue(word)
		return nil
	}
	word := strings.TrimSpace(p.take(at))
	if o.key || !json.Valid([]byte(word)) {
		word = quote(word)
	}
	p.argue(word)
	return o.next
}

func (g gemma) calls(r *rules, tools []callable, many bool) (string, error) {
	loose := g.loose(r)
	var each []string
	for _, tool := range tools {
		arguments := loose
		if tool.kept {
			if _, err := onlyProperties(tool, gemmaMarks); err != nil {
				return "", err
			}
			schema := gemmaSchema{rules: r, loose: loose, definitions: definitions(tool.schema())}
			var err error
			if arguments, err = schema.object(tool.schema(), tool.path+".parameters", 0); err != nil {
				return "", err
			}
		}
		each = append(each, literal(tool.Name)+" "+arguments)
	}
	call := r.add("call", literal(gemmaBegin+gemmaCall)+" "+group(each)+" "+literal(gemmaEnd))
	if !many {
		return call, nil
	}
	return call + " (" + call + ")" + more, nil
}

const (
	gemmaNumber  = `"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?`
	gemmaInteger = `"-"? ("0" | [1-9] [0-9]{0,15})`
)

// gemmaString is an expression of any string.
func gemmaString() string {
	return literal(gemmaQuote) + " " + text(gemmaQuote) + " " + literal(gemmaQuote)
}

// loose adds the rules of any object, and returns its name.
func (gemma) loose(r *rules) string {
	p := r.prefix("gemma")
	value := p + "value"
	member := p + "member"
	r.text.WriteString(value + " ::= " + p + "object | " + p + "array | " + gemmaString() + " | " + gemmaNumber +
		` | "true" | "false" | "null"` + "\n" +
		member + ` ::= ([a-zA-Z_$] [a-zA-Z0-9_.$-]{0,63} | ` + gemmaString() + `) ":" ` + value + "\n" +
		p + `object ::= "{" (` + member + ` ("," ` + member + `)*)? "}"` + "\n" +
		p + `array ::= "[" (` + value + ` ("," ` + value + `)*)? "]"` + "\n")
	return p + "object"
}

// gemmaSchema is the grammar of objects that keep to a JSON Schema, as much of
// it as function declarations use.
type gemmaSchema struct {
	*rules
	loose       string
	definitions map[string]json.RawMessage
}

// object is an expression of an object. Its members come in the order of their
// names, as the template writes them.
func (g gemmaSchema) object(schema []byte, path string, depth int) (string, error) {
	if free, err := declared(schema, path+".", gemmaMarks); free || err != nil {
		return g.loose, err
	}
	all := properties(schema)
	slices.SortFunc(all, func(a, b property) int { return strings.Compare(a.name, b.name) })
	// A member's comma is before it, unless it is the first: so there is a rule
	// for what may follow once there is one, and the object begins with any
	// of those before which none is required.
	following := make([]string, len(all)+1)
	following[len(all)] = `""`
	members := make([]string, len(all))
	for i := len(all) - 1; i >= 0; i-- {
		value, err := g.value(all[i].schema, path+".properties."+all[i].name, depth+1)
		if err != nil {
			return "", err
		}
		members[i] = g.add("member", literal(all[i].name+":")+" "+value)
		with := `"," ` + members[i] + " " + following[i+1]
		if !all[i].required {
			with = "(" + with + " | " + following[i+1] + ")"
		}
		following[i] = g.add("rest", with)
	}
	var firsts []string
	for i := range all {
		firsts = append(firsts, members[i]+" "+following[i+1])
		if all[i].required {
			return `"{" ` + group(firsts) + ` "}"`, nil
		}
	}
	return `"{" ` + group(append(firsts, `""`)) + ` "}"`, nil
}

// value is an expression of a property's value.
func (g gemmaSchema) value(schema json.RawMessage, path string, depth int) (string, error) {
	refuse := func(keyword, reason string) (string, error) {
		return "", &UnsupportedError{Param: strings.TrimSuffix(path+"."+keyword, "."), Reason: reason}
	}
	names, values := members(schema)
	said := make(map[string]json.RawMessage)
	for i, name := range names {
		switch name {
		case "title", "description", "default", "examples", "$comment":
		case "type", "enum", "const", "items", "properties", "required", "additionalProperties", "$ref", "anyOf":
			said[name] = values[i]
		default:
			return refuse(name, "this model's format of calls cannot keep to it")
		}
	}
	if depth > 16 {
		return refuse("", "nested more than 16 deep")
	}
	for _, name := range []string{"$ref", "anyOf", "const", "enum"} {
		_, typed := said["type"]
		if said[name] == nil || len(said) == 1 || len(said) == 2 && typed && (name == "const" || name == "enum") {
			continue
		}
		return refuse(name, "this model's format of calls cannot keep to it and what is beside it")
	}
	var list []json.RawMessage
	switch {
	case said["$ref"] != nil:
		var ref string
		_ = json.Unmarshal(said["$ref"], &ref)
		if g.definitions[ref] == nil {
			return refuse("$ref", "there is nothing at "+ref)
		}
		return g.value(g.definitions[ref], path+".$ref", depth+1)
	case said["const"] != nil:
		return g.choices("const", []json.RawMessage{said["const"]}, said["type"], path)
	case said["enum"] != nil:
		_ = json.Unmarshal(said["enum"], &list)
		return g.choices("enum", list, said["type"], path)
	case said["anyOf"] != nil:
		_ = json.Unmarshal(said["anyOf"], &list)
	}
	var each []string
	for _, choice := range list {
		one, err := g.value(choice, path+".anyOf", depth+1)
		if err != nil {
			return "", err
		}
		each = append(each, one)
	}
	for _, kind := range typesNamed(said["type"]) {
		one, err := g.kind(kind, said, path, depth)
		if err != nil {
			return "", err
		}
		each = append(each, one)
	}
	if each == nil {
		return refuse("", "has no type")
	}
	return group(each), nil
}

// choices are the values of enum or const that are of the types, if any are said.
func (g gemmaSchema) choices(keyword string, values []json.RawMessage, kinds json.RawMessage, path string) (string, error) {
	var each []string
	for _, value := range values {
		kind, of := typeOf(value), typesNamed(kinds)
		whole := kind == "number" && !bytes.ContainsAny(value, ".eE") && slices.Contains(of, "integer")
		if text := gemmaWrite(value); kinds == nil || whole || slices.Contains(of, kind) {
			each = append(each, literal(text))
		}
	}
	if each == nil {
		return "", &UnsupportedError{Param: path + "." + keyword, Reason: "has no value of the type"}
	}
	return group(each), nil
}

// kind is an expression of the values of a type.
func (g gemmaSchema) kind(kind string, said map[string]json.RawMessage, path string, depth int) (string, error) {
	switch kind {
	case "string":
		return gemmaString(), nil
	case "boolean":
		return `("true" | "false")`, nil
	case "null":
		return `"null"`, nil
	case "integer":
		return gemmaInteger, nil
	case "number":
		return gemmaNumber, nil
	case "array":
		if said["items"] == nil {
			return "", &UnsupportedError{Param: path, Reason: "an array without items"}
		}
		item, err := g.value(said["items"], path+".items", depth+1)
		if err != nil {
			return "", err
		}
		item = g.add("item", item)
		return `"[" (` + item + ` ("," ` + item + `)*)? "]"`, nil
	case "object":
		object, err := json.Marshal(said)
		if err != nil {
			return "", &UnsupportedError{Param: path, Reason: err.Error()}
		}
		return g.object(object, path, depth)
	}
	return "", &UnsupportedError{Param: path + ".type", Reason: "unknown type " + kind}
}

// gemmaWrite is a JSON value in the format's own way, members in order.
func gemmaWrite(value json.RawMessage) string {
	var s string
	var list []json.RawMessage
	switch typeOf(value) {
	case "string":
		_ = json.Unmarshal(value, &s)
		return gemmaQuote + s + gemmaQuote
	case "array":
		_ = json.Unmarshal(value, &list)
		var each []string
		for _, item := range list {
			each = append(each, gemmaWrite(item))
		}
		return "[" + strings.Join(each, ",") + "]"
	case "object":
		names, values := members(value)
		var each []string
		for i, name := range names {
			each = append(each, name+":"+gemmaWrite(values[i]))
		}
		return "{" + strings.Join(each, ",") + "}"
	}
	return string(value)
}

func (gemma) write(calls []ToolCall) string {
	var b strings.Builder
	for _, call := range calls {
		b.WriteString(gemmaBegin + gemmaCall + call.Name + gemmaWrite(json.RawMessage(strings.TrimSpace(argumentsOf(call)))) + gemmaEnd)
	}
	return b.String()
}
