package supervisor

import (
	"errors"
	"time"
)

// pingsToHang is how many pings in a row a child leaves unanswered until it
// counts as hung: HangTimeout is cut into so many periods.
const pingsToHang = 6

// Config are the times and bounds of a [Supervisor].
type Config struct {
	// FirstBackoff is the pause before a child that died is started again; it
	// doubles with every death up to MaxBackoff. Default 100 ms.
	FirstBackoff time.Duration
	// MaxBackoff bounds the pause; at least FirstBackoff. Default 15 s.
	MaxBackoff time.Duration
	// StableAfter is how long a child must have been ready for the backoff to
	// begin anew. Default 30 s.
	StableAfter time.Duration
	// StartAttempts is how many children in a row may die without ever having
	// been ready before Run gives up; ≥ 1. Default 5.
	StartAttempts int
	// StopTimeout is what a child gets between SIGTERM and SIGKILL; it should
	// be longer than the child's own drain timeout. Default 40 s.
	StopTimeout time.Duration
	// HangTimeout is how long a child may leave pings unanswered, also while it
	// loads or stops, until it is killed and started again. The supervisor's own
	// pauses (it was stopped, the machine slept) do not count. Generous, since
	// it is not about slow work: any child that runs at all answers. 0 never
	// asks. Default 30 s.
	HangTimeout time.Duration
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		FirstBackoff:  100 * time.Millisecond,
		MaxBackoff:    15 * time.Second,
		StableAfter:   30 * time.Second,
		StartAttempts: 5,
		StopTimeout:   40 * time.Second,
		HangTimeout:   30 * time.Second,
	}
}

// Validate reports every field that does not fit.
func (c Config) Validate() error {
	var errs []error
	if c.FirstBackoff <= 0 {
		errs = append(errs, errors.New("supervisor: FirstBackoff must be positive"))
	}
	if c.MaxBackoff < c.FirstBackoff {
		errs = append(errs, errors.New("supervisor: MaxBackoff must be at least FirstBackoff"))
	}
	if c.StableAfter <= 0 {
		errs = append(errs, errors.New("supervisor: StableAfter must be positive"))
	}
	if c.StartAttempts < 1 {
		errs = append(errs, errors.New("supervisor: StartAttempts must be at least 1"))
	}
	if c.StopTimeout <= 0 {
		errs = append(errs, errors.New("supervisor: StopTimeout must be positive"))
	}
	if c.HangTimeout < 0 {
		errs = append(errs, errors.New("supervisor: HangTimeout must not be negative"))
	}
	return errors.Join(errs...)
}
