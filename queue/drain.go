package queue

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// Draining is a worker that was told to drain, as its sender sees it. It is for
// one goroutine.
type Draining struct {
	q           *Queue
	worker      string
	incarnation string
	question    *question
}

// Times of a drain's sender.
const (
	// drainLook is how often it looks whether the worker is still registered.
	drainLook = 100 * time.Millisecond
	// drainLastWord is how long it waits, once the worker is gone, for a last word
	// that was on its way.
	drainLastWord = 500 * time.Millisecond
)

// Drain tells a worker to take no more jobs, to hand over what does not end
// within timeout, and to exit; nil leaves the timeout to the worker. Of several
// drains the earliest end counts. It returns what the worker has in its hands,
// once the worker has agreed. Errors: ErrSilent, ErrUnavailable, *ForbiddenError.
func (q *Queue) Drain(ctx context.Context, workerID string, timeout *time.Duration) (*Draining, WorkerReport, error) {
	message := ControlMessage{Kind: ControlDrain}
	if timeout != nil {
		ms := max(*timeout, 0).Milliseconds()
		message.TimeoutMS = &ms
	}
	if err := q.registry.start(ctx); err != nil {
		return nil, WorkerReport{}, err
	}
	asked, r, err := q.ask(ctx, controlSubject(workerID), workerID, message)
	if err != nil {
		return nil, WorkerReport{}, err
	}
	return &Draining{q: q, worker: workerID, incarnation: r.Incarnation, question: asked}, r, nil
}

// Wait returns what became of the jobs once the worker is gone; nil if its last
// word got lost, or it died. The context's own error if ctx ends first: the drain
// goes on.
func (d *Draining) Wait(ctx context.Context) (*Drained, error) {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	var word *Drained
	hear := func(m *nats.Msg) {
		if r, err := readReport(m, d.worker); err == nil && r.Incarnation == d.incarnation && r.Drained != nil {
			word = r.Drained
		}
	}
	var gone <-chan time.Time
	for {
		select {
		case m := <-d.question.messages:
			hear(m)
		case <-look.C:
		case <-gone:
			for len(d.question.messages) > 0 { // who was held up has its last word yet to read
				hear(<-d.question.messages)
			}
			return word, nil
		case <-ctx.Done():
			return nil, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
		if d.q.link.health() != nil || !d.q.registry.dead(d.worker, d.incarnation) {
			continue
		}
		if word != nil {
			return word, nil
		}
		if gone == nil {
			gone = time.After(drainLastWord)
		}
	}
}

// Close gives the answers up; the drain goes on. Idempotent.
func (d *Draining) Close() { d.question.close() }
