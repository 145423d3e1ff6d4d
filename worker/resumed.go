package worker

import (
	"errors"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// Why a stream that an earlier attempt began does not go on here: label values of
// semantic_worker_resume_failed_total.
const (
	resumeFingerprint   = "fingerprint"
	resumePrompt        = "prompt"
	resumeContext       = "context"
	resumeContradiction = "contradiction"
	resumeDeadline      = "deadline"
	resumeGivenUp       = "given_up"
)

var resumeReasons = [...]string{resumeFingerprint, resumePrompt, resumeContext, resumeContradiction, resumeDeadline, resumeGivenUp}

// notResumed counts a job that an earlier attempt began and that does not go on,
// if that is why.
func (r *run) notResumed(cause error) {
	var length *engine.ContextLengthError
	switch {
	case r.history.first == nil:
	case errors.Is(cause, errOtherFingerprint):
		r.countNotResumed(resumeFingerprint)
	case errors.Is(cause, errOtherPrompt):
		r.countNotResumed(resumePrompt)
	case errors.Is(cause, errContradiction):
		r.countNotResumed(resumeContradiction)
	case errors.Is(cause, errDeadline) && !r.emitted:
		r.countNotResumed(resumeDeadline)
	case errors.As(cause, &length):
		r.countNotResumed(resumeContext)
	}
}

func (r *run) countNotResumed(reason string) {
	r.w.metrics.resumeFailed.WithLabelValues(string(r.delivery.Class), reason).Inc()
}

// brokeSilence observes how long a resumed stream stood still, at its next token.
func (r *run) brokeSilence() {
	var last time.Time
	for _, attempt := range r.delivery.Attempts() {
		if attempt.Tokens > 0 {
			last = attempt.Last
		}
	}
	if !last.IsZero() {
		observe(r.w.metrics.resumeGap, r.delivery.BrokerTime(time.Now()).Sub(last), r.trace.job.SpanContext())
	}
}
