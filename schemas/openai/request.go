package openai

import (
	"unicode/utf8"

	"github.com/semantic-worker/semantic/schemas"
)

// ChatRequest is a body of POST /v1/chat/completions that can be honoured in
// full. Pointer fields are nil where the client gave none.
type ChatRequest struct {
	// Model is the name that the client used; the gateway resolves aliases.
	Model       string
	Messages    []schemas.Message
	Temperature *float64
	TopP        *float64
	TopK        *int
	MinP        *float64
	Seed        *int64
	// MaxTokens is max_completion_tokens or max_tokens.
	MaxTokens *int
	Stop      []string
	// Stream, IncludeUsage and ContinuousUsage say how to answer.
	Stream          bool
	IncludeUsage    bool
	ContinuousUsage bool
	// Class follows service_tier: flex is batch, priority and fast are
	// interactive, everything else is normal.
	Class schemas.Class
	// PromptCacheKey and User name the agent that asks, the first one first.
	PromptCacheKey string
	User           string
}

// Job is the request as a job. Its Model is still the requested one.
func (r *ChatRequest) Job() schemas.Job {
	return schemas.Job{
		Version:     schemas.Version,
		Kind:        schemas.KindChat,
		Model:       r.Model,
		Messages:    r.Messages,
		Temperature: r.Temperature,
		TopP:        r.TopP,
		TopK:        r.TopK,
		MinP:        r.MinP,
		Seed:        r.Seed,
		MaxTokens:   r.MaxTokens,
		Stop:        r.Stop,
		Agent:       r.agent(),
		API: &schemas.API{
			Format:          schemas.FormatOpenAIChat,
			Stream:          r.Stream,
			IncludeUsage:    r.IncludeUsage,
			ContinuousUsage: r.ContinuousUsage,
		},
	}
}

// agent cuts what the client calls itself to what a job holds: two agents with
// the same first 200 characters share a flow, nothing worse.
func (r *ChatRequest) agent() string {
	name := r.PromptCacheKey
	if name == "" {
		name = r.User
	}
	for i := range name {
		if utf8.RuneCountInString(name[:i]) == schemas.MaxName {
			return name[:i]
		}
	}
	return name
}

// UnknownFields says what becomes of a field that is in no table.
type UnknownFields string

// What can become of unknown fields. The zero value refuses.
const (
	// RefuseUnknown refuses the request, as OpenAI does.
	RefuseUnknown UnknownFields = "refuse"
	// WarnUnknown ignores the field and names it in the warnings.
	WarnUnknown UnknownFields = "warn"
)

// DecodeOptions are options of [DecodeChatRequest].
type DecodeOptions struct {
	UnknownFields UnknownFields
}
