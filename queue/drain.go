package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Draining is a worker that was told to drain, as its sender sees it. It is for
// one goroutine.
type Draining struct {
	q           *Queue
	worker      string
	incarnation string
	answers     *nats.Subscription
	messages    chan *nats.Msg
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
// once the worker has agreed. Errors: ErrSilent, ErrUnavailable.
func (q *Queue) Drain(ctx context.Context, workerID string, timeout *time.Duration) (*Draining, WorkerReport, error) {
	message := ControlMessage{Kind: ControlDrain}
	if timeout != nil {
		ms := max(*timeout, 0).Milliseconds()
		message.TimeoutMS = &ms
	}
	body, err := json.Marshal(message)
	if err != nil {
		return nil, WorkerReport{}, fmt.Errorf("queue: %w", err)
	}
	if err := q.registry.start(ctx); err != nil {
		return nil, WorkerReport{}, err
	}
	d := &Draining{q: q, worker: workerID, messages: make(chan *nats.Msg, 4)}
	inbox := q.nc.NewInbox()
	if d.answers, err = q.nc.ChanSubscribe(inbox, d.messages); err != nil {
		return nil, WorkerReport{}, fmt.Errorf("%w: drain: %w", ErrUnavailable, err)
	}
	if err := q.nc.PublishRequest(controlSubject(workerID), inbox, body); err != nil {
		d.Close()
		return nil, WorkerReport{}, fmt.Errorf("%w: drain: %w", ErrUnavailable, err)
	}
	late := time.NewTimer(ReportTimeout)
	defer late.Stop()
	select {
	case m := <-d.messages:
		if m.Header.Get("Status") != "" {
			err = fmt.Errorf("%w: nobody listens for %s", ErrSilent, workerID)
			break
		}
		var r WorkerReport
		if r, err = readReport(m, workerID); err == nil {
			d.incarnation = r.Incarnation
			return d, r, nil
		}
	case <-late.C:
		if err = q.link.health(); err == nil {
			err = fmt.Errorf("%w: %s, within %s", ErrSilent, workerID, ReportTimeout)
		}
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	d.Close()
	return nil, WorkerReport{}, err
}

// Wait returns what became of the jobs once the worker is gone; nil if its last
// word got lost, or it died. The context's own error if ctx ends first: the drain
// goes on.
func (d *Draining) Wait(ctx context.Context) (*Drained, error) {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	var word *Drained
	var gone <-chan time.Time
	for {
		select {
		case m := <-d.messages:
			if r, err := readReport(m, d.worker); err == nil && r.Incarnation == d.incarnation && r.Drained != nil {
				word = r.Drained
			}
		case <-look.C:
		case <-gone:
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
func (d *Draining) Close() {
	if err := d.answers.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrBadSubscription) {
		d.q.log.Debug("drain: unsubscribe", "error", err)
	}
}
