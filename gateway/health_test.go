package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// shortQueueTimeout is for a gateway that is asked nothing while its broker is there.
func shortQueueTimeout(o *benchOptions) { o.Config.QueueTimeout = outageTimeout }

const outageTimeout = 300 * time.Millisecond

// health asks a probe and returns the status with the codes of the reasons. The
// body is as openapi.yaml describes it.
func (b *bench) health(path string) (int, string) {
	b.t.Helper()
	resp := b.do(http.MethodGet, path, "")
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := described(b.t, "Health").Validate(doc); err != nil {
		b.t.Errorf("%s\nis not as described: %v", data, err)
	}
	var h schemas.Health
	if err := json.Unmarshal(data, &h); err != nil {
		b.t.Fatal(err)
	}
	failing := 0
	for _, c := range h.Checks {
		if !c.OK {
			failing++
		}
	}
	if (failing > 0) != (len(h.Reasons) > 0) || len(h.Checks) == 0 {
		b.t.Errorf("%s: the checks do not say why: %s", path, data)
	}
	var codes strings.Builder
	stopping := false
	for _, r := range h.Reasons {
		codes.WriteString(r.Code + " ")
		stopping = stopping || r.Code == reasonStopping
		if r.Message == "" {
			b.t.Errorf("%s: %s says nothing", path, r.Code)
		}
	}
	if (h.Status == schemas.HealthOK) != (resp.StatusCode == http.StatusOK) || h.Release != "dev" {
		b.t.Errorf("%s: status %d with %+v", path, resp.StatusCode, h)
	}
	if (resp.Header.Get("Retry-After") != "") != stopping {
		b.t.Errorf("%s: Retry-After %q with %+v", path, resp.Header.Get("Retry-After"), h)
	}
	return resp.StatusCode, codes.String()
}

// wantHealth waits for what a probe says: it waits for the broker for no more than a
// second, and says that it is away where that was busy.
func (b *bench) wantHealth(path string, status int, codes string) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%s is %d %q", path, status, codes), func() bool {
		s, c := b.health(path)
		return s == status && c == codes
	})
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
		b.wantHealth("/health/ready", status, codes)
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
	b.wantHealth("/health/ready", 503, "queue_unavailable ")
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
	b.wantHealth("/health/ready", 503, "storage_full ")
}

// TestHealthFollowsRequests: what a request meets is true at once, and until the
// broker stores something again.
func TestHealthFollowsRequests(t *testing.T) {
	b := startBench(t)
	b.announce(schemas.WorkerStatus{})
	ready := func() bool { s, _ := b.health("/health/ready"); return s == 200 }
	eventually(t, "it is ready", ready)
	b.g.probe.ask = func(context.Context, int) error { return fmt.Errorf("%w: nothing comes back", queue.ErrUnavailable) }
	now := time.Now() // and no time passes, in which what was stored would be of long ago
	b.g.probe.now = func() time.Time { return now }
	b.g.probe.tell(fmt.Errorf("submit: %w", queue.ErrUnavailable))
	b.wantHealth("/health/ready", 503, "queue_unavailable ")
	b.wantHealth("/health/live", 200, "")
	b.g.probe.tell(queue.ErrQueueFull) // says nothing of the others
	b.wantHealth("/health/ready", 503, "queue_unavailable ")
	wantError(t, b.post(chatBody("", false), headerDeadline, "1ms"), schemas.CodeDeadlineExceeded)
	b.wantHealth("/health/ready", 200, "") // it was stored
}

