package chat

import "strings"

// llama is the format of Llama 3.1 to 3.3: an answer that is nothing but a JSON
// object is a call, with or without a tag before it.
// https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/ and
// .../llama3_2/ describe it.
type llama struct{ keys }

const pythonTag = "<|python_tag|>"

func llamaFormat() llama { return llama{keys{"name", "parameters"}} }

// firstKeys are the members with which a call begins, as other JSON is an
// answer.
func (llama) firstKeys() []string { return []string{`name"`, `type"`} }

func (l llama) content([]callable) step { return l.begin }

// begin decides by the first characters whether the answer is a call.
func (l llama) begin(p *Parser, last bool) step {
	mark := len(p.rest) - len(strings.TrimLeft(p.rest, blanks))
	if !last && strings.HasPrefix(pythonTag, p.rest[mark:]) {
		return nil
	}
	mark += len(p.rest[mark:]) - len(strings.TrimPrefix(p.rest[mark:], pythonTag))
	c := cursor{text: p.rest, at: mark}
	_, v := c.char("{")
	if v == yes {
		_, v = c.char(`"`)
	}
	if v == yes {
		v = no
		for _, key := range l.firstKeys() {
			switch ahead := p.rest[c.at:]; {
			case strings.HasPrefix(ahead, key):
				return l.read(mark, sayOn, l.another)
			case strings.HasPrefix(key, ahead):
				v = undecided
			}
		}
	}
	if v == undecided && !last {
		return nil
	}
	return say
}

// sayOn says what is no call after all, to the end.
func sayOn(*Parser, int) step { return say }

// another reads what follows a call: another one behind a semicolon, or text.
func (l llama) another(p *Parser, last bool) step {
	ahead := strings.TrimLeft(p.rest, blanks+";")
	switch {
	case ahead == "" && last:
		p.rest = ""
		return nil
	case ahead == "":
		return nil
	case ahead[0] == '{':
		p.rest = ahead
		return l.begin
	}
	p.rest = strings.TrimLeft(p.rest, blanks)
	return say
}

func (l llama) calls(r *rules, tools []callable, many bool) (string, error) {
	object, err := l.rule(r, tools)
	if err != nil {
		return "", err
	}
	calls := literal(pythonTag) + "? " + object
	if many {
		calls += ` (";" ` + space + " " + object + ")" + more
	}
	return calls, nil
}

// free is any text that does not begin as a call does.
func (l llama) free(calls string) string {
	tag, _ := strings.CutPrefix(pythonTag, "<")
	other := `[ \t\r\n]* (` + class(true, ' ', '\t', '\r', '\n', '<', '{') + " " + anything +
		` | "<" ` + unlike(anything, nil, []string{tag}) +
		` | "{" [ \t\r\n]* (` + class(true, ' ', '\t', '\r', '\n', '"') + " " + anything +
		` | "\"" ` + unlike(anything, nil, l.firstKeys()) + ")?)?"
	return "(" + calls + " | " + other + ")"
}

func (l llama) write(calls []ToolCall) string {
	var each []string
	for _, call := range calls {
		each = append(each, l.keys.write(call))
	}
	return strings.Join(each, "; ")
}
