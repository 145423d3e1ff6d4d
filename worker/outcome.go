package worker

import (
	"context"
	"errors"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Reasons of requeued events.
const (
	reasonShutdown     = "shutdown"
	reasonUnsupported  = "unsupported"
	reasonSlowConsumer = "slow_consumer"
)

// end appends the terminal event and acknowledges the job.
func (r *run) end(ctx context.Context, result outcome, event schemas.Event) outcome {
	r.enter(phaseEnding)
	if err := r.delivery.Append(ctx, event); err != nil {
		return r.lost(ctx, err)
	}
	return r.acknowledge(ctx, result)
}

// acknowledge removes the job, whose log has its end. When it fails the next
// claimer sees the end and acknowledges.
func (r *run) acknowledge(ctx context.Context, result outcome) outcome {
	if err := r.delivery.Ack(ctx); err != nil {
		r.log.Warn("not acknowledged; the next claimer will", keyError, err)
	}
	return result
}

// refuse ends a job that cannot be answered: the one table from errors to
// codes. Errors that are nobody's fault but ours are internal.
func (r *run) refuse(ctx context.Context, err error) outcome {
	failed := &schemas.Failed{Code: schemas.CodeInternal, Message: err.Error(), Usage: r.partialUsage()}
	var (
		field    *schemas.FieldError
		template *chat.TemplateError
		length   *engine.ContextLengthError
	)
	switch {
	case errors.As(err, &field):
		failed.Code, failed.Param = field.Code, field.Field
	case errors.As(err, &template):
		failed.Code, failed.Param = schemas.CodeTemplateFailed, "messages"
	case errors.As(err, &length):
		failed.Code, failed.Message, failed.Param = schemas.CodeContextLengthExceeded, lengthMessage(length), "messages"
	case errors.Is(err, engine.ErrBackend):
		failed.Code = schemas.CodeEngineFailed
	}
	r.log.Warn("job failed", "code", string(failed.Code), "param", failed.Param, keyError, err)
	return r.end(ctx, outcomeFailed, schemas.Event{Type: schemas.EventFailed, Failed: failed})
}

// notSubmitted answers for a job that the engine did not take.
func (r *run) notSubmitted(ctx context.Context, err error) outcome {
	switch {
	case errors.Is(err, engine.ErrBackend):
		r.w.engineFailed()
		return r.handBack(ctx)
	case errors.Is(err, engine.ErrDraining), errors.Is(err, engine.ErrClosed), errors.Is(err, engine.ErrFull):
		return r.hold(ctx, false)
	default:
		return r.refuse(ctx, err)
	}
}

// interrupted answers for a sequence that did not end by itself.
func (r *run) interrupted(ctx context.Context, err error) outcome {
	r.enter(phaseEnding)
	switch {
	case errors.Is(err, engine.ErrCancelled):
		return r.conclude(ctx, r.stopCause(), true)
	case errors.Is(err, engine.ErrDrained), errors.Is(err, engine.ErrClosed):
		return r.conclude(ctx, errHandover, true)
	case errors.Is(err, engine.ErrSlowConsumer):
		// The broker took no events for long. That is not the job's fault: it goes
		// on from the log, here or elsewhere.
		r.log.Warn("the log took no more tokens for too long: handing the job back", keyError, err)
		if cause := r.stopCause(); cause != nil {
			return r.conclude(ctx, cause, true)
		}
		return r.requeue(ctx, reasonSlowConsumer)
	case errors.Is(err, engine.ErrBackend):
		// As a death of the process, which the worker's end makes of it: the
		// started event stays without a requeued one.
		r.w.engineFailed()
		if r.delivery.Deaths()+1 >= r.w.config.MaxDeaths {
			return r.refuse(ctx, err)
		}
		r.log.Error("the engine failed under the job", keyError, err)
		return r.handBack(ctx)
	case ctx.Err() != nil:
		return outcomeAbandoned
	default:
		return r.refuse(ctx, err)
	}
}

// conclude writes what a stop asks for. begun is whether this attempt has a
// started event.
func (r *run) conclude(ctx context.Context, cause error, begun bool) outcome {
	var cancelled *cancelError
	switch {
	case errors.As(cause, &cancelled):
		return r.end(ctx, outcomeCancelled, schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{
			Reason: cancelled.reason, Usage: r.partialUsage(),
		}})
	case errors.Is(cause, errDeadline):
		return r.expire(ctx)
	case begun:
		return r.requeue(ctx, reasonShutdown)
	}
	return r.handBack(ctx)
}

// requeue takes this attempt back, so that it does not count as a death, and
// gives the job to others at once.
func (r *run) requeue(ctx context.Context, reason string) outcome {
	event := schemas.Event{Type: schemas.EventRequeued, Requeued: r.requeued(reason)}
	if err := r.delivery.Append(ctx, event); err != nil {
		return r.lost(ctx, err)
	}
	return r.handBack(ctx)
}

// expire ends a job whose deadline has passed.
func (r *run) expire(ctx context.Context) outcome {
	return r.end(ctx, outcomeExpired, schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{
		DeadlineMS: r.deadline().Milliseconds(),
		Started:    r.usage.PromptTokens > 0,
		Usage:      r.partialUsage(),
	}})
}

// hold keeps a job that this worker cannot serve from being offered again at
// once, then gives it back. It costs no place in the engine. With announce the
// log says so once.
func (r *run) hold(ctx context.Context, announce bool) outcome {
	r.enter(phaseHeld)
	if announce {
		event := schemas.Event{Type: schemas.EventRequeued, Requeued: r.requeued(reasonUnsupported)}
		if err := r.delivery.Append(ctx, event); err != nil {
			return r.lost(ctx, err)
		}
	}
	pause(ctx, r.w.config.RetryDelay, r.stopped)
	if cause := r.stopCause(); cause != nil {
		return r.conclude(ctx, cause, false)
	}
	return r.handBack(ctx)
}

// handBack gives the job to others at once.
func (r *run) handBack(ctx context.Context) outcome {
	r.enter(phaseEnding)
	r.w.forget(r)
	if err := r.delivery.HandBack(ctx); err != nil {
		r.log.Warn("not handed back; offered again after the acknowledgement wait", keyError, err)
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
	default:
		r.log.Warn("event not logged; the job is left to another claim", keyError, err)
		return outcomeAbandoned
	}
}

func (r *run) requeued(reason string) *schemas.Requeued {
	return &schemas.Requeued{Worker: r.w.identity.ID, Incarnation: r.w.identity.Incarnation, Reason: reason}
}

// engineFailed makes Run stop.
func (w *Worker) engineFailed() {
	w.fail.Do(func() { close(w.failed) })
}
