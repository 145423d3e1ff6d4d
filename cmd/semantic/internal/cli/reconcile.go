package cli

import (
	"context"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// reconcile looks after what nobody else ends, as long as this gateway lives and is
// the one of all that leads. Its end is added to down.
func (a *app) reconcile(ctx context.Context, q *queue.Queue, expect []string, down *teardown) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := q.Reconcile(ctx, expect); err != nil {
			a.Log.Error("jobs that nobody ends, and old logs, are left to other gateways", schemas.LogError, err)
		}
	}()
	down.add("stop reconciling", closeBound, func(context.Context) error {
		stop()
		<-stopped
		return nil
	})
}
