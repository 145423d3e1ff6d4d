package queue

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// pollRegistry is how often the registry is read by who may not watch it.
const pollRegistry = time.Second

// poll fills the cache by reading, until ctx ends. A watch is a consumer, and
// who may make consumers may let the server publish anywhere, so that observers
// may not.
func (r *registry) poll(ctx context.Context) {
	known := make(map[string]registryEntry)
	for {
		if err := r.q.link.wait(ctx); err != nil {
			return
		}
		fresh, err := r.read(ctx, known)
		if err != nil && ctx.Err() == nil {
			r.q.log.Debug("registry not read", slog.Any(schemas.LogError, err))
		}
		if err == nil {
			known = fresh
			r.replace(fresh)
			r.filled()
		}
		if sleep(ctx, pollRegistry) != nil {
			return
		}
	}
}

// read reads all entries; one that did not change keeps the time at which it
// was first seen.
func (r *registry) read(ctx context.Context, known map[string]registryEntry) (map[string]registryEntry, error) {
	const prefix = "$KV." + bucketWorkers + "."
	fresh := make(map[string]registryEntry)
	err := r.q.once(ctx, func(ctx context.Context) error {
		from, more := uint64(1), true
		for more {
			var err error
			from, more, err = r.q.directBatch(ctx, bucketStream(bucketWorkers), prefix+">", from, func(m storedMessage) bool {
				// Deleted and expired entries are markers without a status.
				status, err := schemas.ReadWorkerStatus(m.Data)
				if err != nil {
					return true
				}
				key := strings.TrimPrefix(m.Subject, prefix)
				entry := registryEntry{status: status, revision: m.Sequence, seen: time.Now()}
				if before, ok := known[key]; ok && before.revision == entry.revision {
					entry.seen = before.seen
				}
				fresh[key] = entry
				return true
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return fresh, nil
}

// observes reports whether the cache is filled by reading.
func (r *registry) observes() bool { return r.q.creds.Role == RoleObserver }
