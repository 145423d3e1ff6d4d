package worker

import (
	"fmt"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Config bounds what a worker waits for. Start from [DefaultConfig]. The
// deadlines of jobs that name none are the queue's (queue.Config).
type Config struct {
	// DrainTimeout is the soft timeout of a stop: how long running sequences
	// may go on before they are handed back. 0 hands them back at once.
	// Default 30 s.
	DrainTimeout time.Duration
	// FlushTimeout bounds everything after that: the last events and
	// acknowledgements, and leaving the registry. A broker that is away costs a
	// stop this much and no more. Positive. Default 5 s.
	FlushTimeout time.Duration
	// StatusInterval is how often the numbers in the registry entry are
	// refreshed when no job begins or ends. Positive. Default 2 s.
	StatusInterval time.Duration
	// MaxBatchWindow is the longest batch window that may be set while the worker
	// runs; the window that the engine began with is not bound by it. At least 0.
	// Default 1 min.
	MaxBatchWindow time.Duration
	// RetryDelay is how long a job that this worker cannot serve (a newer
	// schema, another fingerprint) is not offered again, the first time; it
	// doubles each time. It is also how long a claim that the broker refused is
	// not tried again. Positive. Default 1 s.
	RetryDelay time.Duration
	// MaxRetryDelay bounds the doubling; at least RetryDelay. A worker that can
	// serve the job may find it that much later. Default 1 min.
	MaxRetryDelay time.Duration
	// MaxAttempts is how many workers may die on a job, one of them alone with it,
	// before it is given up (queue.Guilt.Condemned has the whole rule); at least 1.
	// Default 3. A death before the job's first start is not counted if it is the
	// first.
	MaxAttempts int
}

// DefaultConfig returns the defaults named at the fields.
func DefaultConfig() Config {
	return Config{
		DrainTimeout:   30 * time.Second,
		FlushTimeout:   5 * time.Second,
		StatusInterval: 2 * time.Second,
		MaxBatchWindow: schemas.MaxBatchWindow,
		RetryDelay:     time.Second,
		MaxRetryDelay:  time.Minute,
		MaxAttempts:    3,
	}
}

// Validate returns an error that wraps [ErrConfig] and names the first field
// that is out of range.
func (c Config) Validate() error {
	if c.DrainTimeout < 0 {
		return fmt.Errorf("%w: DrainTimeout is %v, want 0 or more", ErrConfig, c.DrainTimeout)
	}
	if c.MaxBatchWindow < 0 {
		return fmt.Errorf("%w: MaxBatchWindow is %v, want 0 or more", ErrConfig, c.MaxBatchWindow)
	}
	for _, field := range []struct {
		name  string
		value time.Duration
	}{
		{"FlushTimeout", c.FlushTimeout},
		{"StatusInterval", c.StatusInterval},
		{"RetryDelay", c.RetryDelay},
	} {
		if field.value <= 0 {
			return fmt.Errorf("%w: %s is %v, want more than 0", ErrConfig, field.name, field.value)
		}
	}
	if c.MaxRetryDelay < c.RetryDelay {
		return fmt.Errorf("%w: MaxRetryDelay is %v, want RetryDelay, %v, or more", ErrConfig, c.MaxRetryDelay, c.RetryDelay)
	}
	if c.MaxAttempts < 1 {
		return fmt.Errorf("%w: MaxAttempts is %d, want 1 or more", ErrConfig, c.MaxAttempts)
	}
	return nil
}
