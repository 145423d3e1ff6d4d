package engine

import (
	"fmt"
	"math"
	"time"
)

// Config holds the engine's knobs. Start from DefaultConfig.
type Config struct {
	// MaxWaiting bounds the requests that wait inside the engine for a place;
	// Submit refuses more with ErrFull. At least 1. Default 1,024.
	MaxWaiting int
	// MaxCells uses fewer KV cells than the backend has, which also bounds the
	// context of a sequence. 0, the default, uses all.
	MaxCells int
	// StepRows uses smaller steps than the backend allows, and no more
	// sequences at once than this. 0, the default, means Limits.Batch. With 63
	// every step of a model in Q4_0, Q4_1 or Q8_0 gives the same bits on a CPU,
	// however the load cuts it, at a cost in prefill speed.
	StepRows int
	// PrefillChunk is how many rows of one prompt go into a step when nothing
	// decodes: a multiple of 64, so that cuts are a function of the prompt.
	// Where a step has fewer rows the chunk is smaller. Default 512.
	PrefillChunk int
	// InterTokenBound is how many times as long as a step of decode rows alone a
	// step may take in which prompts are read too, so that a long prompt does not
	// stall others' streams; the sequences whose prompts are to be read count as
	// decoding. It is kept by what was measured. Where 64 rows of a prompt alone
	// take longer, steps go without any, at most 8 in a row, so that the mean keeps
	// to it as far as that allows. Higher bounds give more throughput where prompts
	// always wait (docs/adr/0009). More than 1. Default 2.
	InterTokenBound float64
	// BatchWindow is how long an idle engine waits for company before it starts a
	// step: more in a batch for a later first token. Engine.SetBatchWindow changes
	// it. 0, the default, waits for nobody.
	BatchWindow time.Duration
	// SpillBytes bounds the RAM for the states of preempted sequences; what goes
	// beyond is computed again when its turn comes. 0 keeps none. Default 512 MiB.
	SpillBytes int64
	// AdmitReserve is how many cells per resident sequence stay free when
	// another is admitted, so that it is not preempted at once. Default 16.
	AdmitReserve int
	// BufferTokens and BufferBytes bound a sequence's output that was not read
	// yet. A sequence whose buffer is full sits out steps. Defaults 1,024 tokens
	// and 64 KiB.
	BufferTokens, BufferBytes int
	// SlowConsumerTimeout is how long a sequence may sit out because its buffer
	// is full, until it fails with ErrSlowConsumer. Default 30 s.
	SlowConsumerTimeout time.Duration
}

// DefaultConfig returns the defaults named at the fields.
func DefaultConfig() Config {
	return Config{
		MaxWaiting:          1024,
		PrefillChunk:        512,
		InterTokenBound:     2,
		SpillBytes:          512 << 20,
		AdmitReserve:        16,
		BufferTokens:        1024,
		BufferBytes:         64 << 10,
		SlowConsumerTimeout: 30 * time.Second,
	}
}

// Validate checks ranges; what it refuses wraps ErrInvalid and names the field.
func (c Config) Validate() error {
	switch {
	case c.MaxWaiting < 1:
		return fmt.Errorf("%w: MaxWaiting is %d, must be at least 1", ErrInvalid, c.MaxWaiting)
	case c.MaxCells < 0:
		return fmt.Errorf("%w: MaxCells is %d, must not be negative", ErrInvalid, c.MaxCells)
	case c.StepRows < 0:
		return fmt.Errorf("%w: StepRows is %d, must not be negative", ErrInvalid, c.StepRows)
	case c.PrefillChunk < quantum || c.PrefillChunk%quantum != 0:
		return fmt.Errorf("%w: PrefillChunk is %d, must be a multiple of %d", ErrInvalid, c.PrefillChunk, quantum)
	case !(c.InterTokenBound > 1) || math.IsInf(c.InterTokenBound, 0):
		return fmt.Errorf("%w: InterTokenBound is %v, must be finite and more than 1", ErrInvalid, c.InterTokenBound)
	case c.BatchWindow < 0:
		return fmt.Errorf("%w: BatchWindow is %v, must not be negative", ErrInvalid, c.BatchWindow)
	case c.SpillBytes < 0:
		return fmt.Errorf("%w: SpillBytes is %d, must not be negative", ErrInvalid, c.SpillBytes)
	case c.AdmitReserve < 0:
		return fmt.Errorf("%w: AdmitReserve is %d, must not be negative", ErrInvalid, c.AdmitReserve)
	case c.BufferTokens < 1:
		return fmt.Errorf("%w: BufferTokens is %d, must be at least 1", ErrInvalid, c.BufferTokens)
	case c.BufferBytes < 1:
		return fmt.Errorf("%w: BufferBytes is %d, must be at least 1", ErrInvalid, c.BufferBytes)
	case c.SlowConsumerTimeout <= 0:
		return fmt.Errorf("%w: SlowConsumerTimeout is %v, must be positive", ErrInvalid, c.SlowConsumerTimeout)
	}
	return nil
}
