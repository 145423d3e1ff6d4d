// Package sim is a backend without a model: real batch and KV accounting, a
// speed model, and text that is a function of the prompt.
package sim

import (
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// DefaultWords is how many words an answer has unless Options.Words or the
// prompt ("words=N" somewhere in it) say otherwise.
const DefaultWords = 64

// Clock lets a test own the time that steps take.
type Clock interface {
	// Sleep waits for d, or until interrupted is closed: then it returns false.
	Sleep(d time.Duration, interrupted <-chan struct{}) bool
}

// Options of a simulated backend. Zero values mean the defaults.
type Options struct {
	// Name of the model; default "sim".
	Name string
	// Context is the longest sequence in tokens; default 8,192.
	Context int
	// Cells is the size of the KV cache; default 4 × Context.
	Cells int
	// Sequences that can be resident at once; default 16.
	Sequences int
	// Batch is the largest number of rows in a step; default 512.
	Batch int
	// Words of an answer; default DefaultWords.
	Words int
	// PrefillTokensPerSecond is the speed of rows that ask for no logits; 0 is
	// as fast as possible.
	PrefillTokensPerSecond float64
	// DecodeStep is the time of a step beside its prefill rows; 0 is as fast as
	// possible.
	DecodeStep time.Duration
	// Clock passes the time; nil is the real one.
	Clock Clock
}

// New returns a simulated backend.
func New(_ Options) (engine.Backend, error) { return nil, engine.ErrInvalid }

// Text returns the first n words that a sequence with this prompt says at
// temperature 0, if it says that many.
func Text(_ []engine.Token, _ int) string { return "" }
