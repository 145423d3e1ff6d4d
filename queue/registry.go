package queue

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// registry is the watched cache of the workers bucket.
type registry struct {
	*bucketWatch

	// mu guards what follows; a leaf.
	mu      sync.Mutex
	entries map[string]registryEntry // by key
	// generation counts the changes that may move homes; moved is closed, and
	// replaced, at each.
	generation uint64
	moved      chan struct{}
}

type registryEntry struct {
	status   schemas.WorkerStatus
	revision uint64
	seen     time.Time
}

func newRegistry(q *Queue) *registry {
	r := &registry{
		bucketWatch: newBucketWatch(q, bucketWorkers),
		entries:     make(map[string]registryEntry), moved: make(chan struct{}),
	}
	r.change = r.update
	r.fill = func(all []jetstream.KeyValueEntry) {
		fresh := make(map[string]registryEntry)
		for _, e := range all {
			apply(fresh, e)
		}
		r.replace(fresh)
	}
	if r.observes() {
		r.instead = r.poll
	}
	return r
}

func (r *registry) replace(entries map[string]registryEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = entries
	r.move()
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
	status, err := schemas.ReadWorkerStatus(e.Value())
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
