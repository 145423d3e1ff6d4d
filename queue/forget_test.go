package queue_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestForgetModel: not while a worker serves it; then it is known no more, until
// one announces it again.
func TestForgetModel(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	status := schemas.WorkerStatus{
		ID: "w", Incarnation: "w-1", Model: model, Fingerprint: "f", Backend: "sim", StartedAt: time.Now(), UpdatedAt: time.Now(),
	}
	known := func() bool {
		t.Helper()
		models, err := q.Models(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(models, model)
	}
	if err := q.ForgetModel(t.Context(), model); !errors.Is(err, queue.ErrUnknownModel) {
		t.Errorf("nobody knows it: %v", err)
	}
	for range 2 {
		r, err := q.Register(t.Context(), status)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			workers, err := q.Workers(t.Context())
			return err == nil && len(workers) == 1
		})
		var inUse *queue.ModelInUseError
		if err := q.ForgetModel(t.Context(), model); !errors.As(err, &inUse) || !slices.Equal(inUse.Workers, []string{"w"}) {
			t.Errorf("while it is served: %v", err)
		}
		if !known() {
			t.Error("not known while it is served")
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool {
			workers, err := q.Workers(t.Context())
			return err == nil && len(workers) == 0
		})
		if err := q.ForgetModel(t.Context(), model); err != nil {
			t.Fatal(err)
		}
		if known() {
			t.Error("known after it was forgotten")
		}
	}
}
