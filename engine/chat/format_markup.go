package chat

import (
	"encoding/json"
	"slices"
	"strings"
)

// markup is a syntax in which each argument stands between tags of its own,
// strings without quotes.
type markup struct {
	// begin and end are around a call; function and functionEnd around what is
	// within, behind blanks.
	begin, function, functionEnd, end string
	// nameEnd ends the name, and is part of it no more.
	nameEnd string
	// key and keyEnd are around an argument's name, value and valueEnd around
	// its value; newline is beside the value, and not part of it.
	key, keyEnd, value, valueEnd, newline string
}

// qwenCoder is the format of Qwen3-Coder and Qwen 3.5, by their chat templates
// and parsers: https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct.
func qwenCoder() markup {
	return markup{
		begin: "<tool_call>", function: "<function=", nameEnd: ">", functionEnd: "</function>", end: "</tool_call>",
		key: "<parameter=", keyEnd: ">", valueEnd: "</parameter>", newline: "\n",
	}
}

// glm is the format of GLM 4.5 and later, by its chat template:
// https://huggingface.co/zai-org/GLM-4.5.
func glm() markup {
	return markup{
		begin: "<tool_call>", end: "</tool_call>",
		key: "<arg_key>", keyEnd: "</arg_key>", value: "<arg_value>", valueEnd: "</arg_value>",
	}
}

func (m markup) marked(tools []callable) marked {
	return marked{markers: []string{m.begin}, open: func(mark int) step { return m.open(mark, tools) }}
}

func (m markup) content(tools []callable) step { return m.marked(tools).content }

func (m markup) free(calls string) string { return m.marked(nil).free(calls) }

// open reads a call up to the end of its name; mark bytes are before it.
func (m markup) open(mark int, tools []callable) step {
	return func(p *Parser, last bool) step {
		ahead := strings.TrimLeft(p.rest[mark:], blanks)
		name, ok := strings.CutPrefix(ahead, m.function)
		if !ok && !last && strings.HasPrefix(m.function, ahead) {
			return nil
		}
		ends := []string{m.nameEnd}
		if m.nameEnd == "" {
			ends = []string{"\n", m.key, m.end}
		}
		at, _, _ := find(name, ends...)
		if ok && at < 0 && !last && len(name) < longestName+len(slices.MaxFunc(ends, byLength)) {
			return nil
		}
		if !ok || at < 0 || at > longestName || strings.TrimSpace(name[:at]) == "" {
			return m.marked(tools).refuse(p, mark)
		}
		p.take(len(p.rest) - len(name) + at + len(m.nameEnd))
		p.begin(strings.TrimSpace(name[:at]))
		p.argue("{")
		call := &markupCall{markup: m, tools: tools}
		for _, tool := range tools {
			if tool.Name == strings.TrimSpace(name[:at]) {
				call.properties, call.kept = properties(tool.Parameters), tool.kept
			}
		}
		return call.next
	}
}

func byLength(a, b string) int { return len(a) - len(b) }

// markupCall is a call that is being read.
type markupCall struct {
	markup
	tools      []callable
	properties []property
	// kept: arguments keep to the schema; some: there was one.
	kept, some bool
}

// next looks for the next argument, or for the call's end.
func (c *markupCall) next(p *Parser, last bool) step {
	end := c.functionEnd
	if end == "" {
		end = c.end
	}
	at, length, certain := find(p.rest, c.key, end, c.end)
	if at < 0 {
		if last {
			certain = len(p.rest)
		}
		p.take(certain)
		return nil
	}
	p.take(at)
	if strings.HasPrefix(p.rest, c.key) {
		return c.keyed
	}
	p.argue("}")
	ended := p.take(length) == c.end
	after := skip(blanks, c.marked(c.tools).content)
	if ended {
		return after
	}
	return drop(c.end, after)
}

// keyed reads an argument's name, up to its value.
func (c *markupCall) keyed(p *Parser, last bool) step {
	at := strings.Index(p.rest, c.keyEnd)
	if at < 0 {
		if last {
			p.rest = ""
		}
		return nil
	}
	name := strings.TrimSpace(p.take(at)[len(c.key):])
	p.take(len(c.keyEnd))
	if c.some {
		p.argue(",")
	}
	c.some = true
	p.argue(quote(name) + ":")
	var kind types
	enforced := false
	for _, property := range c.properties {
		if property.name == name {
			kind, enforced = property.types, c.kept
		}
	}
	value := c.collected(kind, enforced)
	if kind.text() {
		p.argue(`"`)
		value = c.streamed
	}
	value = c.trimmed(value)
	if c.value != "" {
		return drop(c.value, value)
	}
	return value
}

// trimmed drops the newline before a value.
func (c *markupCall) trimmed(value step) step {
	return func(p *Parser, _ bool) step {
		if p.rest == "" {
			return nil
		}
		p.rest = strings.TrimPrefix(p.rest, c.newline)
		return value
	}
}

// streamed hands on a value that is a string.
func (c *markupCall) streamed(p *Parser, last bool) step {
	at, length, certain := find(p.rest, c.newline+c.valueEnd, c.valueEnd)
	if at >= 0 {
		p.argue(inside(p.take(at)) + `"`)
		p.take(length)
		return c.next
	}
	p.argue(inside(p.take(certain)))
	if last { // what is left began to end the value
		p.rest = ""
	}
	return nil
}

