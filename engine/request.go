package engine

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/engine/grammar"
)

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
	Sampling
	// MaxTokens bounds Emitted and new tokens together; 0 means what the
	// context has room for.
	MaxTokens int
	// Stop ends generation before any of these strings.
	Stop []string
	// StopTokens end generation like end-of-generation tokens; their text is
	// not output.
	StopTokens []Token
	// Special makes the text of control tokens part of the text, as the formats
	// of some models' tool calls and reasoning need.
	Special bool
	// Grammar, if set, is what the text must keep to; where it allows no more,
	// the sequence ends, and it ends by itself (FinishStop) nowhere else.
	Grammar *grammar.Grammar
	// Logprobs asks for the log probability of each generated token, and
	// TopLogprobs (0 … 20) for those of the likeliest ones: of the model's own
	// distribution, before Sampling changes it.
	Logprobs    bool
	TopLogprobs int
	// Class orders who is preempted first: a higher number before a lower one. One
	// that waits takes the place of a higher number.
	Class int
	// Alone keeps every sequence without it out of the steps that this one has rows
	// in, until Sequence.Together. They keep their cells, and pause as long as this
	// one can advance.
	Alone bool
	// InterToken, if set, gets the seconds between each two new tokens, at which
	// the engine's loop calls it: it must not block. Where the context of Submit has
	// a sampled trace and it takes exemplars, the longest so far come with that.
	InterToken prometheus.Observer
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
	// Logprobs has an entry for each of Tokens, if Request.Logprobs asked.
	Logprobs []TokenLogprob
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
