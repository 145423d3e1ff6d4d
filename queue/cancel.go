package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// cancelRepeat is how often a running job's worker is told again.
const cancelRepeat = 250 * time.Millisecond

// Cancel ends a job. If nothing started, a fenced `cancelled` event does; a
// running job's worker is told until an end is in the log, and after
// Config.CancelGrace the event is appended here, so that the worker's next
// append is refused. Returns nil once the job has ended, however it ended;
// ErrUnavailable, ErrStorageFull (ask again), the context's error, or schemas.ErrNewerVersion (only a newer
// release can write this log) otherwise. reason is "client_disconnected" or
// "requested".
func (q *Queue) Cancel(ctx context.Context, owner, jobID, reason string) error {
	return q.end(ctx, owner, jobID, reason, q.config.CancelGrace, func(l jobLog) schemas.Event {
		return schemas.Event{
			Type:      schemas.EventCancelled,
			Cancelled: &schemas.Cancelled{Reason: reason, Usage: l.usage()},
		}
	})
}

// Expire ends a job whose deadline passed, at once: its worker, which has the
// same deadline, either was first or is fenced. Idempotent; nil if the job had
// ended otherwise.
func (q *Queue) Expire(ctx context.Context, owner, jobID string, deadline time.Duration) error {
	return q.end(ctx, owner, jobID, ReasonDeadline, 0, func(l jobLog) schemas.Event {
		usage := l.usage()
		return schemas.Event{
			Type:    schemas.EventExpired,
			Expired: &schemas.Expired{DeadlineMS: deadline.Milliseconds(), Started: usage != nil, Usage: usage},
		}
	})
}

// end brings a job to its terminal event: the one that terminal makes, unless
// another comes first.
func (q *Queue) end(
	ctx context.Context, owner, jobID, reason string, grace time.Duration, terminal func(jobLog) schemas.Event,
) error {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return err
	}
	// A live event is a reason to look again before the repeat is due.
	stirred := make(chan *nats.Msg, 1)
	sub, err := q.nc.ChanSubscribe(ReplySubject(owner, jobID), stirred)
	if err != nil {
		return errors.Join(ErrUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed

	var l jobLog
	begin := time.Now()
	for {
		if err := q.readLog(ctx, owner, jobID, &l); err != nil {
			return err
		}
		if l.Newer {
			return fmt.Errorf("queue: log of %s: %w", jobID, schemas.ErrNewerVersion)
		}
		if l.ended() {
			q.removeJob(ctx, owner, jobID, l)
			return nil
		}
		running := l.running()
		if running != nil {
			q.tell(ctx, running.Worker, ControlMessage{Kind: ControlCancel, Owner: owner, JobID: jobID, Reason: reason})
		}
		if running == nil || time.Since(begin) >= grace {
			err := q.appendTerminal(ctx, owner, jobID, l, terminal(l))
			if err != nil && !errors.Is(err, ErrFenced) {
				return err
			}
			continue // read what is there now
		}
		if err := q.pauseForEnd(ctx, stirred, min(cancelRepeat, grace-time.Since(begin))); err != nil {
			return err
		}
	}
}

// pauseForEnd waits for a terminal event on the live feed, for at most d.
func (q *Queue) pauseForEnd(ctx context.Context, stirred <-chan *nats.Msg, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case m := <-stirred:
			if e, err := schemas.DecodeEvent(m.Data); err == nil && e.Type.Terminal() {
				return nil
			}
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the caller's own context
		}
	}
}

func (q *Queue) appendTerminal(ctx context.Context, owner, jobID string, l jobLog, e schemas.Event) error {
	_, _, err := q.appendEnd(ctx, EventSubject(owner, jobID), jobID, l.class(jobID), l, e)
	return err
}

// appendEnd appends the end to a log that was read to its end, and returns where it
// is and what was stored. class is "" where it is not known.
func (q *Queue) appendEnd(
	ctx context.Context, subject, jobID string, class schemas.Class, l jobLog, e schemas.Event,
) (uint64, []byte, error) {
	e.Version, e.Job, e.N, e.Time = schemas.Version, jobID, l.n()+1, time.Now()
	data, err := schemas.EncodeEvent(e)
	if err != nil {
		return 0, nil, err
	}
	at, err := q.appendEvent(ctx, e.Type, subject, NewJobID(), l.end(), data)
	if err != nil {
		return 0, nil, err
	}
	q.metrics.appends.WithLabelValues(string(e.Type)).Inc()
	q.metrics.ended(class, e, l.attempts(), l.running() != nil)
	return at.after, data, nil
}
