package worker

import (
	"context"
	"errors"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Reasons of requeued events.
const (
	reasonShutdown     = "shutdown"
	reasonPaused       = "paused"
	reasonUnsupported  = "unsupported"
	reasonContext      = "context"
	reasonBusy         = "busy"
	reasonSlowConsumer = "slow_consumer"
)

// end appends the terminal event and acknowledges the job.
func (r *run) end(ctx context.Context, result outcome, event schemas.Event) outcome {
	r.enter(phaseEnding)
	if err := r.delivery.Append(ctx, event); err != nil {
		return r.lost(ctx, err)
	}
	r.trace.concluded(event)
	return r.acknowledge(ctx, result)
}

// acknowledge removes the job, whose log has its end. When it fails the next
// claimer sees the end and acknowledges.
func (r *run) acknowledge(ctx context.Context, result outcome) outcome {
	if err := r.delivery.Ack(ctx); err != nil {
		r.log.Warn("not acknowledged; the next claimer will", schemas.LogError, err)
	}
	return result
}

// notSubmitted answers for a job that the engine did not take.
func (r *run) notSubmitted(ctx context.Context, err error) outcome {
	switch {
	case errors.Is(err, engine.ErrBackend):
		r.w.engineFailed(err)
		return r.release(ctx, reasonShutdown)
	case errors.Is(err, engine.ErrDraining), errors.Is(err, engine.ErrClosed), errors.Is(err, engine.ErrFull):
		if cause := r.stopCause(); cause != nil {
			return r.conclude(ctx, cause)
		}
		return r.releaseAfter(ctx, reasonBusy, r.w.config.RetryDelay)
	}
	if result, passed := r.passOn(ctx, err); passed {
		return result
	}
	return r.refuse(ctx, err)
}

// interrupted answers for a sequence that did not end by itself.
func (r *run) interrupted(ctx context.Context, err error) outcome {
	r.enter(phaseEnding)
	switch {
	case errors.Is(err, engine.ErrCancelled):
		return r.conclude(ctx, r.stopCause())
	case errors.Is(err, engine.ErrDrained), errors.Is(err, engine.ErrClosed):
		return r.conclude(ctx, errHandover)
	case errors.Is(err, engine.ErrSlowConsumer):
		// The broker took no events for long. That is not the job's fault: it goes
		// on from the log, here or elsewhere.
		r.log.Warn("the log took no more tokens for too long: handing the job back", schemas.LogError, err)
		if cause := r.stopCause(); cause != nil {
			return r.conclude(ctx, cause)
		}
		return r.release(ctx, reasonSlowConsumer)
	case errors.Is(err, engine.ErrBackend):
		// As a death of the process, which the worker's end makes of it: the
		// started event stays without a requeued one.
		r.w.engineFailed(err)
		if r.delivery.Guilt().With(r.isolated, r.emitted).Condemned(r.w.config.MaxAttempts) {
			return r.giveUp(ctx, schemas.CodeEngineFailed, err.Error())
		}
		r.log.Error("the engine failed under the job", schemas.LogError, err)
		return r.handBack(ctx)
	case ctx.Err() != nil:
		return outcomeAbandoned
	default:
		return r.refuse(ctx, err)
	}
}

// conclude writes what a stop asks for.
func (r *run) conclude(ctx context.Context, cause error) outcome {
	var cancelled *cancelError
	switch {
	case errors.As(cause, &cancelled):
		return r.end(ctx, outcomeCancelled, schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{
			Reason: cancelled.reason, Usage: r.partialUsage(),
		}})
	case errors.Is(cause, errDeadline):
		return r.expire(ctx)
	}
	r.log.Info("handed to another worker", schemas.LogEvent, schemas.LogEventDrainHandover,
		schemas.LogCompletionTokens, r.usage.CompletionTokens)
	if errors.Is(cause, errPaused) {
		return r.release(ctx, reasonPaused)
	}
	return r.release(ctx, reasonShutdown)
}

// release gives the job to others at once, unharmed.
func (r *run) release(ctx context.Context, reason string) outcome {
	if err := r.takeBack(ctx, reason); err != nil {
		return r.lost(ctx, err)
	}
	return r.handBack(ctx)
}

