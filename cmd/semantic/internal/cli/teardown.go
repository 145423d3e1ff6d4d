package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// teardown undoes what a command acquired, last in, first out. Each step has a
// name and a bound, so that a stop neither hangs nor leaves one guessing where.
// It belongs to one goroutine.
type teardown struct {
	log   *slog.Logger
	steps []teardownStep
}

type teardownStep struct {
	name  string
	bound time.Duration
	undo  func(ctx context.Context) error
}

// add registers a step; call it on the line after the acquisition.
func (t *teardown) add(name string, bound time.Duration, undo func(ctx context.Context) error) {
	t.steps = append(t.steps, teardownStep{name, bound, undo})
}

// run takes all steps. ctx may have ended: only its values are used.
func (t *teardown) run(ctx context.Context) {
	for i := len(t.steps) - 1; i >= 0; i-- {
		t.steps[i].run(context.WithoutCancel(ctx), t.log)
	}
	t.steps = nil
}

func (s teardownStep) run(ctx context.Context, log *slog.Logger) {
	bounded, cancel := context.WithTimeout(ctx, s.bound)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.undo(bounded) }()
	select {
	case err := <-done:
		if err != nil {
			log.Warn("stop: a step ended with an error", schemas.LogStep, s.name, schemas.LogError, err)
		}
	case <-bounded.Done():
		// The process is about to end; its last word is which step hung.
		log.Error("stop: a step did not end in time", schemas.LogStep, s.name, schemas.LogBound, s.bound)
	}
}
