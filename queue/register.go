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
	q *Queue

	// mu is held while the entry is written, so that writes keep their order.
	mu       sync.Mutex
	status   schemas.WorkerStatus
	revision uint64
	closed   bool

	stop    context.CancelFunc
	stopped chan struct{}
}

// Register enters a worker into the registry, enters its model among the known
// ones, and keeps the entry fresh until Close. Errors: *FingerprintError when a
// live worker serves the model with another fingerprint, *schemas.FieldError,
// ErrUnavailable.
func (q *Queue) Register(ctx context.Context, s schemas.WorkerStatus) (*Registration, error) {
	ctx, cancel := context.WithTimeout(ctx, q.config.SubmitTimeout)
	defer cancel()
	if err := q.agree(ctx, s, 0); err != nil {
		return nil, err
	}
	if err := q.announce(ctx, s.Model); err != nil {
		return nil, err
	}
	r := &Registration{q: q, status: s, stopped: make(chan struct{})}
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
		if err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return fmt.Errorf("queue: announce %s: %w", model, err)
		}
		return nil
	})
}

// write stores the status; the caller holds mu or is the only one.
func (r *Registration) write(ctx context.Context) error {
	r.status.UpdatedAt = time.Now().UTC()
	value, err := schemas.EncodeWorkerStatus(r.status)
	if err != nil {
		return err
	}
	return r.q.retry(ctx, func(ctx context.Context) error {
		kv, err := r.q.js.KeyValue(ctx, bucketWorkers)
		if err == nil {
			r.revision, err = kv.Put(ctx, Slug(r.status.ID), value)
		}
		if err != nil {
			return fmt.Errorf("queue: register %s: %w", r.status.ID, err)
		}
		return nil
	})
}

// remove deletes the entry, unless another incarnation has replaced it.
func (r *Registration) remove(ctx context.Context) error {
	return r.q.retry(ctx, func(ctx context.Context) error {
		kv, err := r.q.js.KeyValue(ctx, bucketWorkers)
		if err == nil {
			err = kv.Delete(ctx, Slug(r.status.ID), jetstream.LastRevision(r.revision))
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
	ticker := time.NewTicker(r.q.config.RegistryTTL / 3)
	defer ticker.Stop()
	for {
		_, changed := r.q.link.state()
		select {
		case <-ticker.C:
		case <-changed:
			if err := r.q.link.wait(ctx); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		err := r.write(ctx)
		r.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			r.q.log.Warn("registry entry not refreshed", slog.Any("error", err))
		}
	}
}

// Update replaces the entry's status. ErrClosed after Close.
func (r *Registration) Update(ctx context.Context, s schemas.WorkerStatus) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.status = s
	return r.write(ctx)
}

// Close removes the entry and joins the refresher. Idempotent.
func (r *Registration) Close(ctx context.Context) error {
	r.stop()
	<-r.stopped
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	return r.remove(ctx)
}