// releaseAfter gives the job to others after delay, unharmed.
func (r *run) releaseAfter(ctx context.Context, reason string, delay time.Duration) outcome {
	if err := r.takeBack(ctx, reason); err != nil {
		return r.lost(ctx, err)
	}
	return r.handBackAfter(ctx, delay)
}

// takeBack says that this worker has the job no more, where the log says that it
// has, so that this attempt does not count as a death.
func (r *run) takeBack(ctx context.Context, reason string) error {
	if !r.open {
		return nil
	}
	if err := r.requeue(ctx, reason); err != nil {
		return err
	}
	r.open = false
	return nil
}

// requeue appends a requeued event.
func (r *run) requeue(ctx context.Context, reason string) error {
	return r.delivery.Append(ctx, schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
		Worker: r.w.identity.ID, Incarnation: r.w.identity.Incarnation, Reason: reason,
		Alone: r.isolated && reason == schemas.ReasonPreparing,
	}})
}

// expire ends a job whose deadline has passed.
func (r *run) expire(ctx context.Context) outcome {
	r.notResumed(errDeadline)
	return r.end(ctx, outcomeExpired, schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{
		DeadlineMS: r.deadline.Milliseconds(),
		Started:    r.usage.PromptTokens > 0,
		Usage:      r.partialUsage(),
	}})
}

// handBack gives the job to others at once.
func (r *run) handBack(ctx context.Context) outcome {
	return r.handedBack(func() error { return r.delivery.HandBack(ctx) })
}

// handBackAfter gives the job to others after delay.
func (r *run) handBackAfter(ctx context.Context, delay time.Duration) outcome {
	return r.handedBack(func() error { return r.delivery.HandBackAfter(ctx, delay) })
}

// handedBack forgets the job before it is given back: it may be offered to this
// very worker at once.
func (r *run) handedBack(give func() error) outcome {
	r.enter(phaseEnding)
	r.w.forget(r)
	if err := give(); err != nil {
		r.log.Warn("not handed back; offered again after the acknowledgement wait", schemas.LogError, err)
		return outcomeAbandoned
	}
	return outcomeHandedBack
}

// lost answers for a refused append.
func (r *run) lost(ctx context.Context, err error) outcome {
	r.enter(phaseEnding)
	switch {
	case errors.Is(err, queue.ErrTerminal):
		return r.acknowledge(ctx, outcomeEnded)
	case errors.Is(err, queue.ErrFenced):
		r.log.Info("another writer has the job; dropped")
		return outcomeFenced
	case errors.Is(err, schemas.ErrNewerVersion):
		// Its events cannot even be numbered here: a newer worker must end it.
		r.quiet = true
		return r.handBackAfter(ctx, r.w.config.MaxRetryDelay)
	case errors.Is(err, queue.ErrStorageFull) && r.open:
		return r.outlast(ctx, err)
	default:
		r.log.Warn("event not logged; the job is left to another claim", schemas.LogError, err)
		return outcomeAbandoned
	}
}

// outlast waits until the log takes events again, and gives the job back. As long
// as the log says that this worker has it, and the worker lives, nobody else
// takes it. The engine has it no more.
func (r *run) outlast(ctx context.Context, err error) outcome {
	r.log.Warn("the log is full: the job is handed back as soon as it takes that", schemas.LogError, err)
	r.dropAll()
	retry := time.NewTicker(r.w.config.RetryDelay)
	defer retry.Stop()
	for {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return outcomeAbandoned
		}
		err := r.takeBack(ctx, reasonSlowConsumer)
		switch cause := r.stopCause(); {
		case errors.Is(err, queue.ErrStorageFull):
		case err != nil:
			return r.lost(ctx, err)
		case cause != nil:
			return r.conclude(ctx, cause)
		default:
			return r.handBack(ctx)
		}
	}
}

// engineFailed makes Run stop because of err.
func (w *Worker) engineFailed(err error) {
	w.fail.Do(func() {
		w.failure = err
		close(w.failed)
	})
}

// engineLost reports whether the engine has failed, as far as is known.
func (w *Worker) engineLost() bool {
	select {
	case <-w.failed:
		return true
	case <-w.engine.Failed():
		return true
	default:
		return false
	}
}
