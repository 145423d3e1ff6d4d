package openai

import (
	"encoding/json"

	"github.com/semantic-worker/semantic/schemas"
)

// The values of the object fields.
const (
	ObjectCompletion     = "chat.completion"
	ObjectChunk          = "chat.completion.chunk"
	ObjectTextCompletion = "text_completion"
	ObjectModel          = "model"
	ObjectList           = "list"
)

// DoneData is the data of the server-sent event after the last chunk.
const DoneData = "[DONE]"

// typeFunction is the type of every tool call.
const typeFunction = "function"

// Head is what every answer, and every chunk of one, begins with.
type Head struct {
	ID                string `json:"id"`
	Object            string `json:"object"`
	Created           int64  `json:"created"`
	Model             string `json:"model"`
	SystemFingerprint string `json:"system_fingerprint,omitempty"`
}

// ChatCompletion is the answer to a chat without stream.
type ChatCompletion struct {
	Head
	Choices []Choice `json:"choices"`
	Usage   Usage    `json:"usage"`
	// Timings is an extension.
	Timings *schemas.Timings `json:"timings,omitempty"`
}

// Choice is one answer of a [ChatCompletion].
type Choice struct {
	Index        int                  `json:"index"`
	Message      Message              `json:"message"`
	Logprobs     *Logprobs            `json:"logprobs"`
	FinishReason schemas.FinishReason `json:"finish_reason"`
}

// Message is what the model said.
type Message struct {
	Role schemas.Role `json:"role"`
	// Content is nil where the model did nothing but call tools.
	Content *string `json:"content"`
	Refusal *string `json:"refusal"`
	// ReasoningContent is what it thought before, an extension.
	ReasoningContent string     `json:"reasoning_content,omitempty"`
	ToolCalls        []ToolCall `json:"tool_calls,omitempty"`
}

// ToolCall is a call that the model made.
type ToolCall struct {
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Function Function `json:"function"`
}

// Function is what a [ToolCall] calls; Arguments is JSON as text.
type Function struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// ChatCompletionChunk is the data of one server-sent event of a chat's stream.
type ChatCompletionChunk struct {
	Head
	Choices []ChunkChoice `json:"choices"`
	// Usage is null on all chunks but the last where the client asked for
	// usage, and not there where it did not.
	Usage *Usage `json:"usage,omitempty"`
	// Timings, on the chunk that ends the last choice, is an extension.
	Timings *schemas.Timings `json:"timings,omitempty"`
}

// ChunkChoice is the one choice that a [ChatCompletionChunk] adds to.
type ChunkChoice struct {
	Index        int                   `json:"index"`
	Delta        Delta                 `json:"delta"`
	Logprobs     *Logprobs             `json:"logprobs"`
	FinishReason *schemas.FinishReason `json:"finish_reason"`
}

// Delta is what a chunk adds to the message.
type Delta struct {
	Role             schemas.Role    `json:"role,omitempty"`
	Content          *string         `json:"content,omitempty"`
	ReasoningContent string          `json:"reasoning_content,omitempty"`
	ToolCalls        []ToolCallChunk `json:"tool_calls,omitempty"`
}

// ToolCallChunk begins a call (ID, Type and the function's name are there), or
// continues its arguments.
type ToolCallChunk struct {
	Index    int           `json:"index"`
	ID       string        `json:"id,omitempty"`
	Type     string        `json:"type,omitempty"`
	Function FunctionChunk `json:"function"`
}

// FunctionChunk is what a [ToolCallChunk] adds to the function.
type FunctionChunk struct {
	Name      string `json:"name,omitempty"`
	Arguments string `json:"arguments"`
}

// Usage counts tokens as OpenAI does.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
	// PromptTokensDetails is known at the end only.
	PromptTokensDetails *PromptTokensDetails `json:"prompt_tokens_details,omitempty"`
}

// PromptTokensDetails says how much of the prompt was not computed anew.
type PromptTokensDetails struct {
	CachedTokens int `json:"cached_tokens"`
}

func usageOf(u schemas.Usage) *Usage {
	return &Usage{
		PromptTokens:        u.PromptTokens,
		CompletionTokens:    u.CompletionTokens,
		TotalTokens:         u.PromptTokens + u.CompletionTokens,
		PromptTokensDetails: &PromptTokensDetails{CachedTokens: u.CachedTokens},
	}
}

// TextCompletion is the answer to a completion, and the data of one server-sent
// event of its stream.
type TextCompletion struct {
	Head
	Choices []TextChoice `json:"choices"`
	// Usage is that of a [ChatCompletion], or of a [ChatCompletionChunk].
	Usage *Usage `json:"usage,omitempty"`
	// Timings is an extension.
	Timings *schemas.Timings `json:"timings,omitempty"`
}

// TextChoice is one text of a [TextCompletion], or what a chunk adds to it.
type TextChoice struct {
	Text     string        `json:"text"`
	Index    int           `json:"index"`
	Logprobs *TextLogprobs `json:"logprobs"`
	// FinishReason is nil but at the end of the choice.
	FinishReason *schemas.FinishReason `json:"finish_reason"`
}

// chunk is the data of any server-sent event, as it is written.
type chunk struct {
	Head
	Choices any `json:"choices"`
	// Usage is a [*Usage], null, or nil where it is not there.
	Usage   any              `json:"usage,omitempty"`
	Timings *schemas.Timings `json:"timings,omitempty"`
}

// null is written as such where nil would be left out.
func null() any { return json.RawMessage("null") }
