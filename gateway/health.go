package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// health is the body of every health route.
type health struct {
	// Status is "ok" or "unavailable".
	Status string `json:"status"`
	// Reasons says why it is not ok.
	Reasons []healthReason `json:"reasons,omitempty"`
	// Workers counts the live workers that take jobs.
	Workers int    `json:"workers"`
	Release string `json:"release"`
}

// healthReason is one thing in the way. Code is stable.
type healthReason struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// The codes of health reasons.
const (
	reasonStopping  = "shutting_down"
	reasonQueueDown = "queue_unavailable"
	reasonNoRoom    = "storage_full"
	reasonNoWorker  = "no_worker"
	reasonPoolFull  = "pool_full"
	reasonLoading   = "model_loading"
)

// healthLive answers 200 while the process lives.
func (g *Gateway) healthLive(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, r, http.StatusOK, mustJSON(struct {
		Status  string `json:"status"`
		Release string `json:"release"`
	}{"ok", g.config.Release}))
}

// healthReady answers 200 if a request sent now would be taken up soon. Jobs
// are accepted, and wait, also where it says 503 for want of a worker or room.
func (g *Gateway) healthReady(w http.ResponseWriter, r *http.Request) {
	h := health{Release: g.config.Release}
	because := func(code, format string, args ...any) {
		h.Reasons = append(h.Reasons, healthReason{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	if g.tracker.isStopping() {
		because(reasonStopping, "the gateway is stopping")
	}
	workers, err := g.workers(r.Context())
	if err == nil {
		err = g.accepting(r.Context())
	}
	if err != nil {
		because(queueReason(err), "%v", err)
	} else {
		taking, used := pool(workers)
		h.Workers = taking
		switch {
		case taking == 0 && len(workers) > 0:
			because(reasonNoWorker, "every worker is draining")
		case taking == 0:
			because(reasonNoWorker, "no worker is present")
		case used > g.config.ReadyPoolLimit:
			because(reasonPoolFull, "%.1f %% of the workers' cells are in use, the limit is %.1f %%",
				100*used, 100*g.config.ReadyPoolLimit)
		}
	}
	g.writeHealth(w, r, h)
}

// healthStartup answers 503 until the first worker announced itself, which is
// when its model is loaded, and 200 for ever after.
func (g *Gateway) healthStartup(w http.ResponseWriter, r *http.Request) {
	h := health{Release: g.config.Release}
	workers, err := g.workers(r.Context())
	h.Workers, _ = pool(workers)
	if !g.started.Load() {
		if err != nil {
			h.Reasons = append(h.Reasons, healthReason{Code: queueReason(err), Message: err.Error()})
		} else {
			h.Reasons = append(h.Reasons, healthReason{
				Code: reasonLoading, Message: "no worker has announced itself yet; it does when its model is loaded",
			})
		}
	}
	g.writeHealth(w, r, h)
}

// accepting asks whether the broker would store a job now: workers may be there
// while it has no room for one.
func (g *Gateway) accepting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.config.QueueTimeout)
	defer cancel()
	if err := g.queue.Accepting(ctx, schemas.ClassNormal); err != nil {
		return fmt.Errorf("no request would be stored: %w", err)
	}
	return nil
}

// queueReason is the code of what keeps the queue from being used.
func queueReason(err error) string {
	if errors.Is(err, queue.ErrStorageFull) {
		return reasonNoRoom
	}
	return reasonQueueDown
}

func (g *Gateway) writeHealth(w http.ResponseWriter, r *http.Request, h health) {
	status := http.StatusOK
	h.Status = "ok"
	if len(h.Reasons) > 0 {
		status = http.StatusServiceUnavailable
		h.Status = "unavailable"
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, r, status, mustJSON(h))
}

// workers reads the registry and remembers whether a worker was ever there.
func (g *Gateway) workers(ctx context.Context) ([]schemas.WorkerStatus, error) {
	if err := g.queue.Healthy(); err != nil {
		return nil, fmt.Errorf("the queue is not healthy: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, g.config.QueueTimeout)
	defer cancel()
	workers, err := g.queue.Workers(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the registry of workers: %w", err)
	}
	if len(workers) > 0 {
		g.started.Store(true)
	}
	return workers, nil
}

// pool counts the workers that take jobs and the share of their cells in use.
func pool(workers []schemas.WorkerStatus) (taking int, used float64) {
	cells, free := 0, 0
	for _, w := range workers {
		if w.Draining {
			continue
		}
		taking++
		cells += w.Cells
		free += w.CellsFree
	}
	if cells > 0 {
		used = float64(cells-free) / float64(cells)
	}
	return taking, used
}

// authenticatedMetrics serves /metrics under the API keys, if there are any:
// model names and loads are nobody else's business.
func (g *Gateway) authenticatedMetrics() http.HandlerFunc {
	if g.gatherer == nil {
		return func(w http.ResponseWriter, r *http.Request) {
			refuse(w, r, &failure{code: schemas.CodeNotFound, message: "This gateway exports no metrics."})
		}
	}
	return g.authenticate(promhttp.HandlerFor(g.gatherer, promhttp.HandlerOpts{})).ServeHTTP
}
