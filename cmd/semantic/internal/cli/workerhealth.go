package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/worker"
)

// workerHealth answers /health/live, /health/startup and /health/ready of a worker
// process, from its start to its very end. What it looks at is in memory: it may be
// asked as often as one likes. Safe for concurrent use.
type workerHealth struct {
	release string
	// threshold is --ready-pool-threshold.
	threshold float64
	began     time.Time
	// stop has ended when the process was told to stop.
	stop   context.Context //nolint:containedctx // asked whether it has ended, never passed on
	queue  atomic.Pointer[queue.Queue]
	worker atomic.Pointer[worker.Worker]
}

func newWorkerHealth(stop context.Context, release string, threshold float64) *workerHealth {
	return &workerHealth{release: release, threshold: threshold, began: time.Now(), stop: stop}
}

// connected says that the broker was reached, loaded that the model is there.
func (h *workerHealth) connected(q *queue.Queue)  { h.queue.Store(q) }
func (h *workerHealth) loaded(one *worker.Worker) { h.worker.Store(one) }

// stopping reports whether the worker takes no more jobs, for good.
func (h *workerHealth) stopping() bool {
	if h.stop.Err() != nil {
		return true
	}
	one := h.worker.Load()
	if one == nil {
		return false
	}
	status := one.Status()
	return status.Draining && !status.Paused
}

// live says that the process lives, which the answer proves.
func (h *workerHealth) live() (body schemas.Health) {
	body.Check(true, "uptime_seconds", time.Since(h.began).Seconds(), 0, "", "")
	return body
}

func (h *workerHealth) startup() (body schemas.Health) {
	h.checkModel(&body)
	return body
}

// ready judges whether a job sent now would be taken up by this worker soon.
func (h *workerHealth) ready() (body schemas.Health) {
	stopping := h.stopping()
	body.Check(!stopping, "shutting_down", stopping, false, "shutting_down", "the worker is draining: it takes no more jobs")
	h.checkBroker(&body)
	if !h.checkModel(&body) {
		return body // without one there is no pool
	}
	status := h.worker.Load().Status()
	registered := false
	select {
	case <-h.worker.Load().Ready():
		registered = true
	default:
	}
	body.Check(registered, "registered", registered, true, "registering", "the worker is announcing itself")
	body.Check(!status.Paused, "paused", status.Paused, false, "paused",
		"an operator paused the worker: it takes no jobs until 'semantic undrain'")
	used := 0.0
	if status.Cells > 0 {
		used = float64(status.Cells-status.CellsFree) / float64(status.Cells)
	}
	body.Check(used <= h.threshold, "pool_utilization_ratio", used, h.threshold, "pool_full",
		"%.1f %% of the KV cells are in use, the limit is %.1f %%", 100*used, 100*h.threshold)
	return body
}

func (h *workerHealth) checkModel(body *schemas.Health) bool {
	loaded := h.worker.Load() != nil
	body.Check(loaded, "model_loaded", loaded, true, "model_loading", "the model is being loaded")
	return loaded
}

func (h *workerHealth) checkBroker(body *schemas.Health) {
	why := "the broker was not reached yet"
	q := h.queue.Load()
	if q != nil {
		if err := q.Healthy(); err != nil {
			why = err.Error()
		} else {
			why = ""
		}
	}
	body.Check(why == "", "broker_connected", why == "", true, "queue_unavailable", "%s", why)
}

// retryDrained is what Retry-After says of a worker that stops: there may be
// another under its address by then.
const retryDrained = "2"

// route adds the routes.
func (h *workerHealth) route(mux *http.ServeMux) {
	for path, judge := range map[string]func() schemas.Health{"live": h.live, "startup": h.startup, "ready": h.ready} {
		mux.HandleFunc("GET /health/"+path, func(w http.ResponseWriter, _ *http.Request) {
			body, status := judge(), http.StatusOK
			if !body.Judge(h.release) {
				status = http.StatusServiceUnavailable
				if h.stopping() {
					w.Header().Set("Retry-After", retryDrained)
				}
			}
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(body) // who asked may be gone
		})
	}
}
