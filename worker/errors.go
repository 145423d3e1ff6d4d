package worker

import "errors"

// Sentinels of this package. Errors of queue and engine are passed on wrapped:
// [Worker.Run] returns *queue.FingerprintError when a live worker serves the
// same model name with other weights, runtime or template.
var (
	// ErrConfig is wrapped by every refusal of a Config or of Options.
	ErrConfig = errors.New("worker: invalid configuration")
	// ErrAlreadyRun: Run was called twice.
	ErrAlreadyRun = errors.New("worker: Run was called before")
	// ErrEngineLost: the engine's backend failed for good. Its jobs went back
	// as after a death of the process, and the process should end: a new one
	// gets a new backend.
	ErrEngineLost = errors.New("worker: the engine is lost")
)

// Why a run is stopped, beside *cancelError. They never leave the package.
var (
	errDeadline = errors.New("deadline exceeded")
	errHandover = errors.New("handed over")
	errPaused   = errors.New("paused")
)

// cancelError stops a run because the job's owner asked for it.
type cancelError struct{ reason string }

// Error is for logs.
func (e *cancelError) Error() string { return "cancelled: " + e.reason }

// refusedError is why a change that an operator asked for is not made.
type refusedError struct{ reason string }

// Error is for the operator.
func (e *refusedError) Error() string { return e.reason }
