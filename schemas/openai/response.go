package openai

import "github.com/semantic-worker/semantic/schemas"

// The values of the object fields.
const (
	ObjectCompletion = "chat.completion"
	ObjectChunk      = "chat.completion.chunk"
	ObjectModel      = "model"
	ObjectList       = "list"
)

// DoneData is the data of the server-sent event after the last chunk.
const DoneData = "[DONE]"

// ChatCompletion is the answer to a request without stream.
type ChatCompletion struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"`
	Created           int64    `json:"created"`
	Model             string   `json:"model"`
	SystemFingerprint string   `json:"system_fingerprint,omitempty"`
	Choices           []Choice `json:"choices"`
	Usage             Usage    `json:"usage"`
	// Timings is an extension.
	Timings *schemas.Timings `json:"timings,omitempty"`
}

// Choice is the one answer of a [ChatCompletion].
type Choice struct {
	Index        int                  `json:"index"`
	Message      Message              `json:"message"`
	Logprobs     *struct{}            `json:"logprobs"`
	FinishReason schemas.FinishReason `json:"finish_reason"`
}

// Message is what the model said.
type Message struct {
	Role    schemas.Role `json:"role"`
	Content string       `json:"content"`
	Refusal *string      `json:"refusal"`
}

// ChatCompletionChunk is the data of one server-sent event of a stream.
type ChatCompletionChunk struct {
	ID                string        `json:"id"`
	Object            string        `json:"object"`
	Created           int64         `json:"created"`
	Model             string        `json:"model"`
	SystemFingerprint string        `json:"system_fingerprint,omitempty"`
	Choices           []ChunkChoice `json:"choices"`
	// Usage is null on all chunks but the last where the client asked for
	// usage, and not there where it did not.
	Usage *Usage `json:"usage,omitempty"`
	// Timings, on the chunk with the finish reason, is an extension.
	Timings *schemas.Timings `json:"timings,omitempty"`
}

// ChunkChoice is the one choice of a [ChatCompletionChunk].
type ChunkChoice struct {
	Index        int                   `json:"index"`
	Delta        Delta                 `json:"delta"`
	Logprobs     *struct{}             `json:"logprobs"`
	FinishReason *schemas.FinishReason `json:"finish_reason"`
}

// Delta is what a chunk adds to the message.
type Delta struct {
	Role    schemas.Role `json:"role,omitempty"`
	Content *string      `json:"content,omitempty"`
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
