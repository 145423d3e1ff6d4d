package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestTryStore: what can be stored is said by storing something, which no stream of
// jobs or events, and no holder of a lease, ever sees.
func TestTryStore(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	ctx := within(t, time.Minute)
	if used, mark := q.Storage(schemas.ClassNormal); used != 0 || mark != q.Config().StorageHighWater {
		t.Errorf("before anybody asked: %v of %v", used, mark)
	}
	submit(t, q, queue.Submission{Job: body("x")})
	for _, bytes := range []int{0, 1, 64 << 10} {
		if err := q.TryStore(ctx, bytes); err != nil {
			t.Fatal(err)
		}
	}
	if used, _ := q.Storage(schemas.ClassNormal); used < 0 || used > 0.01 {
		t.Errorf("one job fills %v of the storage", used)
	}
	srv.Stop()
	if err := q.TryStore(ctx, 0); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("without a broker: %v", err)
	}
	srv.Resume(t)
	for err := q.TryStore(ctx, 0); err != nil; err = q.TryStore(ctx, 0) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	if err := q.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := q.TryStore(ctx, 0); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
