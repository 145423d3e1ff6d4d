package engine

import (
	"log/slog"
	"time"
)

// Sampling chooses tokens from logits. The zero value is greedy.
type Sampling struct {
	// Temperature scales the logits; 0 is greedy (the likeliest token, the
	// lowest id among equals).
	Temperature float64
	// TopK keeps the K likeliest tokens; 0 keeps all.
	TopK int
	// TopP keeps the smallest set of tokens whose probability reaches it; 0 and
	// 1 keep all.
	TopP float64
	// MinP drops tokens less likely than MinP × the likeliest; 0 keeps all.
	MinP float64
	// Seed and a token's position alone determine its randomness.
	Seed int64
}

// Request is one sequence to generate.
type Request struct {
	// ID is the caller's name for it, for logs (under the key sequence_id) and snapshots; unique among the
	// running ones.
	ID string
	// Prompt is the rendered and tokenized prompt; at least one token.
	Prompt []Token
	// Emitted are tokens that an earlier attempt generated. They are replayed
	// (in steps of at most 32 rows, so that the bits stay: see the package
	// comment), never output again, and count towards MaxTokens and Usage. Never an
	// end-of-generation token.
	Emitted []Token
	// EmittedBytes is how much text the earlier attempt output. 0 means what
	// ReplayText gives for Emitted; it is more where that attempt had come to the
	// end of its text (and released what it held back), but not to its last event.
	EmittedBytes int
	Sampling
	// MaxTokens bounds Emitted and new tokens together; 0 means what the
	// context has room for.
	MaxTokens int
	// Stop ends generation before any of these strings.
	Stop []string
	// Logger gets the lines about this sequence; nil means the engine's.
	Logger *slog.Logger
}

// Finish says why a sequence ended by itself.
type Finish string

// The ways a sequence ends by itself.
const (
	// FinishStop: an end-of-generation token or a stop string.
	FinishStop Finish = "stop"
	// FinishLength: MaxTokens or the context was reached.
	FinishLength Finish = "length"
)

// Chunk is what a sequence generated since the last one was taken.
type Chunk struct {
	// Tokens are the new token ids, without an end-of-generation token.
	Tokens []Token
	// Text is valid UTF-8. It may lag behind Tokens, never behind the last
	// chunk's; it is a pure function of all token ids so far.
	Text string
	// Finish is set in the last chunk, together with Usage and Timings.
	Finish  Finish
	Usage   Usage
	Timings Timings
}

// Usage counts tokens of a sequence.
type Usage struct {
	Prompt int
	// Completion counts Request.Emitted too.
	Completion int
	// Cached is how many prompt tokens were not computed for this request.
	Cached int
}

// Timings of a sequence within this engine.
type Timings struct {
	// Waiting is from Submit to the first row in a step.
	Waiting time.Duration
	// Prefill is from there to the first new token.
	Prefill time.Duration
	// Decode is from there to the end.
	Decode time.Duration
}