// collected waits for the end of a value whose type its text decides. One that is
// enforced is JSON, and may have in a string what would end it elsewhere.
func (c *markupCall) collected(kind types, enforced bool) step {
	return func(p *Parser, last bool) step {
		at, length, certain := find(p.rest, c.newline+c.valueEnd, c.valueEnd)
		for enforced && at >= 0 && quotes(p.rest[:at]) {
			more, n, _ := find(p.rest[at+length:], c.newline+c.valueEnd, c.valueEnd)
			if more < 0 {
				at, certain = -1, len(p.rest)
				break
			}
			at, length = at+length+more, n
		}
		switch {
		case at >= 0:
			p.argue(kind.value(p.take(at)))
			p.take(length)
			return c.next
		case last:
			p.argue(p.take(certain))
			p.rest = ""
		}
		return nil
	}
}

// quotes reports whether a beginning of JSON ends within a string.
func quotes(text string) bool {
	var s jsonScan
	_, done := s.feed(strings.TrimLeft(text, blanks))
	return !done && s.str
}

func (m markup) calls(r *rules, tools []callable, many bool) (string, error) {
	var each []string
	for _, tool := range tools {
		arguments, err := m.arguments(r, tool)
		if err != nil {
			return "", err
		}
		head := m.function + tool.Name + m.nameEnd
		each = append(each, literal(head)+" "+space+" "+arguments)
	}
	call := literal(m.begin) + " " + space + " " + group(each)
	if m.functionEnd != "" {
		call += " " + literal(m.functionEnd) + " " + space
	}
	call = r.add("call", call+" "+literal(m.end))
	if !many {
		return call, nil
	}
	return call + " (" + space + " " + call + ")" + more, nil
}

// arguments is an expression of all arguments of a tool.
func (m markup) arguments(r *rules, tool callable) (string, error) {
	free := !tool.kept
	if tool.kept {
		var err error
		if free, err = onlyProperties(tool, "<>\n"); err != nil {
			return "", err
		}
	}
	if free {
		name := class(true, '<', '>', '\n') + "{1,64}"
		return "(" + m.argument(name, text(m.valueEnd)) + ")*", nil
	}
	var all []string
	for _, property := range properties(tool.schema()) {
		value, err := m.written(r, tool, property)
		if err != nil {
			return "", err
		}
		one := r.add("argument", m.argument(literal(property.name), value))
		if !property.required {
			one += "?"
		}
		all = append(all, one)
	}
	return strings.Join(all, " "), nil
}

func (m markup) argument(name, value string) string {
	parts := []string{literal(m.key), name, literal(m.keyEnd)}
	if m.value != "" {
		parts = append(parts, space, literal(m.value))
	}
	if m.newline != "" {
		value = literal(m.newline) + " " + value + " " + literal(m.newline)
	}
	return strings.Join(append(parts, value, literal(m.valueEnd), space), " ")
}

// written is an expression of a value as it is written: a string without quotes.
func (m markup) written(r *rules, tool callable, p property) (string, error) {
	path := tool.path + ".parameters"
	if !p.types.text() {
		return r.schema(tool.schema(), "/properties/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(p.name), path)
	}
	path += ".properties." + p.name
	var allowed []string
	names, values := members(p.schema)
	for i, name := range names {
		switch name {
		case "enum", "const":
			var texts []string
			if name == "const" {
				values[i] = slices.Concat(json.RawMessage("["), values[i], json.RawMessage("]"))
			}
			if err := json.Unmarshal(values[i], &texts); err != nil || len(texts) == 0 {
				return "", &UnsupportedError{Param: path + "." + name, Reason: "not only strings, of which the type is"}
			}
			texts = slices.DeleteFunc(texts, func(text string) bool {
				return strings.Contains(text, m.valueEnd) || allowed != nil && !slices.Contains(allowed, text)
			})
			if len(texts) == 0 {
				return "", &UnsupportedError{Param: path + "." + name, Reason: "leaves no value that this model can write"}
			}
			allowed = texts
		case "type", "title", "description", "default", "examples", "$comment":
		default:
			return "", &UnsupportedError{Param: path + "." + name, Reason: "this model writes strings without quotes, where it cannot be kept to"}
		}
	}
	if allowed == nil {
		return text(m.valueEnd), nil
	}
	for i := range allowed {
		allowed[i] = literal(allowed[i])
	}
	return group(allowed), nil
}

func (m markup) write(calls []ToolCall) string {
	var each []string
	for _, call := range calls {
		var b strings.Builder
		b.WriteString(m.begin + m.newline + m.function + call.Name + m.nameEnd + m.newline)
		names, values := members(json.RawMessage(argumentsOf(call)))
		for i, name := range names {
			var value string
			if json.Unmarshal(values[i], &value) != nil {
				value = string(values[i])
			}
			b.WriteString(m.key + name + m.keyEnd + m.value + m.newline + value + m.newline + m.valueEnd + m.newline)
		}
		b.WriteString(m.functionEnd + m.newline + m.end)
		each = append(each, b.String())
	}
	return strings.Join(each, "\n")
}