// TestTransitions: what each situation says, one after the other as in a gateway's
// life.
func TestTransitions(t *testing.T) {
	worker := func(free int, draining bool) schemas.WorkerStatus {
		return schemas.WorkerStatus{Cells: 100, CellsFree: free, Draining: draining}
	}
	away := fmt.Errorf("%w: nobody answers", queue.ErrUnavailable)
	noRoom := fmt.Errorf("%w: 9 of 10 bytes", queue.ErrStorageFull)
	workers := func(list ...schemas.WorkerStatus) []schemas.WorkerStatus { return list }
	type want struct{ ready, startup string }
	for _, c := range []struct {
		name string
		s    situation
		want want
	}{
		{"never reached its broker", situation{queue: away, answered: -1}, want{"queue_unavailable", "queue_unavailable"}},
		{"waits for its first worker", situation{}, want{"no_worker", "model_loading"}},
		{"has one", situation{workers: workers(worker(50, false)), announced: true}, want{}},
		{"at the threshold", situation{workers: workers(worker(10, false)), announced: true}, want{}},
		{"over it", situation{workers: workers(worker(9, false)), announced: true}, want{ready: "pool_full"}},
		{"over it, and one is not", situation{workers: workers(worker(0, false), worker(10, false)), announced: true}, want{}},
		{"over it, the other drains", situation{workers: workers(worker(0, false), worker(99, true)), announced: true}, want{ready: "pool_full"}},
		{"all drain", situation{workers: workers(worker(99, true)), announced: true}, want{ready: "no_worker"}},
		{"the last one is gone", situation{announced: true}, want{ready: "no_worker"}},
		{"a worker without a pool", situation{workers: []schemas.WorkerStatus{{}}, announced: true}, want{}},
		{"its broker is lost", situation{queue: away, answered: 9 * time.Second, announced: true}, want{ready: "queue_unavailable"}},
		{"its broker is full", situation{queue: noRoom, workers: workers(worker(50, false)), announced: true}, want{ready: "storage_full"}},
		{"stops", situation{stopping: true, workers: workers(worker(50, false)), announced: true}, want{ready: "shutting_down"}},
		{"stops, alone", situation{stopping: true, announced: true}, want{ready: "shutting_down no_worker"}},
		{"stops, lost", situation{stopping: true, queue: away, announced: true}, want{ready: "shutting_down queue_unavailable"}},
	} {
		c.s.limit, c.s.mark = 0.9, 0.85
		codes := func(h schemas.Health) string {
			var list []string
			for _, r := range h.Reasons {
				list = append(list, r.Code)
			}
			return strings.Join(list, " ")
		}
		if got := (want{codes(c.s.ready()), codes(c.s.startup())}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestHealthNamesWhatItSaw: names, values and thresholds.
func TestHealthNamesWhatItSaw(t *testing.T) {
	h := situation{
		answered: 1500 * time.Millisecond, used: 0.25, mark: 0.85, limit: 0.9,
		workers: []schemas.WorkerStatus{{Cells: 100, CellsFree: 75}, {Cells: 100, CellsFree: 5}, {Cells: 10, CellsFree: 10, Draining: true}},
	}.ready()
	want := []schemas.HealthCheck{
		{Name: "shutting_down", OK: true, Value: false, Threshold: false},
		{Name: "queue_answer_age_seconds", OK: true, Value: 1.5, Threshold: 3.0},
		{Name: "queue_storage_ratio", OK: true, Value: 0.25, Threshold: 0.85},
		{Name: "workers_ready", OK: true, Value: 1, Threshold: 1},
		{Name: "pool_utilization_ratio", OK: true, Value: 0.25, Threshold: 0.9},
	}
	if !slices.Equal(h.Checks, want) || *h.Workers != 2 {
		t.Errorf("got %+v with %d workers, want %+v", h.Checks, *h.Workers, want)
	}
}

// While it is stopping a gateway says so, and takes nothing; while it is not ready
// it does.
func TestNotReadyQueuesAllTheSame(t *testing.T) {
	b := startBench(t, expectM)
	b.wantHealth("/health/ready", 503, "no_worker ")
	b.leaveWaiting(chatBody("waits", false))
	if b.stored() != 1 {
		t.Errorf("%d jobs stored", b.stored())
	}
	b.g.Refuse()
	b.wantHealth("/health/ready", 503, "shutting_down no_worker ")
	wantError(t, b.post(chatBody("late", false)), schemas.CodeServerRestarting)
}
