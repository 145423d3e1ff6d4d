package queue

import (
	"context"
	"fmt"

	"github.com/semantic-worker/semantic/schemas"
)

// exitKey is where the end of a worker's process is kept.
func exitKey(worker, incarnation string) string { return Slug(worker) + "." + Slug(incarnation) }

// ReportExit keeps how a worker's process ended, for the evidence of jobs that
// died with it; for a day. ErrUnavailable when ctx ends first.
func (q *Queue) ReportExit(ctx context.Context, worker, incarnation string, e schemas.Exit) error {
	value, err := schemas.EncodeExit(e)
	if err != nil {
		return err
	}
	return q.retry(ctx, func(ctx context.Context) error {
		kv, err := q.js.KeyValue(ctx, bucketExits)
		if err == nil {
			_, err = kv.Put(ctx, exitKey(worker, incarnation), value)
		}
		if err != nil {
			return fmt.Errorf("queue: report the exit of %s: %w", worker, err)
		}
		return nil
	})
}

// exitOf is how a worker's process ended; false where nobody said, or it cannot
// be read now.
func (q *Queue) exitOf(ctx context.Context, worker, incarnation string) (schemas.Exit, bool) {
	var exit schemas.Exit
	var found bool
	err := q.once(ctx, func(ctx context.Context) error {
		key := getRequest{LastFor: "$KV." + bucketExits + "." + exitKey(worker, incarnation)}
		m, there, err := q.leaderGet(ctx, bucketStream(bucketExits), key)
		if err != nil || !there {
			return err
		}
		exit, err = schemas.DecodeExit(m.Data)
		found = err == nil
		return err
	})
	return exit, found && err == nil
}
