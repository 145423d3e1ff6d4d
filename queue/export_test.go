package queue

import (
	"context"
	"time"
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
