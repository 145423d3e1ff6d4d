package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// link knows whether the connection is up. nats.go's callbacks write it,
// everybody reads it; mu is a leaf in the lock order.
type link struct {
	mu sync.Mutex
	// up is closed while connected, changed is closed at the next change in
	// either direction.
	up, changed chan struct{}
	connected   bool
	closed      bool
	// reconnectedAt is zero until the first reconnect; epoch counts them.
	reconnectedAt time.Time
	epoch         uint64
	// lastErr is why the connection was lost.
	lastErr error
	// attempts are the requests under way: all are given up at once when the
	// connection goes, because their answers are lost with it.
	attempts map[*attempt]struct{}
}

type attempt struct {
	cancel context.CancelFunc
	// refuse ends it with a *ForbiddenError; nil for who looks after that itself.
	refuse context.CancelCauseFunc
}

func newLink() *link {
	return &link{up: make(chan struct{}), changed: make(chan struct{}), attempts: make(map[*attempt]struct{})}
}

// set records a change and returns whether it was one.
func (l *link) set(connected bool, cause error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cause != nil {
		l.lastErr = cause
	}
	if l.closed || l.connected == connected {
		return false
	}
	l.connected = connected
	if connected {
		close(l.up)
	} else {
		l.up = make(chan struct{})
		for a := range l.attempts {
			a.cancel()
		}
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

// reconnected notes when the connection came back.
func (l *link) reconnected() {
	l.mu.Lock()
	l.reconnectedAt = time.Now()
	l.epoch++
	l.mu.Unlock()
	l.set(true, nil)
}

// connection numbers the connections: what was read from another one may not be
// there any more.
func (l *link) connection() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

// close wakes everybody who waits for the connection, for the last time.
func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	for a := range l.attempts {
		a.cancel()
	}
	if !l.connected {
		close(l.up)
	}
	l.connected = false
	close(l.changed)
	l.changed = make(chan struct{})
}

// state returns whether the link is usable, and a channel closed at the next
// change.
func (l *link) state() (connected bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected, l.changed
}

// sinceReconnect is how long ago the connection came back; false if it was
// never lost.
func (l *link) sinceReconnect() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.reconnectedAt), !l.reconnectedAt.IsZero()
}

// health is nil while connected.
func (l *link) health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return ErrClosed
	case l.connected:
		return nil
	case l.lastErr != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, l.lastErr)
	}
	return fmt.Errorf("%w: not connected", ErrUnavailable)
}

// wait blocks until the link is up.
func (l *link) wait(ctx context.Context) error {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	select {
	case <-up:
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.closed {
			return ErrClosed
		}
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own context
	}
}

// attempt bounds one request: by timeout, and by the loss of the connection.
func (l *link) attempt(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	return l.begin(ctx, &attempt{cancel: cancel})
}

// refusable is attempt, ended also by a refusal that can only be meant for it.
func (l *link) refusable(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	ctx, refuse := context.WithCancelCause(ctx)
	return l.begin(ctx, &attempt{cancel: cancel, refuse: refuse})
}

// refused takes a refusal by the server, which does not say to what request: if
// there is only one under way, that is it, unless it was a message that nobody
// waits for, as a reply or a bell.
func (l *link) refused(err *ForbiddenError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.attempts) != 1 || !answered(err.Subject) {
		return
	}
	for a := range l.attempts {
		if a.refuse != nil {
			a.refuse(err)
		}
	}
}

// answered reports whether what is published to a subject is answered: requests to
// the server, messages that are stored there, and questions.
func answered(subject string) bool {
	return strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, prefixDead) || strings.HasPrefix(subject, prefixReaders)
}

// forbidden is the refusal that ended an attempt, or nil.
func forbidden(attempt context.Context) error {
	if refused := new(ForbiddenError); errors.As(context.Cause(attempt), &refused) {
		return refused
	}
	return nil
}

func (l *link) begin(ctx context.Context, a *attempt) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	l.attempts[a] = struct{}{}
	if !l.connected {
		a.cancel()
	}
	l.mu.Unlock()
	return ctx, func() {
		l.mu.Lock()
		delete(l.attempts, a)
		l.mu.Unlock()
		a.cancel()
		if a.refuse != nil {
			a.refuse(nil)
		}
	}
}

// Pauses between tries of one request, while the broker is reachable but does
// not answer (a leader is being elected, a stream is being recovered).
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 500 * time.Millisecond
)

// retry runs op until it succeeds, fails for good, or ctx ends; each try gets
// a bounded context. op must be safe to repeat: after a failed try it is not
// known whether the server did it.
func (q *Queue) retry(ctx context.Context, op func(ctx context.Context) error) error {
	return q.retryWithin(ctx, q.config.RequestTimeout, op)
}

// retryWithin is retry where one try may take longer than a request.
func (q *Queue) retryWithin(ctx context.Context, timeout time.Duration, op func(ctx context.Context) error) error {
	return q.retryBy(ctx, timeout, q.link.refusable, op)
}

// retryBy is retry with attempts of one kind.
func (q *Queue) retryBy(
	ctx context.Context, timeout time.Duration, attempt func(context.Context, time.Duration) (context.Context, context.CancelFunc),
	op func(ctx context.Context) error,
) error {
	pause := retryFirst
	for {
		try, cancel := attempt(ctx, timeout)
		err := op(try)
		refused := forbidden(try)
		cancel()
		switch {
		case err == nil:
			return nil
		case refused != nil && transient(err):
			return refused
		case ctx.Err() != nil:
			return q.gaveUp(ctx)
		case !transient(err):
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return q.gaveUp(ctx)
		}
		pause = min(2*pause, retryMost)
		if err := q.link.wait(ctx); errors.Is(err, ErrClosed) {
			return err
		} else if err != nil {
			return q.gaveUp(ctx)
		}
	}
}

// once runs op a single time, bounded, and names a broker that does not answer.
func (q *Queue) once(ctx context.Context, op func(ctx context.Context) error) error {
	return q.onceWithin(ctx, q.config.RequestTimeout, op)
}

// onceWithin is once where a try may take longer than a request.
func (q *Queue) onceWithin(ctx context.Context, timeout time.Duration, op func(ctx context.Context) error) error {
	try, cancel := q.link.refusable(ctx, timeout)
	defer cancel()
	err := op(try)
	if err != nil && transient(err) {
		if refused := forbidden(try); refused != nil {
			return refused
		}
		if health := q.link.health(); health != nil {
			return health
		}
		return q.unavailable(ctx, err)
	}
	return err
}

// transient reports whether err says nothing about the request itself: the
// answer was lost, or the broker cannot answer yet.
func transient(err error) bool {
	for _, target := range []error{
		nats.ErrTimeout, context.DeadlineExceeded, context.Canceled, nats.ErrNoResponders, nats.ErrDisconnected,
		nats.ErrReconnectBufExceeded, nats.ErrConnectionReconnecting, nats.ErrStaleConnection,
		jetstream.ErrNoStreamResponse, ErrUnavailable,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	switch apiCode(err) {
	case codeClusterNotAvailable, codeSystemUnavailable, codeNoLeader, codeStreamOffline, codeInsufficientPeers:
		return true
	}
	return false
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own context
	}
}
