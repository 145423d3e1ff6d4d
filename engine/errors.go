package engine

import (
	"errors"
	"fmt"
)

// Errors of Engine.Submit and Sequence.Next, beside ErrInvalid and ErrBackend.
// All are found with errors.Is.
var (
	// ErrFull: Config.MaxWaiting requests are waiting already.
	ErrFull = errors.New("engine: too many requests waiting")
	// ErrDraining: Drain was called; nothing new is taken.
	ErrDraining = errors.New("engine: draining")
	// ErrClosed: Close was called. Next returns it for sequences that were
	// running then.
	ErrClosed = errors.New("engine: closed")
	// ErrCancelled: Sequence.Cancel ended the sequence.
	ErrCancelled = errors.New("engine: cancelled")
	// ErrDrained: Drain's time was over before the sequence's end. What it
	// generated until then was returned by Next; with it as Request.Emitted
	// another engine continues at the same token.
	ErrDrained = errors.New("engine: drained")
	// ErrBanned: the sequence's logit bias leaves no token, or none that its
	// grammar allows.
	ErrBanned = errors.New("engine: every token that could come is banned")
	// ErrSlowConsumer: the sequence's output was not read for longer than
	// Config.SlowConsumerTimeout while its buffer was full.
	ErrSlowConsumer = errors.New("engine: output is not being read")
)

// ContextLengthError is the refusal of a request that could never fit. Nothing
// is clamped or truncated instead.
type ContextLengthError struct {
	// Prompt is the prompt's length in tokens.
	Prompt int
	// MaxTokens is what was asked for; 0 where nothing was.
	MaxTokens int
	// Context is how many tokens a sequence may have here.
	Context int
}

// Error names all three numbers.
func (e *ContextLengthError) Error() string {
	if e.MaxTokens == 0 {
		return fmt.Sprintf("engine: the prompt has %d tokens and leaves no room for an answer in a context of %d tokens", e.Prompt, e.Context)
	}
	return fmt.Sprintf("engine: the prompt has %d tokens and %d more were asked for, which exceeds the context of %d tokens",
		e.Prompt, e.MaxTokens, e.Context)
}
