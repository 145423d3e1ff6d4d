package openai

import (
	"strings"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

func readMessages(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.Array {
		return strictjson.Want(strictjson.Array, v, at)
	}
	d.job.Messages = make([]schemas.Message, len(v.Items))
	for i, item := range v.Items {
		d.message = &d.job.Messages[i]
		if err := d.readMessage(item, at.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) readMessage(v strictjson.Value, at *strictjson.Path) error {
	if err := d.object(v, scopeMessage, at); err != nil {
		return err
	}
	if !there(v, "content") && len(d.message.ToolCalls) == 0 {
		return invalid(at.Field("content"), "is required")
	}
	switch id, ok := v.Get("tool_call_id"); {
	case d.message.Role == schemas.RoleTool && (!ok || id.Text == ""):
		return invalid(at.Field("tool_call_id"), "is required in a message of role tool")
	case d.message.Role != schemas.RoleTool && ok && id.Kind != strictjson.Null:
		return invalid(at.Field("tool_call_id"), "belongs to messages of role tool only")
	}
	// Two names of one thing. Only the first is known to a job.
	if d.message.Role != schemas.RoleAssistant && d.message.Reasoning != "" {
		name := "reasoning_content"
		if !there(v, name) {
			name = "reasoning"
		}
		return invalid(at.Field(name), "belongs to messages of role assistant only")
	}
	return nil
}

func readRole(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.String {
		return strictjson.Want(strictjson.String, v, at)
	}
	if v.Text == "function" {
		return unsupported(at, "function is not supported: %s", noFunctions)
	}
	d.message.Role = schemas.Role(v.Text) // its range is checked with the job's
	return nil
}

func readReasoning(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.String {
		return strictjson.Want(strictjson.String, v, at)
	}
	if d.message.Reasoning != "" && v.Text != "" && v.Text != d.message.Reasoning {
		return invalid(at, "differs from the message's other reasoning; give reasoning_content alone")
	}
	if v.Text != "" {
		d.message.Reasoning = v.Text
	}
	return nil
}

func readContent(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	switch v.Kind {
	case strictjson.String:
		d.message.Content = v.Text
		return nil
	case strictjson.Array:
	default:
		return invalid(at, "must be a string or a list of parts, not %s", v.Kind)
	}
	if len(v.Items) == 0 {
		return invalid(at, "must hold at least one part")
	}
	var joined strings.Builder
	for i, item := range v.Items {
		part, err := d.readPart(item, at.Index(i))
		if err != nil {
			return err
		}
		joined.WriteString(part)
	}
	d.message.Content = joined.String()
	return nil
}

// readPart looks at the type first: the fields of an image are not unknown.
func (d *decoder) readPart(v strictjson.Value, at *strictjson.Path) (string, error) {
	t, ok := v.Get("type")
	if ok && t.Kind == strictjson.String && t.Text != "text" {
		return "", unsupported(at.Field("type"), "is not supported: only parts of type text are read")
	}
	var part string
	d.part = &part
	err := d.object(v, scopePart, at)
	return part, err
}

func readToolCalls(d *decoder, v strictjson.Value, at *strictjson.Path) error {
	if v.Kind != strictjson.Array {
		return strictjson.Want(strictjson.Array, v, at)
	}
	for i, item := range v.Items {
		d.message.ToolCalls = append(d.message.ToolCalls, schemas.ToolCall{})
		d.call = &d.message.ToolCalls[i]
		if err := d.typed(item, scopeCall, at.Index(i)); err != nil {
			return err
		}
		if d.call.Arguments == "" {
			d.call.Arguments = "{}" // as some models, and their clients, write none
		}
	}
	return nil
}
