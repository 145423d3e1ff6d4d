package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// registry is the watched cache of the workers bucket. Its goroutine starts
// with the first reader and ends with the Queue.
type registry struct {
	q *Queue

	// mu guards what follows; a leaf.
	mu      sync.Mutex
	entries map[string]registryEntry // by key
	stop    context.CancelFunc       // nil until started
	closed  bool
	// generation counts the changes that may move homes; moved is closed, and
	// replaced, at each.
	generation uint64
	moved      chan struct{}

	// ready is closed when the cache was filled for the first time.
	ready   chan struct{}
	stopped chan struct{}
}

type registryEntry struct {
	status   schemas.WorkerStatus
	revision uint64
	seen     time.Time
}

func newRegistry(q *Queue) *registry {
	return &registry{
		q: q, entries: make(map[string]registryEntry), moved: make(chan struct{}),
		ready: make(chan struct{}), stopped: make(chan struct{}),
	}
}

// start starts the watch if it is not running and waits for the first filling.
func (r *registry) start(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	if r.stop == nil {
		var watching context.Context
		// The watch outlives the call that happened to be first.
		watching, r.stop = context.WithCancel(context.WithoutCancel(ctx))
		go r.run(watching)
	}
	r.mu.Unlock()
	select {
	case <-r.ready:
		return nil
	default:
	}
	// The watch would wait for the bucket for ever; say that it is not there.
	err := r.q.retry(ctx, func(ctx context.Context) error {
		if _, err := r.q.js.KeyValue(ctx, bucketWorkers); err != nil {
			return fmt.Errorf("queue: bucket %s: %w", bucketWorkers, err)
		}
		return nil
	})
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("%w: %w", ErrNoTopology, err)
	}
	if err != nil {
		return err
	}
	select {
	case <-r.ready:
		return nil
	case <-r.stopped:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w: registry: %w", ErrUnavailable, ctx.Err())
	}
}

// close ends the watch and joins it.
func (r *registry) close() {
	r.mu.Lock()
	r.closed = true
	stop := r.stop
	r.mu.Unlock()
	if stop != nil {
		stop()
		<-r.stopped
	}
}

// run watches until ctx ends; after a reconnect, or when the watch breaks, it
// begins anew and replaces the cache.
func (r *registry) run(ctx context.Context) {
	defer close(r.stopped)
	if r.observes() {
		r.poll(ctx)
		return
	}
	pause := retryFirst
	for ctx.Err() == nil {
		if err := r.q.link.wait(ctx); err != nil {
			return
		}
		filled, err := r.watch(ctx)
		if filled {
			pause = retryFirst
		}
		if err != nil && ctx.Err() == nil {
			r.q.log.Debug("registry watch broke", slog.Any("error", err))
			if sleep(ctx, pause) != nil {
				return
			}
			pause = min(2*pause, retryMost)
		}
	}
}

// watch fills and updates the cache until the connection changes.
func (r *registry) watch(ctx context.Context) (filled bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	_, changed := r.q.link.state()
	watcher, err := r.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = watcher.Stop() }() // fails only if the connection is closed
	fresh := make(map[string]registryEntry)
	for {
		select {
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return filled, fmt.Errorf("queue: registry: %w", ErrUnavailable)
			case entry == nil:
				filled = true
				r.replace(fresh)
			case filled:
				r.update(entry)
			default:
				apply(fresh, entry)
			}
		case <-changed:
			return filled, nil
		case <-ctx.Done():
			return filled, nil
		}
	}
}

func (r *registry) open(ctx context.Context) (jetstream.KeyWatcher, error) {
	kv, err := r.q.js.KeyValue(ctx, bucketWorkers)
	if err != nil {
		return nil, fmt.Errorf("queue: bucket %s: %w", bucketWorkers, err)
	}
	watcher, err := kv.WatchAll(ctx)
	if err != nil {
		return nil, fmt.Errorf("queue: watch %s: %w", bucketWorkers, err)
	}
	return watcher, nil
}

func (r *registry) replace(entries map[string]registryEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = entries
	r.move()
	select {
	case <-r.ready:
	default:
		close(r.ready)
	}
}

