package chat

import (
	"encoding/json"
	"time"
)

// Message is one turn of a conversation.
type Message struct {
	// Role is system, developer, user, assistant or tool. Templates know no
	// developer: it is system to them.
	Role    string
	Content string
	// Name and ToolCallID are not defined in the template where they are empty.
	Name, ToolCallID string
	// Reasoning is what an assistant thought before it spoke.
	Reasoning string
	// ToolCalls are the calls that an assistant made.
	ToolCalls []ToolCall
	// tools are the tools as text, for templates that want them with the system
	// message.
	tools string
}

// ToolCall is a call that the model made.
type ToolCall struct {
	// ID is repeated by the message that answers the call.
	ID   string
	Name string
	// Arguments is a JSON object as text; empty is an empty object.
	Arguments string
}

// Tool is a function that the model may call.
type Tool struct {
	Name        string
	Description string
	// Parameters is the JSON Schema of the arguments, an object; nil if there
	// are none.
	Parameters []byte
	// Strict makes the arguments keep to Parameters wherever the model calls the
	// tool by itself; a call that is enforced always keeps to them.
	Strict bool
}

// ToolMode says whether the model calls a tool.
type ToolMode string

// The modes of [ToolChoice].
const (
	// ToolAuto: the model decides. It is what an empty mode means.
	ToolAuto ToolMode = "auto"
	// ToolNone: it does not. The template is not given the tools.
	ToolNone ToolMode = "none"
	// ToolRequired: at least one call.
	ToolRequired ToolMode = "required"
	// ToolFunction: one call of a certain tool.
	ToolFunction ToolMode = "function"
)

// ToolChoice says whether the model calls a tool, and which.
type ToolChoice struct {
	Mode ToolMode
	// Name is the tool of mode function.
	Name string
}

// Conversation is what a model is asked to continue.
type Conversation struct {
	// Now is the time that a template may print.
	Now      time.Time
	Messages []Message
	Tools    []Tool
	// ToolChoice matters only with Tools.
	ToolChoice ToolChoice
	// ParallelCalls allows several calls in one answer.
	ParallelCalls bool
	// ReasoningEffort reaches the template as reasoning_effort; empty is none.
	ReasoningEffort string
	// Vars are more variables of the template, JSON values by name.
	Vars map[string]json.RawMessage
	// Grammar is GBNF that the answer must keep to, which is what comes behind
	// the reasoning; empty for none. Where tools may be called, the answer is a
	// call or keeps to it.
	Grammar string
}
