package queue

import (
	"context"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Oldest is when the oldest stored job of a model and class was stored, waiting or
// running, by the server's clock; zero if there is none. Errors: ErrUnavailable,
// ErrNoTopology.
func (q *Queue) Oldest(ctx context.Context, model string, class schemas.Class) (time.Time, error) {
	var stored time.Time
	err := q.once(ctx, func(ctx context.Context) error {
		if _, err := q.stream(ctx, jobsStream(class)); err != nil {
			return err
		}
		m, _, err := q.leaderGet(ctx, jobsStream(class), getRequest{Sequence: 1, NextFor: modelFilter(model, class)})
		stored = m.Time
		return err
	})
	return stored, err
}
