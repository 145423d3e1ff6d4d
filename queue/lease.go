package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// lease makes one of several processes the leader. It is a key of the bucket
// leases that its holder writes again every third of its time to live, each write
// fenced by the one before.
//
// Nobody's clock is compared with another's: a holder counts from before it sent
// its last write, and ends what it does when the time is over; who waits counts
// from when it first saw that write, which is later. A process that was stopped,
// or slept, may go on for a moment after that with what it was doing: what a leader
// does must be fenced by itself, or harmless when done twice.
type lease struct {
	q    *Queue
	name string
	ttl  time.Duration
	// self names this holder; no two have one name.
	self string
}

// leasePoll is how often who waits looks, at least.
const leasePoll = time.Second

// leaseValue is what the key holds.
type leaseValue struct {
	Holder string `json:"holder"`
}

// leaseState is the key as it was read.
type leaseState struct {
	sequence uint64 // of its last entry; 0 if there is none
	holder   string // "" where nobody has it
}

// term is a lease that is held.
type term struct {
	sequence uint64
	until    time.Time
}

func (q *Queue) newLease(name string) *lease {
	return &lease{q: q, name: name, ttl: q.config.LeaseTTL, self: NewJobID()}
}

// run calls lead whenever this process has become the leader, with a context that
// ends when it no longer is, and returns when ctx has ended and lead has returned.
func (l *lease) run(ctx context.Context, lead func(ctx context.Context)) {
	for {
		t, ok := l.acquire(ctx)
		if !ok {
			return
		}
		l.hold(ctx, t, lead)
	}
}

// acquire waits until the lease is free, or was not renewed for its time to live,
// and takes it; false when ctx ends first, or the queue is closed.
func (l *lease) acquire(ctx context.Context) (term, bool) {
	var seen leaseState
	var since time.Time
	for {
		if l.q.link.wait(ctx) != nil {
			return term{}, false
		}
		err := l.q.once(ctx, func(ctx context.Context) error {
			state, err := l.read(ctx)
			if err != nil {
				return err
			}
			if state != seen || since.IsZero() {
				seen, since = state, time.Now()
			}
			return nil
		})
		if err == nil && (seen.holder == "" || seen.holder == l.self || time.Since(since) >= l.ttl) {
			var t term
			if t, err = l.write(ctx, seen.sequence); err == nil {
				return t, true
			}
		}
		if err != nil && !errors.Is(err, ErrFenced) && ctx.Err() == nil {
			l.q.log.Debug("lease not taken", slog.String(schemas.LogLease, l.name), slog.Any(schemas.LogError, err))
		}
		if sleep(ctx, min(l.ttl/3, leasePoll)) != nil {
			return term{}, false
		}
	}
}

// hold runs lead for as long as the lease can be renewed, and gives it back.
func (l *lease) hold(ctx context.Context, t term, lead func(ctx context.Context)) {
	leading, stop := context.WithCancel(ctx)
	defer stop()
	over := time.AfterFunc(time.Until(t.until), stop)
	defer over.Stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		lead(leading)
	}()
	lost := false
	timer := time.NewTimer(l.ttl / 3)
	defer timer.Stop()
	for leading.Err() == nil {
		select {
		case <-timer.C:
		case <-leading.Done():
			continue
		}
		next, err := l.renew(leading, t)
		switch {
		case err == nil:
			t = next
			over.Reset(time.Until(t.until))
			timer.Reset(l.ttl / 3)
		case errors.Is(err, ErrFenced):
			lost = true
			stop()
		default: // until the time is over
			timer.Reset(min(l.ttl/10, retryMost))
		}
	}
	<-done
	if lost || time.Now().After(t.until) {
		l.q.log.Warn("lease lost", slog.String(schemas.LogLease, l.name))
		return
	}
	l.release(ctx, t)
}

// renew writes the key again. ErrFenced where another has it.
func (l *lease) renew(ctx context.Context, t term) (term, error) {
	next, err := l.write(ctx, t.sequence)
	if !errors.Is(err, ErrFenced) {
		return next, err
	}
	// It may be our own write before, whose answer was lost.
	var state leaseState
	err = l.q.once(ctx, func(ctx context.Context) (err error) {
		state, err = l.read(ctx)
		return err
	})
	if err != nil {
		return t, err
	}
	if state.holder != l.self {
		return t, ErrFenced
	}
	return l.write(ctx, state.sequence)
}

// release lets the next one have the lease at once; it runs out by itself if that
// fails.
func (l *lease) release(ctx context.Context, t term) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.q.config.RequestTimeout)
	defer cancel()
	err := l.put(ctx, t.sequence, nil, nats.Header{"KV-Operation": {"DEL"}}, new(uint64))
	if err != nil {
		l.q.log.Debug("lease not given back", slog.String(schemas.LogLease, l.name), slog.Any(schemas.LogError, err))
	}
}

func (l *lease) subject() string { return "$KV." + bucketLeases + "." + l.name }

func (l *lease) read(ctx context.Context) (leaseState, error) {
	m, found, err := l.q.leaderGet(ctx, bucketStream(bucketLeases), getRequest{LastFor: l.subject()})
	if err != nil || !found {
		return leaseState{}, err
	}
	state := leaseState{sequence: m.Sequence}
	var value leaseValue
	// A marker of a deleted or expired key has no value.
	if json.Unmarshal(m.Data, &value) == nil {
		state.holder = value.Holder
	}
	return state, nil
}

// write makes this process the holder, if the key's last entry is still the one
// with that sequence. Errors: ErrFenced, ErrUnavailable.
func (l *lease) write(ctx context.Context, after uint64) (term, error) {
	data, err := json.Marshal(leaseValue{Holder: l.self})
	if err != nil {
		return term{}, fmt.Errorf("queue: lease: %w", err)
	}
	t := term{until: time.Now().Add(l.ttl)}
	return t, l.put(ctx, after, data, nats.Header{}, &t.sequence)
}

func (l *lease) put(ctx context.Context, after uint64, data []byte, header nats.Header, sequence *uint64) error {
	header.Set(jetstream.ExpectedStreamHeader, bucketStream(bucketLeases))
	header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(after, 10))
	return l.q.once(ctx, func(ctx context.Context) error {
		ack, err := l.q.js.PublishMsg(ctx, &nats.Msg{Subject: l.subject(), Data: data, Header: header}, jetstream.WithRetryAttempts(0))
		switch {
		case fenced(err):
			return ErrFenced
		case err != nil:
			return fmt.Errorf("queue: lease %s: %w", l.name, err)
		}
		*sequence = ack.Sequence
		return nil
	})
}
