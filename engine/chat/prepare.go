package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ardanlabs/jinja"
)

// Plan is how a conversation is generated.
type Plan struct {
	// Prompt is the text to tokenize, with its control tokens.
	Prompt string
	// Special makes the text of control tokens part of the generated text,
	// which the parser needs then.
	Special bool
	// Grammar is GBNF for all that is generated, from the first token on,
	// reasoning and calls included; empty for none.
	Grammar string

	format format
	want   want
}

// Parser returns a parser for the text that is generated behind Prompt.
func (p *Plan) Parser() *Parser { return &Parser{next: p.format.parse(p.want)} }

// Prepare plans how to generate what follows a conversation. The error is a
// *TemplateError, or an *UnsupportedError of what this model cannot do.
func (t *Template) Prepare(c Conversation) (*Plan, error) {
	more, err := t.variables(c)
	if err != nil {
		return nil, err
	}
	if err := check(c); err != nil {
		return nil, err
	}
	p := &Plan{format: t.format}
	messages, tools := c.Messages, jinja.None()
	native := true // calls are written as the template writes them
	if callable := t.callable(c); len(callable) > 0 {
		p.want.tools = callable
		p.want.must = c.ToolChoice.Mode == ToolRequired || c.ToolChoice.Mode == ToolFunction
		p.want.many = c.ParallelCalls && c.ToolChoice.Mode != ToolFunction
		with := t.manners()
		if native = t.known && (with.tools || with.attached || with.calls); !native {
			p.format = generic()
		}
		p.Special = native
		switch {
		case native && with.tools:
			tools = t.tools(c.Tools)
		case native && with.attached:
			messages = attached(messages, c.Tools)
		default:
			messages = explained(messages, explanation(c.Tools, p.format), with.system)
		}
	}
	if slices.ContainsFunc(messages, func(m Message) bool { return m.Role == "tool" || len(m.ToolCalls) > 0 }) {
		if with := t.manners(); native && with.calls {
			messages = mannered(messages, with)
		} else {
			messages = spoken(messages, p.format)
		}
	}
	p.Prompt, err = t.render(c.Now, turns(messages, t.nullContent(messages)), tools, more)
	if err != nil {
		return nil, err
	}
	p.want.think = t.tags.after(p.Prompt)
	_, channels := p.format.(harmony)
	p.Special = p.Special || channels || p.want.think.place != thinkingNone
	p.Grammar, err = p.grammar(c.Grammar)
	return p, err
}

// nullContent are the manners as far as they matter to a message by itself.
func (t *Template) nullContent(messages []Message) manners {
	if slices.ContainsFunc(messages, func(m Message) bool { return len(m.ToolCalls) > 0 }) {
		return t.manners()
	}
	return manners{}
}

// grammar is the grammar of everything, where answer is the one of the answer.
func (p *Plan) grammar(answer string) (string, error) {
	_, channels := p.format.(harmony)
	if len(p.want.tools) == 0 && p.want.think.place == thinkingNone && !channels {
		return answer, nil
	}
	r := new(rules)
	want := p.want
	if answer != "" {
		want.answer = r.embed(answer)
	}
	root, err := p.format.grammar(r, want)
	if err != nil || root == "" {
		return "", err
	}
	return r.whole(root), nil
}

// callable are the tools that may be called.
func (t *Template) callable(c Conversation) []callable {
	if c.ToolChoice.Mode == ToolNone {
		return nil
	}
	var out []callable
	enforced := c.ToolChoice.Mode == ToolRequired || c.ToolChoice.Mode == ToolFunction
	for i, tool := range c.Tools {
		if c.ToolChoice.Mode == ToolFunction && tool.Name != c.ToolChoice.Name {
			continue
		}
		out = append(out, callable{Tool: tool, path: fmt.Sprintf("tools[%d]", i), kept: enforced || tool.Strict})
	}
	return out
}

// check refuses what is wrong whatever the model.
func check(c Conversation) error {
	refuse := func(param, reason string) error { return &UnsupportedError{Param: param, Reason: reason} }
	switch c.ToolChoice.Mode {
	case "", ToolAuto, ToolNone:
	case ToolRequired:
		if len(c.Tools) == 0 {
			return refuse("tool_choice", "a call is required, but there are no tools")
		}
	case ToolFunction:
		if !slices.ContainsFunc(c.Tools, func(t Tool) bool { return t.Name == c.ToolChoice.Name }) {
			return refuse("tool_choice", fmt.Sprintf("there is no tool %q", c.ToolChoice.Name))
		}
	default:
		return refuse("tool_choice", fmt.Sprintf("unknown mode %q", c.ToolChoice.Mode))
	}
	for i, tool := range c.Tools {
		if !isObject(tool.schema()) {
			return refuse(fmt.Sprintf("tools[%d].parameters", i), "not a JSON object")
		}
		if slices.ContainsFunc(c.Tools[:i], func(t Tool) bool { return t.Name == tool.Name }) {
			return refuse(fmt.Sprintf("tools[%d].name", i), "a tool of this name is there already")
		}
	}
	for i, m := range c.Messages {
		for k, call := range m.ToolCalls {
			if !isObject([]byte(argumentsOf(call))) {
				return refuse(fmt.Sprintf("messages[%d].tool_calls[%d].arguments", i, k), "not a JSON object")
			}
		}
	}
	return nil
}

func isObject(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 0 && text[0] == '{' && json.Valid(text)
}

// reserved are the variables that only this package sets.
func reserved() []string {
	return []string{
		"messages", "tools", "add_generation_prompt", "bos_token", "eos_token",
		"raise_exception", "strftime_now", "namespace", "range", "dict", "loop",
	}
}

// variables are what the request passes to the template, which must know them.
func (t *Template) variables(c Conversation) (map[string]jinja.Value, error) {
	more := make(map[string]jinja.Value)
	const effort = "reasoning_effort"
	if c.ReasoningEffort != "" {
		if !t.names.reads(effort) {
			return nil, &UnsupportedError{Param: effort, Reason: "this model's chat template does not know it"}
		}
		more[effort] = jinja.NewString(c.ReasoningEffort)
	}
	for name, text := range c.Vars {
		param := "chat_template_kwargs." + name
		_, twice := more[name]
		switch {
		case twice:
			return nil, &UnsupportedError{Param: param, Reason: "it is also given as " + name}
		case slices.Contains(reserved(), name):
			return nil, &UnsupportedError{Param: param, Reason: "it is set by the server"}
		case !t.names.reads(name):
			return nil, &UnsupportedError{Param: param, Reason: "this model's chat template does not know it"}
		}
		value, err := valueOf(text)
		if err != nil {
			return nil, &UnsupportedError{Param: param, Reason: err.Error()}
		}
		more[name] = value
	}
	return more, nil
}
