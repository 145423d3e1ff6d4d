package cli

import (
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// A stop waits for the requests of this server's own worker, not for those of
// the whole queue.
func TestWaitingFor(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	s := &serveProcess{queue: q}
	if got := s.waitingFor(t.Context()); got != "the worker" {
		t.Errorf("before a worker was ready: %s", got)
	}
	own := "own"
	s.workerID.Store(&own)
	if got := s.waitingFor(t.Context()); got != "the worker" {
		t.Errorf("a worker that left: %s", got)
	}
	for _, c := range []struct {
		own, other int
		want       string
	}{{0, 5, "the worker"}, {1, 5, "1 running request"}, {2, 0, "2 running requests"}} {
		for id, running := range map[string]int{"own": c.own, "other": c.other} {
			registration, err := queuetest.Open(t, srv).Register(t.Context(), schemas.WorkerStatus{
				Version: schemas.Version, ID: id, Incarnation: "1", Fingerprint: "f", Backend: "sim", Model: "m", Running: running,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = registration.Close(t.Context()) }()
		}
		// The registry is watched: what was written is seen soon.
		for late := time.After(10 * time.Second); s.waitingFor(t.Context()) != c.want; {
			select {
			case <-late:
				t.Fatalf("own %d, other %d: waits for %s, want %s", c.own, c.other, s.waitingFor(t.Context()), c.want)
			case <-time.After(time.Millisecond):
			}
		}
	}
}
