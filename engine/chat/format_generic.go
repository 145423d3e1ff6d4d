package chat

import (
	"slices"
	"strings"
)

// generic is the format for models whose templates know no tools: the one of
// Hermes, which the prompt explains.
func generic() format { return ordinary{hermes()} }

// explanation tells a model which tools there are and how it calls them.
func explanation(tools []Tool, f format) string {
	var b strings.Builder
	b.WriteString("You can call these functions. Each line is one of them, with the JSON Schema of its arguments:\n")
	for _, tool := range tools {
		b.WriteString(described(tool) + "\n")
	}
	example := ToolCall{Name: tools[0].Name, Arguments: `{"argument": "value"}`}
	b.WriteString("\nTo call a function, answer with its name and its arguments, exactly like this:\n")
	b.WriteString(f.write([]ToolCall{example}))
	b.WriteString("\nYou get its result then. If no function helps, answer without a call.")
	return b.String()
}

// described is a tool as JSON.
func described(tool Tool) string {
	out := `{"name": ` + quote(tool.Name)
	if tool.Description != "" {
		out += `, "description": ` + quote(tool.Description)
	}
	return out + `, "parameters": ` + string(tool.schema()) + "}"
}

// attached puts the tools beside the content of the system message.
func attached(messages []Message, tools []Tool) []Message {
	var each []string
	for _, tool := range tools {
		each = append(each, described(tool))
	}
	if len(messages) == 0 || !isSystem(messages[0]) {
		messages = append([]Message{{Role: "system"}}, messages...)
	}
	messages = slices.Clone(messages)
	messages[0].tools = "[" + strings.Join(each, ", ") + "]"
	return messages
}

// explained puts the explanation into the system message, or where the template
// refuses one, before the first message.
func explained(messages []Message, text string, system bool) []Message {
	if len(messages) == 0 || system && !isSystem(messages[0]) {
		return append([]Message{{Role: "system", Content: text}}, messages...)
	}
	out := slices.Clone(messages)
	if first := &out[0]; isSystem(*first) {
		first.Content = strings.TrimLeft(first.Content+"\n\n"+text, "\n")
	} else {
		first.Content = strings.TrimRight(text+"\n\n"+first.Content, "\n")
	}
	return out
}

func isSystem(m Message) bool { return m.Role == "system" || m.Role == "developer" }

// spoken turns calls and results into text, for templates that know neither.
// Results are what the user says, together with what follows, because such
// templates often want the roles to alternate.
func spoken(messages []Message, f format) []Message {
	var out []Message
	joined := false
	for _, m := range messages {
		switch {
		case m.Role == "tool":
			m = Message{Role: "user", Content: "<tool_response>\n" + m.Content + "\n</tool_response>"}
			if joined {
				out[len(out)-1].Content += "\n" + m.Content
				continue
			}
			joined = true
		case m.Role == "user" && joined:
			out[len(out)-1].Content += "\n\n" + m.Content
			joined = false
			continue
		case len(m.ToolCalls) > 0:
			m.Content = strings.TrimLeft(m.Content+"\n"+f.write(m.ToolCalls), "\n")
			m.ToolCalls = nil
			joined = false
		default:
			joined = false
		}
		out = append(out, m)
	}
	return out
}