// update changes the cache by one entry, and tells those that choose homes.
func (r *registry) update(e jetstream.KeyValueEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, was := r.entries[e.Key()]
	apply(r.entries, e)
	after, is := r.entries[e.Key()]
	now, then := after.member(), before.member()
	then.seen = now.seen
	if was != is || now != then || after.status.Model != before.status.Model || time.Since(before.seen) >= r.silence() {
		r.move()
	}
}

// move says that homes may have moved. mu is held.
func (r *registry) move() {
	r.generation++
	close(r.moved)
	r.moved = make(chan struct{})
}

// silence is after how long without news a worker is nobody's home.
func (r *registry) silence() time.Duration {
	return time.Duration(silentAfter * float64(r.q.config.RegistryTTL))
}

func (r *registry) generationNow() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.generation
}

// changed returns a channel that is closed when homes may have moved.
func (r *registry) changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.moved
}

// members are the live workers of a model, and the generation they are of.
func (r *registry) members(model string) ([]member, uint64) {
	generation := r.generationNow() // before: what changes in between is looked at again
	var list []member
	for _, e := range r.live() {
		if e.status.Model == model {
			list = append(list, e.member())
		}
	}
	return list, generation
}

// holds reports whether a live worker, other than one, has a context of so many
// tokens. One that drains counts, until it has left.
func (r *registry) holds(model, other string, needs int) bool {
	members, _ := r.members(model)
	return slices.ContainsFunc(members, func(m member) bool {
		return m.id != other && (m.context == 0 || m.context >= needs)
	})
}

func (e registryEntry) member() member {
	return member{
		id: e.status.ID, capacity: e.status.Capacity, context: e.status.Context, draining: e.status.Draining, seen: e.seen,
	}
}

// apply changes the cache by one entry. One that cannot be read, also not in part,
// counts as absent.
func apply(entries map[string]registryEntry, e jetstream.KeyValueEntry) {
	status, err := schemas.DecodeWorkerStatus(e.Value())
	if e.Operation() != jetstream.KeyValuePut || err != nil {
		delete(entries, e.Key())
		return
	}
	entries[e.Key()] = registryEntry{status: status, revision: e.Revision(), seen: time.Now()}
}

// live returns the workers whose entries are fresh, by id. The server drops
// the others; an age limit of our own holds if the watch lags.
func (r *registry) live() []registryEntry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []registryEntry
	for _, e := range r.entries {
		if time.Since(e.seen) < 2*r.q.config.RegistryTTL {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b registryEntry) int { return cmp.Compare(a.status.ID, b.status.ID) })
	return list
}

// heard is how long ago an incarnation's entry was written; false if it has
// none. An entry that was there before this cache counts from its filling.
func (r *registry) heard(who incarnation) (time.Duration, bool) {
	for _, e := range r.live() {
		if e.status.ID == who.worker {
			return time.Since(e.seen), e.status.Incarnation == who.id
		}
	}
	return 0, false
}

// dead reports whether an incarnation is known to have ended: its worker's
// entry is another's, or gone although the broker was there to be told.
func (r *registry) dead(worker, incarnation string) bool {
	for _, e := range r.live() {
		if e.status.ID == worker {
			return e.status.Incarnation != incarnation
		}
	}
	since, lost := r.q.link.sinceReconnect()
	return !lost || since > r.q.config.RegistryTTL
}

// Workers lists the live workers, by id; served from a watched cache after the
// first call. Errors: ErrUnavailable or ErrNoTopology on the first call, and
// ErrClosed.
func (q *Queue) Workers(ctx context.Context) ([]schemas.WorkerStatus, error) {
	if err := q.registry.start(ctx); err != nil {
		return nil, err
	}
	live := q.registry.live()
	workers := make([]schemas.WorkerStatus, len(live))
	for i, e := range live {
		workers[i] = e.status
	}
	return workers, nil
}

// Models lists every model that a worker ever announced, sorted.
func (q *Queue) Models(ctx context.Context) ([]string, error) {
	var models []string
	err := q.once(ctx, func(ctx context.Context) error {
		const prefix = "$KV." + bucketModels + "."
		info, err := q.streamState(ctx, bucketStream(bucketModels), prefix+">")
		if err != nil {
			return err
		}
		models = nil
		for subject := range info.State.Subjects {
			if name, err := Unslug(subject[len(prefix):]); err == nil {
				models = append(models, name)
			}
		}
		slices.Sort(models)
		return nil
	})
	return models, err
}
