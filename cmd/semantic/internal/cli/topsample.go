package cli

import (
	"context"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// topSnapshot is what `top` shows of one moment.
type topSnapshot struct {
	Time time.Time `json:"time"`
	// Error is why nothing could be read: the broker is away. What follows is empty
	// then.
	Error string `json:"error,omitempty"`
	// Streams is how many jobs are being generated, TokensPerSecond what all workers
	// did since the snapshot before (in the first one: what their jobs say).
	Streams         int         `json:"streams"`
	TokensPerSecond float64     `json:"tokens_per_second"`
	Workers         []topWorker `json:"workers"`
	Depth           []topDepth  `json:"depth"`
}

// topWorker is a worker and its rate.
type topWorker struct {
	shownWorker
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// topDepth is what a model has of a class.
type topDepth struct {
	Model   string        `json:"model"`
	Class   schemas.Class `json:"class"`
	Queued  int64         `json:"queued"`
	Running int64         `json:"running"`
	// OldestAt is when the oldest of them was stored; absent if there is none.
	OldestAt time.Time `json:"oldest_at,omitzero"`
}

// sampler makes snapshots. It is for one goroutine at a time.
type sampler struct {
	queue *queue.Queue
	// before is what each incarnation of a worker had generated, and when.
	before map[string]generated
}

type generated struct {
	tokens uint64
	at     time.Time
}

// sample reads everything; an error is in the snapshot.
func (s *sampler) sample(ctx context.Context) topSnapshot {
	ctx, cancel := context.WithTimeout(ctx, lookBound)
	defer cancel()
	snap := topSnapshot{Time: time.Now(), Workers: []topWorker{}, Depth: []topDepth{}}
	if err := s.read(ctx, &snap); err != nil {
		return topSnapshot{Time: snap.Time, Error: err.Error(), Workers: []topWorker{}, Depth: []topDepth{}}
	}
	return snap
}

func (s *sampler) read(ctx context.Context, snap *topSnapshot) error {
	if err := s.queue.Healthy(); err != nil {
		return err
	}
	workers, err := s.queue.Reports(ctx)
	if err != nil {
		return err
	}
	now, after := time.Now(), make(map[string]generated)
	for _, w := range showWorkers(workers) {
		row := topWorker{shownWorker: w}
		if r := w.Report; r != nil {
			for _, j := range r.Jobs {
				if j.Phase == queue.PhaseRunning {
					snap.Streams++
					row.TokensPerSecond += j.TokensPerSecond
				}
			}
			if before, known := s.before[r.Incarnation]; known && now.After(before.at) {
				row.TokensPerSecond = float64(r.Tokens-before.tokens) / now.Sub(before.at).Seconds()
			}
			after[r.Incarnation] = generated{r.Tokens, now}
		}
		snap.TokensPerSecond += row.TokensPerSecond
		snap.Workers = append(snap.Workers, row)
	}
	s.before = after
	return s.readDepth(ctx, snap)
}

// readDepth reads what waits; classes of which there is nothing are left out.
func (s *sampler) readDepth(ctx context.Context, snap *topSnapshot) error {
	depths, err := s.queue.Depth(ctx)
	if err != nil {
		return err
	}
	for _, d := range depths {
		if d.Queued+d.Running == 0 {
			continue
		}
		oldest, err := s.queue.Oldest(ctx, d.Model, d.Class)
		if err != nil {
			return err
		}
		snap.Depth = append(snap.Depth, topDepth{Model: d.Model, Class: d.Class, Queued: d.Queued, Running: d.Running, OldestAt: oldest})
	}
	return nil
}
