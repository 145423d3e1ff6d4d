package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// feedBuffer is how many live events wait for a slow reader. What does not fit
// is dropped by the connection and read from the log instead.
const feedBuffer = 128

// Follower reads one job's events: the live feed while it is whole, the log
// wherever it is not. It has no goroutine of its own. Next is for one
// goroutine at a time; Close may be called from any.
type Follower struct {
	q            *Queue
	owner, jobID string
	after        int64

	sub  *nats.Subscription
	feed chan *nats.Msg

	// Only Next touches these. log holds what was read from the log and not yet
	// been returned in log.Entries[given:].
	log   jobLog
	given int
	// connection is the one over which the last event of log was seen to be there.
	connection uint64
	// link state as of the last look: a change means the feed may have a hole.
	changed <-chan struct{}
	silence *time.Timer

	closed    chan struct{}
	closeOnce sync.Once
}

// Follow reads a job's events from the first with N > after (0 for all). It
// may be called before the job has any event, then Next waits for it. Errors:
// ErrUnavailable, ErrInvalid, and ErrLogRewound where the log ends before after.
func (q *Queue) Follow(ctx context.Context, owner, jobID string, after int64) (*Follower, error) {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return nil, err
	}
	f := &Follower{
		q: q, owner: owner, jobID: jobID, after: after,
		feed: make(chan *nats.Msg, feedBuffer), closed: make(chan struct{}),
	}
	_, f.changed = q.link.state()
	// The feed first: what is stored while the log is read must not be missed.
	if f.sub, err = q.nc.ChanSubscribe(ReplySubject(owner, jobID), f.feed); err != nil {
		return nil, fmt.Errorf("%w: follow: %w", ErrUnavailable, err)
	}
	if err := q.readLog(ctx, owner, jobID, &f.log); err != nil {
		f.Close()
		return nil, err
	}
	if f.log.n() < after && !f.log.Newer {
		f.Close()
		return nil, fmt.Errorf("%w: %s ends at event %d, the reader has %d", ErrLogRewound, jobID, f.log.n(), after)
	}
	f.connection = f.log.Connection
	f.silence = time.NewTimer(q.config.FollowSilence)
	return f, nil
}

// Next blocks for the next event: in order, no gap, no repeat. After the
// terminal event it returns io.EOF, after Close ErrClosed,
// schemas.ErrNewerVersion for a log that a newer release writes, and ErrLogRewound
// where the broker came back without an event that was returned before. It waits
// out a broker that is away, until ctx ends.
func (f *Follower) Next(ctx context.Context) (schemas.Event, error) {
	for {
		for f.given < len(f.log.Entries) {
			event := f.log.Entries[f.given].Event
			f.given++
			if event.N > f.after {
				f.trim()
				return event, nil
			}
		}
		f.trim()
		switch {
		case f.log.ended():
			return schemas.Event{}, io.EOF
		case f.log.Newer:
			return schemas.Event{}, fmt.Errorf("queue: follow %s: %w", f.jobID, schemas.ErrNewerVersion)
		}
		if err := f.wait(ctx); err != nil {
			return schemas.Event{}, err
		}
	}
}

// trim forgets events that were given; the last one stays, it is the anchor
// of what follows.
func (f *Follower) trim() {
	if f.given > 1 && f.given == len(f.log.Entries) {
		f.log.Entries[0] = f.log.Entries[f.given-1]
		clear(f.log.Entries[1:])
		f.log.Entries, f.given = f.log.Entries[:1], 1
	}
}

// wait blocks until the log may have grown, and brings in what it got.
func (f *Follower) wait(ctx context.Context) error {
	// What has arrived goes before news of a closed or changed connection.
	select {
	case m := <-f.feed:
		return f.take(ctx, m)
	default:
	}
	f.silence.Reset(f.q.config.FollowSilence)
	select {
	case m := <-f.feed:
		return f.take(ctx, m)
	case <-f.silence.C:
		return f.repair(ctx, repairSilence)
	case <-f.changed:
		var connected bool
		if connected, f.changed = f.q.link.state(); connected {
			return f.repair(ctx, repairReconnect)
		}
		if err := f.q.link.health(); errors.Is(err, ErrClosed) {
			return err
		}
		return nil
	case <-f.closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own context
	}
}

// take adds a message of the live feed, if it is the one that follows.
// Anything else only tells that the log should be looked at: the feed's
// headers prove nothing where others may publish to it.
func (f *Follower) take(ctx context.Context, m *nats.Msg) error {
	if f.connection != f.q.link.connection() {
		return f.repair(ctx, repairReconnect)
	}
	sequence, err := strconv.ParseUint(last(m.Header.Values(headerSequence)), 10, 64)
	if err != nil {
		f.q.metrics.junk.Inc()
		return nil //nolint:nilerr // not of the server: nothing to act on
	}
	if sequence <= f.log.Last {
		return nil
	}
	before, err := strconv.ParseUint(last(m.Header.Values(headerLastSequence)), 10, 64)
	event, bad := schemas.DecodeEvent(m.Data)
	if err != nil || before != f.log.Last || bad != nil || event.Job != f.jobID || event.N != f.log.n()+1 {
		return f.repair(ctx, repairGap)
	}
	f.log.Last = sequence
	f.log.Entries = append(f.log.Entries, logEntry{Sequence: sequence, Event: event})
	return nil
}

// repair reads on from the log. What is there is the continuation of what was read
// only if that is there, too: over another connection this is seen first, and what
// was read over yet another one is read again.
func (f *Follower) repair(ctx context.Context, cause string) error {
	before := f.log
	for {
		if err := f.checkRewound(ctx); err != nil {
			return err
		}
		err := f.q.readLog(ctx, f.owner, f.jobID, &f.log)
		same := f.log.Connection == f.connection
		if !same {
			f.log = before
		}
		if err == nil && !same {
			continue
		}
		if f.log.Last > before.Last || cause == repairReconnect {
			f.q.metrics.repairs.WithLabelValues(cause).Inc()
		}
		return err
	}
}

// checkRewound looks, after a reconnect, whether the last event that was read
// is still in the log.
func (f *Follower) checkRewound(ctx context.Context) error {
	connection := f.q.link.connection()
	if connection == f.connection {
		return nil
	}
	if len(f.log.Entries) > 0 {
		known := f.log.Entries[len(f.log.Entries)-1]
		var held bool
		err := f.q.retry(ctx, func(ctx context.Context) (err error) {
			held, err = f.q.holds(ctx, f.jobID, known)
			return err
		})
		if err == nil && !held {
			err = fmt.Errorf("%w: event %d of %s is there no more", ErrLogRewound, known.Event.N, f.jobID)
		}
		if err != nil {
			return err
		}
	}
	f.connection = connection
	return nil
}

// Close ends the subscription; a Next that waits returns ErrClosed. Idempotent.
func (f *Follower) Close() {
	f.closeOnce.Do(func() {
		close(f.closed)
		_ = f.sub.Unsubscribe() // fails only if the connection is closed
	})
}
