package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

func shortQueueTimeout(o *benchOptions) {
	o.Config.QueueTimeout = 300 * time.Millisecond
	o.queue = append(o.queue, func(q *queue.Options) {
		q.Config.RequestTimeout, q.Config.SubmitTimeout = 100*time.Millisecond, 200*time.Millisecond
	})
}

// health asks a probe and returns the status with the codes of the reasons.
func (b *bench) health(path string) (int, string) {
	b.t.Helper()
	resp := b.do(http.MethodGet, path, "")
	var h health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		b.t.Fatal(err)
	}
	var codes strings.Builder
	for _, r := range h.Reasons {
		codes.WriteString(r.Code + " ")
		if r.Message == "" {
			b.t.Errorf("%s: %s says nothing", path, r.Code)
		}
	}
	if (h.Status == "ok") != (resp.StatusCode == http.StatusOK) || h.Release != "dev" {
		b.t.Errorf("%s: status %d with %+v", path, resp.StatusCode, h)
	}
	return resp.StatusCode, codes.String()
}

func (b *bench) wantHealth(path string, status int, codes string) {
	b.t.Helper()
	if s, c := b.health(path); s != status || c != codes {
		b.t.Errorf("%s: got %d %q, want %d %q", path, s, c, status, codes)
	}
}

func TestHealth(t *testing.T) {
	b := startBench(t)
	b.wantHealth("/health/live", 200, "")
	b.wantHealth("/health/startup", 503, "model_loading ")
	b.wantHealth("/health/ready", 503, "no_worker ")
	b.wantHealth("/health", 503, "no_worker ")

	status := schemas.WorkerStatus{ID: "w", Context: 100, Cells: 100, CellsFree: 10, Capacity: 1}
	reg := b.announce(status)
	becomes := func(status int, codes string) {
		t.Helper()
		eventually(t, "readiness is "+codes, func() bool {
			s, c := b.health("/health/ready")
			return s == status && c == codes
		})
	}
	becomes(200, "")
	b.wantHealth("/health/startup", 200, "")
	b.wantHealth("/health", 200, "")

	update := func(change func(*schemas.WorkerStatus)) {
		t.Helper()
		now := time.Now().UTC()
		s := schemas.WorkerStatus{
			Version: schemas.Version, ID: "w", Incarnation: "i", Host: "host", Release: "test", Model: "m", Fingerprint: "f",
			Backend: "sim", Context: 100, Cells: 100, CellsFree: 100, Capacity: 1, StartedAt: now, UpdatedAt: now,
		}
		change(&s)
		if err := reg.Update(b.context(), s); err != nil {
			t.Fatal(err)
		}
	}
	update(func(s *schemas.WorkerStatus) { s.CellsFree = 9 })
	becomes(503, "pool_full ")
	update(func(s *schemas.WorkerStatus) { s.Draining = true })
	becomes(503, "no_worker ")
	if err := reg.Close(b.context()); err != nil {
		t.Fatal(err)
	}
	becomes(503, "no_worker ")
	b.wantHealth("/health/startup", 200, "")

	b.g.Drain(b.context())
	b.wantHealth("/health/ready", 503, "shutting_down no_worker ")
	b.wantHealth("/health/live", 200, "")
}

func TestHealthWithoutBroker(t *testing.T) {
	b := startBench(t, shortQueueTimeout)
	b.srv.Stop()
	eventually(t, "the lost broker is noticed", func() bool {
		s, c := b.health("/health/ready")
		return s == 503 && c == "queue_unavailable "
	})
	b.wantHealth("/health/startup", 503, "queue_unavailable ")
	b.wantHealth("/health/live", 200, "")
}

func TestHealthWithFullDisk(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	b := startBench(t, expectM, func(o *benchOptions) {
		o.queue = append(o.queue, func(q *queue.Options) { q.DiskFull = full.Load })
	})
	b.wantHealth("/health/ready", 503, "storage_full ")
	b.wantHealth("/health/startup", 503, "storage_full ")
	b.wantHealth("/health/live", 200, "")
	if _, err := b.q.Submit(b.context(), queue.Submission{}); !errors.Is(err, queue.ErrStorageFull) {
		t.Errorf("a job for a full disk: %v", err)
	}
	full.Store(false)
	b.wantHealth("/health/ready", 503, "no_worker ")
}

// TestHealthNearTheLimit: who balances load hears that the queue takes nothing
// more, though there are workers.
func TestHealthNearTheLimit(t *testing.T) {
	b := startBench(t, expectM, func(o *benchOptions) {
		o.queue = append(o.queue, func(q *queue.Options) { q.Config.StorageHighWater = 1e-9 })
	})
	b.leaveWaiting(chatBody("first", false))
	eventually(t, "readiness is storage_full", func() bool {
		s, c := b.health("/health/ready")
		return s == 503 && c == "storage_full "
	})
}
