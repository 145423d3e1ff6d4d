package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// ForbiddenError says that the server does not let this user publish to a
// subject: the user has another role, or credentials of an older release. It
// wraps [ErrForbidden].
type ForbiddenError struct{ Subject string }

// Error names the subject.
func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("%v: this user may not publish to %s", ErrForbidden, e.Subject)
}

// Unwrap returns ErrForbidden.
func (*ForbiddenError) Unwrap() error { return ErrForbidden }

// refusals knows to which subjects the server refused publishes. The server
// says so only out of band: a request that was refused would run into its
// timeout. mu is a leaf.
type refusals struct {
	mu      sync.Mutex
	refused map[string]bool
	// waiting are the requests under way, by subject.
	waiting map[string]map[*attempt]struct{}
}

// note takes the connection's asynchronous error, and returns the subject to
// which a publish was refused.
func (r *refusals) note(err error) (refused string, ok bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", false
	}
	_, after, found := strings.Cut(err.Error(), `Publish to "`)
	subject, _, closed := strings.Cut(after, `"`)
	if !found || !closed {
		return "", false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil {
		r.refused = make(map[string]bool)
	}
	r.refused[subject] = true
	for a := range r.waiting[subject] {
		a.cancel()
	}
	return subject, true
}

// forget is called after a reconnect, when the user may have other rights.
func (r *refusals) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.refused)
}

// permitted runs op, which makes a request to subject; a *ForbiddenError, at
// once, where the server refuses that.
func (q *Queue) permitted(ctx context.Context, subject string, op func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &attempt{cancel: cancel}
	r := &q.refusals
	r.mu.Lock()
	if r.waiting == nil {
		r.waiting = make(map[string]map[*attempt]struct{})
	}
	if r.waiting[subject] == nil {
		r.waiting[subject] = make(map[*attempt]struct{})
	}
	r.waiting[subject][a] = struct{}{}
	r.mu.Unlock()
	err := op(ctx)
	r.mu.Lock()
	delete(r.waiting[subject], a)
	if len(r.waiting[subject]) == 0 {
		delete(r.waiting, subject)
	}
	refused := r.refused[subject]
	r.mu.Unlock()
	if err != nil && refused && transient(err) {
		return &ForbiddenError{Subject: subject}
	}
	return err
}

// onceOn is once for a request to subject.
func (q *Queue) onceOn(ctx context.Context, subject string, op func(ctx context.Context) error) error {
	return q.permitted(ctx, subject, func(ctx context.Context) error { return q.once(ctx, op) })
}

// retryOn is retry for a request to subject. Only a refusal of that ends it: what
// must not be given up for another's fault goes through here.
func (q *Queue) retryOn(ctx context.Context, subject string, op func(ctx context.Context) error) error {
	permitted := func(ctx context.Context) error { return q.permitted(ctx, subject, op) }
	return q.retryBy(ctx, q.config.RequestTimeout, q.link.attempt, permitted)
}
