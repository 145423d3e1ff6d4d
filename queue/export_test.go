package queue

import (
	"context"
	"errors"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// HomeOf is the worker whose the jobs of a flow are, as this queue sees it.
func (q *Queue) HomeOf(model string, flow int) string {
	h := homes{model: model}
	h.look(q.registry, "", time.Now())
	return h.flows[flow].worker
}

// ReconcileAlone reconciles without asking whether another process does.
func (q *Queue) ReconcileAlone(ctx context.Context) error {
	if err := q.registry.start(ctx); err != nil {
		return err
	}
	newReconciler(q, nil).run(ctx)
	return nil
}

// PassAgain makes passes of a reconciler that can remove nothing, until one would
// have, and then one that can.
func (q *Queue) PassAgain(ctx context.Context) error {
	r := newReconciler(q, nil)
	r.connection++
	for {
		_, err := r.pass(ctx)
		if errors.Is(err, errReconnected) {
			break
		}
		if err = errors.Join(err, sleep(ctx, q.config.ReconcileInterval)); err != nil {
			return err
		}
	}
	r.connection--
	_, err := r.pass(ctx)
	return err
}

// KnownModels is what a reconciler with these expected models knows, at each pass.
func KnownModels(q *Queue, expect ...string) func(ctx context.Context, model string) (bool, error) {
	r := newReconciler(q, expect)
	return func(ctx context.Context, model string) (bool, error) {
		err := r.learnModels(ctx)
		return r.knows(model), err
	}
}

// JobsStream is the name of a class's stream.
func JobsStream(class schemas.Class) string { return jobsStream(class) }

// SkewOf is the skew after readings: what the broker said, when it was asked, and
// when the answer came, from some time on.
func SkewOf(readings ...[3]time.Duration) time.Duration {
	var c clockSkew
	zero := time.Unix(1_000_000, 0)
	for _, r := range readings {
		c.add(zero.Add(r[0]), zero.Add(r[1]), zero.Add(r[2]))
	}
	ahead, _ := c.read()
	return ahead
}

// SetSkew makes the broker's clock so far ahead of this machine's, for longer than a
// test takes.
func (q *Queue) SetSkew(ahead time.Duration) {
	q.skew.mu.Lock()
	defer q.skew.mu.Unlock()
	q.skew.ahead, q.skew.took, q.skew.at = ahead, 0, time.Now()
}
