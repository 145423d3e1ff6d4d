package chat

import (
	"strings"
)

// keys are the names of a call's members in JSON.
type keys struct{ name, arguments string }

// head is the beginning of a call that is a JSON object.
type head struct {
	name string
	// at is where the arguments begin, or the whole object ends.
	at int
	// whole: the object is complete, and arguments are those within.
	whole     bool
	arguments string
}

// head reads a call up to its arguments. They come after the name as a rule;
// else it reads to the object's end.
func (k keys) head(text string) (head, verdict) {
	c := cursor{text: text}
	if _, v := c.char("{"); v != yes {
		return head{}, v
	}
	var h head
	named := false
	b, v := c.char(`"}`)
	for v == yes && b == '"' {
		c.at--
		var key string
		if key, v = c.str(); v == yes {
			_, v = c.char(":")
		}
		if v != yes {
			break
		}
		switch {
		case key == k.name:
			h.name, v = c.str()
			named = h.name != ""
		case key == k.arguments && named:
			if _, v = c.char(`{["-0123456789tfn`); v == yes {
				h.at = c.at - 1
			}
			return h, v
		case key == k.arguments:
			h.arguments, v = c.value()
		default:
			_, v = c.value()
		}
		if v == yes {
			b, v = c.char(",}")
		}
		if v == yes && b == ',' {
			b, v = c.char(`"`)
		}
	}
	if v == yes && !named {
		v = no
	}
	h.at, h.whole = c.at, true
	return h, v
}

// read is the step that takes a call from its opening brace on; mark bytes of
// the rest are before it. Behind the object goes on, unless there is none:
// refuse.
func (k keys) read(mark int, refuse func(p *Parser, mark int) step, after step) step {
	return func(p *Parser, last bool) step {
		h, v := k.head(p.rest[mark:])
		if v == undecided && !last {
			return nil
		}
		if v != yes {
			return refuse(p, mark)
		}
		p.take(mark + h.at)
		p.begin(h.name)
		if !h.whole {
			var value jsonScan
			object := jsonScan{depth: 1}
			return stream(&value, (*Parser).argue, stream(&object, nil, after))
		}
		if h.arguments == "" {
			h.arguments = "{}"
		}
		p.argue(h.arguments)
		return after
	}
}

// stream hands the rest of a JSON value to use, while it arrives.
func stream(scan *jsonScan, use func(p *Parser, text string), next step) step {
	return func(p *Parser, _ bool) step {
		n, done := scan.feed(p.rest)
		piece := p.take(n)
		if use != nil {
			use(p, piece)
		}
		if done {
			return next
		}
		return nil
	}
}

// rule is an expression of a call as JSON.
func (k keys) rule(r *rules, tools []callable) (string, error) {
	var each []string
	for _, tool := range tools {
		arguments, err := tool.arguments(r)
		if err != nil {
			return "", err
		}
		each = append(each, literal(tool.Name+`"`)+" "+space+` "," `+space+" "+literal(`"`+k.arguments+`"`)+
			" "+space+` ":" `+space+" "+arguments)
	}
	return r.add("call", `"{" `+space+" "+literal(`"`+k.name+`"`)+" "+space+` ":" `+space+` "\"" `+group(each)+" "+space+` "}"`), nil
}

// write is a call as JSON.
func (k keys) write(call ToolCall) string {
	return `{"` + k.name + `": ` + quote(call.Name) + `, "` + k.arguments + `": ` + argumentsOf(call) + "}"
}

// argumentsOf is the text of a call's arguments.
func argumentsOf(call ToolCall) string {
	if strings.TrimSpace(call.Arguments) == "" {
		return "{}"
	}
	return call.Arguments
}

// tagged is a syntax in which each call is a JSON object between tags.
//
// Hermes, Qwen 2.5 and Qwen 3: the format of
// https://github.com/NousResearch/Hermes-Function-Calling.
type tagged struct {
	keys
	begin, end string
}

func hermes() tagged {
	return tagged{keys{"name", "arguments"}, "<tool_call>", "</tool_call>"}
}

func (t tagged) marked() marked {
	return marked{markers: []string{t.begin}, open: func(mark int) step {
		return t.read(mark, t.marked().refuse, t.closing)
	}}
}

func (t tagged) content([]callable) step { return t.marked().content }

func (t tagged) free(calls string) string { return t.marked().free(calls) }

// closing drops the tag behind an object.
func (t tagged) closing(p *Parser, last bool) step {
	return drop(t.end, skip(blanks, t.content(nil)))(p, last)
}

// drop takes the text, behind blanks, if it is there, or what is there of it
// where the answer was cut short.
func drop(text string, next step) step {
	return func(p *Parser, last bool) step {
		ahead := strings.TrimLeft(p.rest, blanks)
		if after, ok := strings.CutPrefix(ahead, text); ok {
			p.rest = after
			return next
		}
		if !strings.HasPrefix(text, ahead) {
			return next
		}
		if last {
			p.rest = ""
		}
		return nil
	}
}

func (t tagged) calls(r *rules, tools []callable, many bool) (string, error) {
	object, err := t.rule(r, tools)
	if err != nil {
		return "", err
	}
	call := r.add("tagged", literal(t.begin)+" "+space+" "+object+" "+space+" "+literal(t.end))
	if !many {
		return call, nil
	}
	return call + " (" + space + " " + call + ")" + more, nil
}

func (t tagged) write(calls []ToolCall) string {
	var lines []string
	for _, call := range calls {
		lines = append(lines, t.begin+"\n"+t.keys.write(call)+"\n"+t.end)
	}
	return strings.Join(lines, "\n")
}
