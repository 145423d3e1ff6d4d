package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// The names of checks.
const (
	checkUptime    = "uptime_seconds"
	checkStopping  = "shutting_down"
	checkQueue     = "queue_answer_age_seconds"
	checkStorage   = "queue_storage_ratio"
	checkAnnounced = "worker_announced"
	checkWorkers   = "workers_ready"
	checkPool      = "pool_utilization_ratio"
)

// The codes of health reasons.
const (
	reasonStopping  = "shutting_down"
	reasonQueueDown = "queue_unavailable"
	reasonNoRoom    = "storage_full"
	reasonNoWorker  = "no_worker"
	reasonPoolFull  = "pool_full"
	reasonLoading   = "model_loading"
)

// situation is what health is judged by.
type situation struct {
	stopping bool
	// queue is why the queue is not to be counted on; nil if it is.
	queue error
	// answered is the age of the broker's last good answer, negative without one.
	answered time.Duration
	// used is how full the queue's storage is, refused from mark on.
	used, mark float64
	// workers are those alive, announced whether there ever was one.
	workers   []schemas.WorkerStatus
	announced bool
	// limit is Config.ReadyPoolThreshold.
	limit float64
}

// ready judges whether a request sent now would be taken up soon.
func (s situation) ready() schemas.Health {
	var h schemas.Health
	h.Check(!s.stopping, checkStopping, s.stopping, false, reasonStopping, "the gateway is stopping")
	if !s.queueCheck(&h) {
		return h // of the rest there are only memories
	}
	taking, ready, least := pool(s.workers, s.limit)
	h.Workers = &taking
	switch {
	case taking == 0 && len(s.workers) > 0:
		h.Check(false, checkWorkers, ready, 1, reasonNoWorker, "every worker is draining, or paused")
	case taking == 0:
		h.Check(false, checkWorkers, ready, 1, reasonNoWorker, "no worker is present")
	default:
		h.Check(ready > 0, checkWorkers, ready, 1, reasonPoolFull,
			"every worker has more than %.1f %% of its cells in use, %.1f %% at least", 100*s.limit, 100*least)
		h.Checks = append(h.Checks, schemas.HealthCheck{Name: checkPool, OK: least <= s.limit, Value: least, Threshold: s.limit})
	}
	return h
}

// startup judges whether the gateway ever was of use.
func (s situation) startup() schemas.Health {
	taking, _, _ := pool(s.workers, s.limit)
	h := schemas.Health{Workers: &taking}
	if s.announced || s.queueCheck(&h) {
		h.Check(s.announced, checkAnnounced, s.announced, true, reasonLoading,
			"no worker has announced itself yet; it does when its model is loaded")
	}
	return h
}

// queueCheck adds what is known of the queue, and reports whether it takes jobs.
func (s situation) queueCheck(h *schemas.Health) bool {
	full := errors.Is(s.queue, queue.ErrStorageFull)
	var age any
	if s.answered >= 0 {
		age = seconds(s.answered)
	}
	h.Check(s.queue == nil || full, checkQueue, age, seconds(probeAge), reasonQueueDown, "%v", s.queue)
	if s.queue == nil || full {
		h.Check(!full, checkStorage, s.used, s.mark, reasonNoRoom, "%v", s.queue)
	}
	return s.queue == nil
}

// seconds are rounded to milliseconds, for people.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// pool counts the workers that take jobs and those of them that are ready, having
// no more than the limit of their cells in use, and returns the least share in use.
func pool(workers []schemas.WorkerStatus, limit float64) (taking, ready int, least float64) {
	for _, w := range workers {
		if w.Draining {
			continue
		}
		used := 0.0
		if w.Cells > 0 {
			used = float64(w.Cells-w.CellsFree) / float64(w.Cells)
		}
		if taking == 0 || used < least {
			least = used
		}
		taking++
		if used <= limit {
			ready++
		}
	}
	return taking, ready, least
}

// situation asks what is to be asked, for no longer than probeBound and little more.
func (g *Gateway) situation(ctx context.Context) situation {
	s := situation{stopping: g.tracker.isStopping(), limit: g.config.ReadyPoolThreshold, answered: -1}
	if err := g.queue.Healthy(); err != nil {
		s.queue = fmt.Errorf("the queue is not healthy: %w", err)
	} else {
		s.answered, s.queue = g.probe.look(ctx)
	}
	s.used, s.mark = g.queue.Storage(schemas.ClassNormal)
	if s.queue == nil || errors.Is(s.queue, queue.ErrStorageFull) {
		bounded, cancel := context.WithTimeout(ctx, probeBound)
		defer cancel()
		workers, err := g.queue.Workers(bounded)
		if err != nil {
			s.queue = fmt.Errorf("read the registry of workers: %w", err)
		}
		s.workers = workers
	}
	if len(s.workers) > 0 {
		g.started.Store(true)
	}
	s.announced = g.started.Load()
	return s
}

// healthLive answers 200 while the process lives.
func (g *Gateway) healthLive(w http.ResponseWriter, r *http.Request) {
	var h schemas.Health
	h.Check(true, checkUptime, seconds(time.Since(g.born)), 0, "", "")
	g.writeHealth(w, r, h)
}

// healthReady answers 200 if a request sent now would be taken up soon. Jobs
// are accepted, and wait, also where it says 503 for want of a worker or room in
// its pool.
func (g *Gateway) healthReady(w http.ResponseWriter, r *http.Request) {
	g.writeHealth(w, r, g.situation(r.Context()).ready())
}

// healthStartup answers 503 until the first worker announced itself, which is
// when its model is loaded, and 200 for ever after.
func (g *Gateway) healthStartup(w http.ResponseWriter, r *http.Request) {
	g.writeHealth(w, r, g.situation(r.Context()).startup())
}

func (g *Gateway) writeHealth(w http.ResponseWriter, r *http.Request, h schemas.Health) {
	status := http.StatusOK
	if !h.Judge(g.config.Release) {
		status = http.StatusServiceUnavailable
		if h.Reasons[0].Code == reasonStopping {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryRestarting.Seconds())))
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, r, status, mustJSON(h))
}

// authenticatedMetrics serves /metrics under the API keys, if there are any:
// model names and loads are nobody else's business.
func (g *Gateway) authenticatedMetrics() http.HandlerFunc {
	if g.gatherer == nil {
		return func(w http.ResponseWriter, r *http.Request) {
			refuse(w, r, &failure{code: schemas.CodeNotFound, message: "This gateway exports no metrics."})
		}
	}
	return g.authenticate(promhttp.HandlerFor(g.gatherer, promhttp.HandlerOpts{
		// One collector that fails, or another process's page, costs no more than its part.
		ErrorHandling: promhttp.ContinueOnError,
		ErrorLog:      slog.NewLogLogger(g.log.Handler(), slog.LevelWarn),
		// OpenMetrics alone has room for exemplars.
		EnableOpenMetrics: true,
		CoalesceGather:    true,
	})).ServeHTTP
}
