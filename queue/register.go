package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// Registration is a worker's entry in the registry. Safe for concurrent use.
type Registration struct {
	q  *Queue
	id string

	// turn has room for one, who writes the entry: writes keep their order, and
	// who waits for a broker that hangs can give up. It guards revision.
	turn     chan struct{}
	revision uint64

	// mu guards what follows; a leaf, never held over a request.
	mu     sync.Mutex
	status schemas.WorkerStatus
	closed bool

	stop    context.CancelFunc
	stopped chan struct{}
}

// Register enters a worker into the registry, enters its model among the known
// ones, and keeps the entry fresh until Close. Errors: *FingerprintError when a
// live worker serves the model with another fingerprint, *schemas.FieldError,
// ErrStorageFull, ErrUnavailable.
func (q *Queue) Register(ctx context.Context, s schemas.WorkerStatus) (*Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, q.config.SubmitTimeout)
	defer cancel()
	if err := q.agree(ctx, s, 0); err != nil {
		return nil, err
	}
	if err := q.announce(ctx, s.Model); err != nil {
		return nil, err
	}
	r := &Registration{q: q, id: s.ID, status: s, turn: make(chan struct{}, 1), stopped: make(chan struct{})}
	if err := r.write(ctx); err != nil {
		return nil, err
	}
	// Another worker may have come in between: who wrote later, goes.
	if err := q.agree(ctx, s, r.revision); err != nil {
		return nil, errors.Join(err, r.remove(ctx))
	}
	refreshing, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop = stop
	go r.refresh(refreshing)
	return r, nil
}

// agree compares fingerprints with the live workers of the model, as stored
// now; those written after revision, if one is given, are for their writers to
// judge.
func (q *Queue) agree(ctx context.Context, s schemas.WorkerStatus, revision uint64) error {
	others, err := q.readWorkers(ctx)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.status.Model == s.Model && o.status.ID != s.ID && o.status.Fingerprint != s.Fingerprint &&
			(revision == 0 || o.revision < revision) {
			return &FingerprintError{Model: s.Model, Ours: s.Fingerprint, Theirs: o.status.Fingerprint, Worker: o.status.ID}
		}
	}
	return nil
}

// readWorkers reads the registry itself, not the cache.
func (q *Queue) readWorkers(ctx context.Context) (map[string]registryEntry, error) {
	var entries map[string]registryEntry
	err := q.retry(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		watcher, err := q.registry.open(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = watcher.Stop() }() // fails only if the connection is closed
		entries = make(map[string]registryEntry)
		for {
			select {
			case entry, open := <-watcher.Updates():
				switch {
				case !open:
					return fmt.Errorf("%w: registry", ErrUnavailable)
				case entry == nil:
					return nil
				}
				apply(entries, entry)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	return entries, err
}

// announce enters a model among the known ones.
func (q *Queue) announce(ctx context.Context, model string) error {
	value, err := json.Marshal(struct {
		Model string    `json:"model"`
		Since time.Time `json:"since"`
	}{model, time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	return q.retry(ctx, func(ctx context.Context) error {
		kv, err := q.js.KeyValue(ctx, bucketModels)
		if err == nil {
			_, err = kv.Create(ctx, Slug(model), value)
		}
		if noRoom(err) {
			return fmt.Errorf("%w: announce %s: %w", ErrStorageFull, model, err)
		}
		if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return fmt.Errorf("queue: announce %s: %w", model, err)
		}
		return nil
	})
}

// write stores the latest status, once earlier writes are through. ErrClosed
// after Close.
func (r *Registration) write(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: register: %w", ErrUnavailable, ctx.Err())
	}
	r.mu.Lock()
	closed, status := r.closed, r.status
	r.mu.Unlock()
	if closed {
		return ErrClosed
	}
	status.UpdatedAt = time.Now().UTC()
	value, err := schemas.EncodeWorkerStatus(status)
	if err != nil {
		return err
	}
	return r.q.retryOn(ctx, "$KV."+bucketWorkers+"."+Slug(status.ID), func(ctx context.Context) error {
		kv, err := r.q.js.KeyValue(ctx, bucketWorkers)
		if err == nil {
			r.revision, err = kv.Put(ctx, Slug(status.ID), value)
		}
		if noRoom(err) {
			return fmt.Errorf("%w: register %s: %w", ErrStorageFull, status.ID, err)
		}
		if err != nil {
			return fmt.Errorf("queue: register %s: %w", status.ID, err)
		}
		return nil
	})
}

// remove deletes the entry, unless another incarnation has replaced it.
func (r *Registration) remove(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%w: leave registry: %w", ErrUnavailable, ctx.Err())
	}
	return r.q.retry(ctx, func(ctx context.Context) error {
		kv, err := r.q.js.KeyValue(ctx, bucketWorkers)
		if err == nil {
			err = kv.Delete(ctx, Slug(r.id), jetstream.LastRevision(r.revision))
		}
		if err != nil && !fenced(err) {
			return fmt.Errorf("queue: leave registry: %w", err)
		}
		return nil
	})
}

// refresh writes the entry again well within its TTL, and at once after a
// reconnect.
func (r *Registration) refresh(ctx context.Context) {
	defer close(r.stopped)
	timer := time.NewTimer(r.q.config.RegistryTTL / 3)
	defer timer.Stop()
	for {
		_, changed := r.q.link.state()
		select {
		case <-timer.C:
		case <-changed:
			if err := r.q.link.wait(ctx); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
		next := r.q.config.RegistryTTL / 3
		if err := r.rewrite(ctx); err != nil && ctx.Err() == nil {
			r.q.log.Warn("registry entry not refreshed", slog.Any(schemas.LogError, err))
			next = min(next, retryMost)
		}
		timer.Reset(next)
	}
}

// rewrite is a write that a broker that hangs cannot hold up.
func (r *Registration) rewrite(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.q.config.RequestTimeout)
	defer cancel()
	return r.write(ctx)
}

// Update replaces the entry's status. ErrClosed after Close; ErrUnavailable when
// ctx ends first: the next refresh stores the status.
func (r *Registration) Update(ctx context.Context, s schemas.WorkerStatus) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.status = s
	r.mu.Unlock()
	return r.write(ctx)
}

// Close removes the entry and joins the refresher. It is bounded by ctx and by
// 5 s. Idempotent.
func (r *Registration) Close(ctx context.Context) error {
	r.mu.Lock()
	closed := r.closed
	r.closed = true
	r.mu.Unlock()
	r.stop()
	<-r.stopped
	if closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	return r.remove(ctx)
}
