package chat

import "strings"

// format is how the models of a family write: what they think, what they say
// and what they call.
type format interface {
	// parse is the first step of the parser of an answer.
	parse(w want) step
	// grammar is an expression of all that may be generated, with rules added
	// to r; empty where everything may.
	grammar(r *rules, w want) (string, error)
	// write is the text of calls, for templates that cannot write them.
	write(calls []ToolCall) string
}

// want is what an answer may be.
type want struct {
	// tools are those that may be called; none if there are none.
	tools []callable
	// must: at least one call; many: more than one.
	must, many bool
	// answer is an expression of what may be said; empty for anything.
	answer string
	// think is how the model thinks before it speaks.
	think thinking
}

// callable is a tool that the model may call.
type callable struct {
	Tool
	// path is the tool's place in the request, for errors.
	path string
	// kept: the arguments keep to the schema.
	kept bool
}

// syntax is how calls are written within or behind what is said.
type syntax interface {
	// content is the step that reads what is said, and calls of the tools.
	content(tools []callable) step
	// calls is an expression of one call, or of one or more.
	calls(r *rules, tools []callable, many bool) (string, error)
	// free is an expression of anything that is said, and perhaps calls.
	free(calls string) string
	write(calls []ToolCall) string
}

// ordinary is the format of families that think first, between tags, and then
// speak and call.
type ordinary struct{ syntax }

func (o ordinary) parse(w want) step {
	content := step(say)
	if len(w.tools) > 0 {
		content = o.content(w.tools)
	}
	return w.think.parse(content)
}

func (o ordinary) grammar(r *rules, w want) (string, error) {
	if len(w.tools) == 0 {
		if w.answer == "" {
			return "", nil
		}
		return w.think.grammar(w.answer, true), nil
	}
	calls, err := o.calls(r, w.tools, w.many)
	if err != nil {
		return "", err
	}
	calls = r.add("calls", calls)
	switch {
	case w.must:
		return w.think.grammar(calls, true), nil
	case w.answer != "":
		return w.think.grammar("("+calls+" | "+w.answer+")", true), nil
	}
	return w.think.grammar(o.free(calls), false), nil
}

// say is the step that takes everything for content.
func say(p *Parser, _ bool) step {
	p.say(Content, p.take(len(p.rest)))
	return nil
}

// skip drops blanks and then goes on.
func skip(cutset string, next step) step {
	return func(p *Parser, _ bool) step {
		p.rest = strings.TrimLeft(p.rest, cutset)
		if p.rest == "" {
			return nil
		}
		return next
	}
}

// marked reads what is said up to a marker of a call. The blanks before it are
// not said; open is the step that reads the call.
type marked struct {
	markers []string
	// open begins at mark, behind the blanks and the marker, which are still
	// there: so what is no call after all can be said.
	open func(mark int) step
}

func (m marked) content(p *Parser, last bool) step {
	at, length, certain := find(p.rest, m.markers...)
	if at >= 0 {
		said := len(strings.TrimRight(p.rest[:at], blanks))
		p.say(Content, p.take(said))
		return m.open(at - said + length)
	}
	if last {
		return say
	}
	p.say(Content, p.take(len(strings.TrimRight(p.rest[:certain], blanks))))
	return nil
}

// refuse says the marker of what is no call, and goes on behind it.
func (m marked) refuse(p *Parser, mark int) step {
	p.say(Content, p.take(mark))
	return m.content
}

func (m marked) free(calls string) string {
	return text(m.markers...) + " " + calls + "?"
}
