package chat

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
)

// manners are what a template can do with a conversation. They are found out by
// rendering small ones.
type manners struct {
	// system messages are rendered.
	system bool
	// tools are listed; attached: where they stand as text with the system
	// message, as Phi-4-mini's template wants them.
	tools, attached bool
	// calls of assistants and the results of tools are rendered; parallel: also
	// several in one message; beside: also beside what is said and thought.
	calls, parallel, beside bool
	// null: the content of a message that has calls only is none, not "".
	null bool
	// text: the arguments of calls are JSON as text, which DeepSeek's templates
	// put between other texts, and print as Python's otherwise.
	text bool
	// shortIDs: the ids of calls have nine letters and digits.
	shortIDs bool
}

// probe finds out the manners of the template.
func (t *Template) probe() manners {
	const argument, second, result, spoken = "first-needle", "second-needle", "result-needle", "spoken-needle"
	tool := Tool{Name: "tool_needle", Description: "A tool.", Parameters: []byte(
		`{"type":"object","properties":{"argument":{"type":"string","description":"An argument."}},"required":["argument"]}`)}
	call := func(id, value string) ToolCall {
		return ToolCall{ID: id, Name: tool.Name, Arguments: `{"argument": "` + value + `"}`}
	}
	user := Message{Role: "user", Content: "user"}
	first := Message{Role: "tool", Name: tool.Name, ToolCallID: "aaaaaaaa1", Content: result + "-1"}
	also := Message{Role: "tool", Name: tool.Name, ToolCallID: "aaaaaaaa2", Content: result + "-2"}
	var m manners
	has := func(needles []string, messages ...Message) bool {
		tools := jinja.None()
		if m.tools {
			tools = t.tools([]Tool{tool})
		}
		prompt, err := t.render(time.Unix(0, 0), turns(messages, m), tools, nil)
		for _, needle := range needles {
			if err != nil || !strings.Contains(prompt, needle) {
				return false
			}
		}
		return err == nil && !strings.Contains(prompt, "'argument': ")
	}
	m.system = has([]string{spoken}, Message{Role: "system", Content: spoken}, user)
	m.tools = true
	m.tools = has([]string{tool.Name}, user)
	m.attached = !m.tools && has([]string{tool.Name}, attached([]Message{user}, []Tool{tool})...)
	one := []ToolCall{call(first.ToolCallID, argument)}
	for _, with := range []manners{{null: true}, {}, {null: true, text: true}, {text: true}} {
		m.null, m.text = with.null, with.text
		if m.calls = has([]string{argument, result}, user, Message{Role: "assistant", ToolCalls: one}, first); m.calls {
			break
		}
	}
	both := []ToolCall{one[0], call(also.ToolCallID, second)}
	m.parallel = has([]string{argument, second, first.Content, also.Content}, user, Message{Role: "assistant", ToolCalls: both}, first, also)
	m.beside = has([]string{argument, spoken, result}, user,
		Message{Role: "assistant", Content: spoken, Reasoning: "thought", ToolCalls: one}, first)
	m.shortIDs = m.calls && strings.Contains(t.source, "!= 9")
	return m
}

// turns are messages as the template takes them.
func turns(messages []Message, with manners) jinja.Value {
	var out []jinja.Value
	for _, m := range messages {
		if m.Role == "developer" {
			m.Role = "system"
		}
		turn := dict("role", m.Role, "content", m.Content)
		set := func(key, value string) {
			if value != "" {
				turn.AsDict().Set(key, jinja.NewString(value))
			}
		}
		set("name", m.Name)
		set("tool_call_id", m.ToolCallID)
		// Each family has its own name for it; gpt-oss's template refuses one
		// that stands beside content.
		set("reasoning_content", m.Reasoning)
		set("thinking", m.Reasoning)
		set("tools", m.tools)
		if len(m.ToolCalls) > 0 {
			turn.AsDict().Set("tool_calls", calls(m.ToolCalls, with.text))
			if m.Content == "" && with.null {
				turn.AsDict().Set("content", jinja.None())
			}
		}
		out = append(out, turn)
	}
	return jinja.NewList(out)
}

