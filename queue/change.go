package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// WorkerSettings are what an operator may change of a worker while it runs. They
// are those of the running process: the next one begins with its configuration.
type WorkerSettings struct {
	// BatchWindowMS is how long an idle engine waits for company before it starts a
	// step, in milliseconds.
	BatchWindowMS float64 `json:"batch_window_ms"`
	// LogLevel is debug, info, warn or error; empty where it cannot be told.
	LogLevel string `json:"log_level"`
	// Paused is whether the worker takes no jobs until it is told to.
	Paused bool `json:"paused"`
}

// Changed is what a change did.
type Changed struct {
	Worker, Incarnation string
	// Before and After are the worker's settings before and after it.
	Before, After WorkerSettings
}

type actorKey struct{}

// WithActor says for whom the worker that is asked something under ctx is asked: its
// log names them. It is what the caller says, which nobody proves.
func WithActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

func actor(ctx context.Context) string {
	who, _ := ctx.Value(actorKey{}).(string)
	return who
}

// The changes below take effect at once, and last until the worker's process ends.
// Each may be repeated. Their errors: ErrNoWorker (it is not registered), ErrSilent,
// *OutdatedError (its release does not know the change), *RefusedError,
// ErrUnavailable, *ForbiddenError.

// SetBatchWindow sets how long the worker's idle engine waits for company before it
// starts a step.
func (q *Queue) SetBatchWindow(ctx context.Context, workerID string, window time.Duration) (Changed, error) {
	ms := float64(window) / float64(time.Millisecond)
	return q.change(ctx, workerID, ControlMessage{Kind: ControlBatchWindow, WindowMS: &ms})
}

// SetLogLevel sets the least level of the worker's log lines: one of
// schemas.LogLevels.
func (q *Queue) SetLogLevel(ctx context.Context, workerID, level string) (Changed, error) {
	return q.change(ctx, workerID, ControlMessage{Kind: ControlLogLevel, Level: level})
}

// Pause makes the worker take no more jobs. What runs goes on to its end; what has
// not begun goes back to the queue. The process, and its model, stay.
func (q *Queue) Pause(ctx context.Context, workerID string) (Changed, error) {
	return q.change(ctx, workerID, ControlMessage{Kind: ControlPause})
}

// Resume takes a Pause back. A drain is not taken back: *RefusedError.
func (q *Queue) Resume(ctx context.Context, workerID string) (Changed, error) {
	return q.change(ctx, workerID, ControlMessage{Kind: ControlResume})
}

// Worker is the registry's entry of a live worker; ErrNoWorker if it has none, and
// the errors of Workers.
func (q *Queue) Worker(ctx context.Context, workerID string) (schemas.WorkerStatus, error) {
	workers, err := q.Workers(ctx)
	if err != nil {
		return schemas.WorkerStatus{}, err
	}
	for _, w := range workers {
		if w.ID == workerID {
			return w, nil
		}
	}
	return schemas.WorkerStatus{}, fmt.Errorf("%w: %q", ErrNoWorker, workerID)
}

// change asks a worker to change something.
func (q *Queue) change(ctx context.Context, workerID string, m ControlMessage) (Changed, error) {
	if _, err := q.Worker(ctx, workerID); err != nil {
		return Changed{}, err
	}
	// Older workers answer this, and nothing to what they do not know.
	r, err := q.Report(ctx, workerID)
	if err != nil {
		return Changed{}, err
	}
	if r.Settings == nil {
		return Changed{}, &OutdatedError{Worker: workerID, Kind: m.Kind}
	}
	asked, r, err := q.ask(ctx, controlSubject(workerID), workerID, m)
	if err != nil {
		return Changed{}, err
	}
	asked.close()
	switch {
	case r.Refused != "":
		return Changed{}, &RefusedError{Worker: workerID, Kind: m.Kind, Reason: r.Refused, Draining: r.Draining}
	case r.Unknown != "", r.Before == nil, r.Settings == nil:
		return Changed{}, &OutdatedError{Worker: workerID, Kind: m.Kind}
	}
	return Changed{Worker: r.Worker, Incarnation: r.Incarnation, Before: *r.Before, After: *r.Settings}, nil
}

// OutdatedError says that a worker is of a release that does not know what it was
// asked.
type OutdatedError struct {
	Worker string
	// Kind is that of the control message.
	Kind string
}

// Error names worker and request.
func (e *OutdatedError) Error() string {
	return fmt.Sprintf("queue: the worker %s is of a release that does not know the request %s", e.Worker, e.Kind)
}

// RefusedError says that a worker knows what it was asked, and does not do it.
type RefusedError struct {
	Worker, Kind string
	// Reason is why, in a sentence part.
	Reason string
	// Draining is whether the worker is about to end.
	Draining bool
}

// Error names the worker and its reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("queue: the worker %s refuses %s: %s", e.Worker, e.Kind, e.Reason)
}
