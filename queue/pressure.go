package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// pressureAge is how old a reading of the byte limits may be.
const pressureAge = time.Second

// pressure refuses new jobs when storage is nearly full, so that the jobs that
// run can log their tokens and end. Readings are shared for a second.
type pressure struct {
	mu   sync.Mutex
	read map[pressureOf]pressureReading
}

// pressureOf is what a reading is of: what jobs of a class need, large ones or
// others.
type pressureOf struct {
	class schemas.Class
	large bool
}

type pressureReading struct {
	at  time.Time
	err error
	// used is how full the fullest stream is, of its limit.
	used float64
}

// check returns ErrStorageFull above the high-water mark.
func (p *pressure) check(ctx context.Context, q *Queue, class schemas.Class, large bool) error {
	of := pressureOf{class, large}
	p.mu.Lock()
	reading, ok := p.read[of]
	if ok && time.Since(reading.at) < pressureAge {
		p.mu.Unlock()
		return reading.err
	}
	// Others use the old reading while this call takes a new one.
	if p.read == nil {
		p.read = make(map[pressureOf]pressureReading)
	}
	p.read[of] = pressureReading{at: time.Now(), err: reading.err, used: reading.used}
	p.mu.Unlock()

	var full error
	most := 0.0
	err := q.retry(ctx, func(ctx context.Context) error {
		full, most = nil, 0
		streams := []string{streamEvents, jobsStream(class)}
		if large {
			streams = append(streams, objectStream(storeInputs))
		}
		for _, name := range streams {
			info, err := q.streamState(ctx, name, "")
			if err != nil {
				return err
			}
			if name != streamEvents {
				q.rates.add(class, info.State, time.Now())
			}
			limit := info.Config.MaxBytes
			if limit <= 0 {
				continue
			}
			used := float64(info.State.Bytes) / float64(limit)
			most = max(most, used)
			if used >= q.config.StorageHighWater {
				full = fmt.Errorf("%w: %s holds %d of %d bytes", ErrStorageFull, name, info.State.Bytes, limit)
			}
		}
		return nil
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		delete(p.read, of)
		return err
	}
	p.read[of] = pressureReading{at: time.Now(), err: full, used: most}
	return full
}

// Accepting returns nil if the broker would store a job of the class now, as far
// as it can be known: [ErrStorageFull] near a limit, [ErrUnavailable] if the
// broker does not answer within ctx, or [ErrClosed]. It asks at most once a second.
func (q *Queue) Accepting(ctx context.Context, class schemas.Class) error {
	if err := q.Healthy(); err != nil {
		return err
	}
	return q.pressure.check(ctx, q, class, false)
}

// recentTickets remembers where the last jobs submitted here are stored, so
// that ending one does not mean reading through its flow.
type recentTickets struct {
	mu    sync.Mutex
	byKey map[string]recentTicket
	ring  []string
	next  int
}

// recentTicket is where a job was stored over one connection: a broker that comes
// back may have lost it, and given its place to another.
type recentTicket struct {
	sequence, connection uint64
}

// recentLimit is how many tickets are remembered; about 4 MB.
const recentLimit = 16384

func ticketKey(owner, jobID string) string { return Slug(owner) + "." + jobID }

// put remembers a job that was stored over a connection, or a later one.
func (r *recentTickets) put(t Ticket, connection uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byKey == nil {
		r.byKey = make(map[string]recentTicket)
	}
	key := ticketKey(t.Owner, t.JobID)
	r.byKey[key] = recentTicket{t.Sequence, connection}
	if len(r.ring) < recentLimit {
		r.ring = append(r.ring, key)
		return
	}
	delete(r.byKey, r.ring[r.next])
	r.ring[r.next] = key
	r.next = (r.next + 1) % recentLimit
}

// get is the place of a job that was stored over the connection.
func (r *recentTickets) get(owner, jobID string, connection uint64) (sequence uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.byKey[ticketKey(owner, jobID)]
	return t.sequence, ok && t.connection == connection
}

func (r *recentTickets) drop(owner, jobID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byKey, ticketKey(owner, jobID))
}
