package worker

import (
	"context"
	"slices"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// watchControl serves the messages of gateways and operators until the feed is
// closed.
func (w *Worker) watchControl(ctx context.Context, feed *queue.ControlFeed) {
	for {
		message, err := feed.Next(ctx)
		if err != nil {
			return
		}
		switch message.Kind {
		case queue.ControlCancel:
			w.cancel(message)
		case queue.ControlReport:
			feed.Answer(message, w.report())
		case queue.ControlDrain:
			w.askedToDrain(ctx, feed, message)
		case queue.ControlBatchWindow, queue.ControlLogLevel, queue.ControlPause, queue.ControlResume:
			feed.Answer(message, w.change(ctx, message))
		default:
			log := w.log.With(schemas.LogRequestID, "", schemas.LogJobID, message.JobID)
			if r := w.find(message.Owner, message.JobID); r != nil {
				log = r.log
			}
			log.Warn("control message of an unknown kind", schemas.LogKind, message.Kind)
			report := w.report()
			report.Unknown = message.Kind
			feed.Answer(message, report)
		}
	}
}

// cancel stops the run of a job, if it is here.
func (w *Worker) cancel(message queue.ControlMessage) {
	r := w.find(message.Owner, message.JobID)
	if r == nil {
		return // it has ended, or moved
	}
	var cause error
	switch message.Reason {
	case queue.ReasonDeadline:
		// The sender writes the same end; who is second is fenced.
		cause = errDeadline
	case "":
		cause = &cancelError{reason: "requested"}
	default:
		cause = &cancelError{reason: message.Reason}
	}
	r.stop(cause)
}

// maxDrainers bounds who gets the last word of a drain.
const maxDrainers = 16

// askedToDrain makes Run drain and return.
func (w *Worker) askedToDrain(ctx context.Context, feed *queue.ControlFeed, message queue.ControlMessage) {
	timeout := w.config.DrainTimeout
	if message.TimeoutMS != nil {
		timeout = max(time.Duration(*message.TimeoutMS)*time.Millisecond, 0)
	}
	w.hasten(timeout)
	w.mu.Lock()
	repeated := slices.ContainsFunc(w.drainers, func(m queue.ControlMessage) bool { return m.Answer == message.Answer })
	if len(w.drainers) < maxDrainers {
		w.drainers = append(w.drainers, message)
	}
	w.mu.Unlock()
	if !repeated {
		w.audit(ctx, message, "taking jobs", "draining, within "+timeout.String())
	}
	report := w.report()
	report.Draining = true // as good as
	feed.Answer(message, report)
	w.drainOnce.Do(func() { close(w.drainAsked) })
}

// sayDrained is the last word of a drain to those who asked for it.
func (w *Worker) sayDrained(feed *queue.ControlFeed) {
	report := w.report()
	w.mu.Lock()
	drained, drainers := w.drained, w.drainers
	w.mu.Unlock()
	report.Drained = &drained
	for _, message := range drainers {
		feed.Answer(message, report)
	}
}

// find returns the run of a job, or nil.
func (w *Worker) find(owner, jobID string) *run {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		if r.delivery.JobID == jobID && r.delivery.Owner == owner {
			return r
		}
	}
	return nil
}