// calls are calls as the template takes them, their arguments as text or as what
// they are.
func calls(all []ToolCall, text bool) jinja.Value {
	var out []jinja.Value
	for _, call := range all {
		arguments := jinja.NewString(argumentsOf(call))
		if value, err := valueOf([]byte(argumentsOf(call))); err == nil && !text {
			arguments = value
		}
		out = append(out, dict("id", call.ID, "type", "function", "function", dict("name", call.Name, "arguments", arguments)))
	}
	return jinja.NewList(out)
}

// schema is the JSON Schema of the arguments; without one, there are none.
func (t Tool) schema() []byte {
	if len(strings.TrimSpace(string(t.Parameters))) == 0 {
		return []byte(`{"type":"object","properties":{},"additionalProperties":false}`)
	}
	return t.Parameters
}

// tools are the tools as the template takes them. Their schemas have been read
// before.
func (t *Template) tools(tools []Tool) jinja.Value {
	var out []jinja.Value
	for _, tool := range tools {
		function := dict("name", tool.Name)
		if tool.Description != "" {
			function.AsDict().Set("description", jinja.NewString(tool.Description))
		}
		parameters, _ := valueOf(tool.schema())
		function.AsDict().Set("parameters", parameters)
		out = append(out, dict("type", "function", "function", function))
	}
	return jinja.NewList(out)
}

// mannered makes messages such that a template of these manners renders all of
// them.
func mannered(messages []Message, with manners) []Message {
	names := make(map[string]string)
	var out []Message
	for i := 0; i < len(messages); i++ {
		m := messages[i]
		if m.Role == "tool" && m.Name == "" {
			m.Name = names[m.ToolCallID]
		}
		if len(m.ToolCalls) == 0 {
			out = append(out, m)
			continue
		}
		for _, call := range m.ToolCalls {
			names[call.ID] = call.Name
		}
		if m.Content != "" && !with.beside {
			out = append(out, Message{Role: m.Role, Content: m.Content})
			m.Content = ""
		}
		if with.parallel || len(m.ToolCalls) == 1 {
			out = append(out, m)
			continue
		}
		results := i + 1
		for results < len(messages) && messages[results].Role == "tool" {
			results++
		}
		out = append(out, oneByOne(m, messages[i+1:results])...)
		i = results - 1
	}
	if with.shortIDs {
		shortIDs(out)
	}
	return out
}

// oneByOne splits a message with several calls, each before its result.
func oneByOne(m Message, results []Message) []Message {
	var out []Message
	taken := make([]bool, len(results))
	for k, call := range m.ToolCalls {
		single := m
		single.ToolCalls = []ToolCall{call}
		if k > 0 {
			single.Content, single.Reasoning = "", ""
		}
		out = append(out, single)
		for i, result := range results {
			if !taken[i] && (result.ToolCallID == call.ID || k == len(m.ToolCalls)-1) {
				taken[i] = true
				if result.Name == "" && result.ToolCallID == call.ID {
					result.Name = call.Name
				}
				out = append(out, result)
			}
		}
	}
	return out
}

// shortIDs replaces ids by such of nine letters and digits.
func shortIDs(messages []Message) {
	for i := range messages {
		m := &messages[i]
		m.ToolCallID = shortID(m.ToolCallID)
		m.ToolCalls = append([]ToolCall(nil), m.ToolCalls...)
		for k := range m.ToolCalls {
			m.ToolCalls[k].ID = shortID(m.ToolCalls[k].ID)
		}
	}
}

func shortID(id string) string {
	fits := len(id) == 9
	for i := range len(id) {
		fits = fits && (isLetter(id[i]) && id[i] != '_' || id[i] >= '0' && id[i] <= '9')
	}
	if fits || id == "" {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])[:9]
}
