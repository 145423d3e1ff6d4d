package worker

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
)

// errOtherFingerprint: the stream began under other weights, another runtime or
// another template.
var errOtherFingerprint = errors.New("the job started under another fingerprint")

// unfit reports why this worker cannot serve a job that another can; nil if it
// can, or nobody can. bad is what is wrong with the job.
func (r *run) unfit(bad error) error {
	switch first := r.history.first; {
	case r.history.ended:
		return nil
	case errors.Is(bad, schemas.ErrNewerVersion):
		return bad
	case bad == nil && first != nil && first.Fingerprint != r.w.model.Fingerprint:
		return fmt.Errorf("%w: %s, this worker has %s", errOtherFingerprint, first.Fingerprint, r.w.model.Fingerprint)
	}
	return nil
}

// hold gives back a job that this worker cannot serve but another can. Until the
// delay has passed the server offers it to nobody, those that can serve it
// included, and goes on with other jobs of its flow. An untouched job's log says
// so once, and so does one line here.
func (r *run) hold(ctx context.Context, cause error) outcome {
	r.quiet = true
	r.enter(phaseEnding)
	delay := holdDelay(r.w.config, r.delivery.Deliveries, r.left())
	if r.w.told.first(r.delivery.Key()) {
		r.notResumed(cause)
		r.log.Warn("for another worker: this one cannot serve the job", schemas.LogError, cause, schemas.LogDelay, delay)
	}
	if r.history.untouched() {
		if err := r.requeue(ctx, reasonUnsupported); err != nil {
			return r.lost(ctx, err)
		}
	}
	return r.releaseAfter(ctx, reasonUnsupported, delay)
}

// passOn gives back a job that is too long for this worker to one that can hold
// it; false if there is none. A stream that began elsewhere waits for such a one.
func (r *run) passOn(ctx context.Context, cause error) (outcome, bool) {
	var length *engine.ContextLengthError
	if !errors.As(cause, &length) {
		return "", false
	}
	needs := length.Prompt + max(length.MaxTokens, 1)
	workers, err := r.w.queue.Workers(ctx)
	able := err == nil && slices.ContainsFunc(workers, func(other schemas.WorkerStatus) bool {
		return other.Model == r.w.model.Name && other.ID != r.w.identity.ID && (other.Context == 0 || other.Context >= needs)
	})
	switch {
	case !able && r.history.first != nil:
		return r.hold(ctx, cause), true
	case !able:
		return "", false
	}
	r.quiet = true
	if r.w.told.first(r.delivery.Key()) {
		r.log.Info("for another worker: the job needs a longer context", schemas.LogNeeds, needs, schemas.LogContext, length.Context)
	}
	if r.history.untouched() || r.open {
		if err := r.requeue(ctx, reasonContext); err != nil {
			return r.lost(ctx, err), true
		}
	}
	r.open = false
	return r.handedBack(func() error { return r.delivery.PassOn(ctx, needs) }), true
}

// holdDelay is how long a job is not offered again: RetryDelay, doubled for
// every time it was offered before, but not past its deadline, so that somebody
// writes its end in time.
func holdDelay(c Config, deliveries uint64, left time.Duration) time.Duration {
	delay := c.RetryDelay
	for i := uint64(1); i < deliveries && delay < c.MaxRetryDelay; i++ {
		delay *= 2
	}
	return min(delay, c.MaxRetryDelay, max(left, 0))
}

// toldMost bounds a told. One of that size takes about 4 MB.
const toldMost = 1 << 17

// told remembers of which jobs something was said. When it is full it forgets
// them all, and they are said again.
type told struct {
	mu   sync.Mutex
	seed maphash.Seed
	jobs map[uint64]struct{}
}

func newTold() *told { return &told{seed: maphash.MakeSeed(), jobs: make(map[uint64]struct{})} }

// first reports whether it was not asked about the job before.
func (t *told) first(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	job := maphash.String(t.seed, key)
	if _, known := t.jobs[job]; known {
		return false
	}
	if len(t.jobs) >= toldMost {
		clear(t.jobs)
	}
	t.jobs[job] = struct{}{}
	return true
}
