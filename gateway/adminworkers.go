package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// workerView is a worker with what it says itself.
type workerView struct {
	schemas.WorkerStatus
	// Report is null where the worker did not answer: Error says why.
	Report *queue.WorkerReport `json:"report"`
	Error  *openai.Error       `json:"error,omitempty"`
}

// listing is a list of the admin interface.
type listing[T any] struct {
	Object string `json:"object"`
	Data   []T    `json:"data"`
}

func listOf[T any](data []T) listing[T] {
	if data == nil {
		data = []T{}
	}
	return listing[T]{Object: "list", Data: data}
}

func (a *Admin) viewOf(ctx context.Context, w queue.LiveWorker) workerView {
	v := workerView{WorkerStatus: w.WorkerStatus, Report: w.Report}
	if w.Silent != nil {
		v.Error = a.errorOf(ctx, w.Silent)
	}
	return v
}

// errorOf is the error object of what a worker did not do.
func (a *Admin) errorOf(ctx context.Context, err error) *openai.Error {
	f := a.workerFailure(ctx, err)
	return openai.NewError(f.code, f.param, f.message)
}

// listWorkers answers GET /admin/v1/workers.
func (a *Admin) listWorkers(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r) {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	workers, err := a.queue.Reports(ctx)
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	var views []workerView
	for _, live := range workers {
		views = append(views, a.viewOf(ctx, live))
	}
	writeJSON(w, r, http.StatusOK, mustJSON(listOf(views)))
}

// showWorker answers GET /admin/v1/workers/{id}.
func (a *Admin) showWorker(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r) {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	status, err := a.queue.Worker(ctx, r.PathValue("id"))
	if err != nil {
		refuse(w, r, a.workerFailure(ctx, err))
		return
	}
	live := queue.LiveWorker{WorkerStatus: status}
	report, err := a.queue.Report(ctx, status.ID)
	if live.Report = &report; err != nil {
		live.Report, live.Silent = nil, err
	}
	writeJSON(w, r, http.StatusOK, mustJSON(a.viewOf(ctx, live)))
}

// drainView is what becomes of a worker that was told to drain, or to take jobs again.
type drainView struct {
	Worker string `json:"worker"`
	// State is "draining" (it ends), "paused" or "active".
	State string `json:"state"`
	// Jobs is how many it has in its hands; null where it was not asked.
	Jobs *int `json:"jobs"`
}

// drainWorker answers POST /admin/v1/workers/{id}/drain: the worker hands over what
// it runs and ends or, with pause, takes no more jobs.
func (a *Admin) drainWorker(w http.ResponseWriter, r *http.Request) {
	request, ok := readAdmin(w, r, true, schemas.DecodeDrainRequest)
	if !ok {
		return
	}
	if request.Pause {
		a.pauseWorker(w, r, true)
		return
	}
	id := r.PathValue("id")
	ctx, cancel := a.acting(r)
	defer cancel()
	report, err := a.drainNow(ctx, id, request)
	if err != nil {
		audit(ctx, r, "drain", id, nil, nil, err)
		refuse(w, r, a.workerFailure(ctx, err))
		return
	}
	audit(ctx, r, "drain", id, nil, "draining", nil)
	jobs := len(report.Jobs) + report.LeftOut
	writeJSON(w, r, http.StatusAccepted, mustJSON(drainView{Worker: id, State: "draining", Jobs: &jobs}))
}

func (a *Admin) drainNow(ctx context.Context, id string, request schemas.DrainRequest) (queue.WorkerReport, error) {
	if _, err := a.queue.Worker(ctx, id); err != nil {
		return queue.WorkerReport{}, err
	}
	var timeout *time.Duration
	if request.TimeoutMS != nil {
		d := time.Duration(*request.TimeoutMS) * time.Millisecond
		timeout = &d
	}
	draining, report, err := a.queue.Drain(ctx, id, timeout)
	if err != nil {
		return queue.WorkerReport{}, err
	}
	draining.Close()
	return report, nil
}

// undrainWorker answers POST /admin/v1/workers/{id}/undrain: a paused worker takes
// jobs again.
func (a *Admin) undrainWorker(w http.ResponseWriter, r *http.Request) {
	if noBody(w, r) {
		a.pauseWorker(w, r, false)
	}
}

func (a *Admin) pauseWorker(w http.ResponseWriter, r *http.Request, pause bool) {
	id, change, state := r.PathValue("id"), "undrain", "active"
	if pause {
		change, state = "pause", "paused"
	}
	ctx, cancel := a.acting(r)
	defer cancel()
	var c queue.Changed
	var err error
	if pause {
		c, err = a.queue.Pause(ctx, id)
	} else {
		c, err = a.queue.Resume(ctx, id)
	}
	if err != nil {
		audit(ctx, r, change, id, nil, nil, err)
		refuse(w, r, a.workerFailure(ctx, err))
		return
	}
	before := "active"
	if c.Before.Paused {
		before = "paused"
	}
	audit(ctx, r, change, id, before, state, nil)
	writeJSON(w, r, http.StatusOK, mustJSON(drainView{Worker: id, State: state}))
}

// target is an entry of a Prometheus http_sd list.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// targets answers GET /admin/v1/targets: where the metrics of the live workers are.
// Those that serve none, or to another machine only, are not in it; what `serve` runs
// is on the page of its gateway.
func (a *Admin) targets(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r) {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	workers, err := a.queue.Workers(ctx)
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	list := []target{}
	for _, worker := range workers {
		if worker.MetricsAddr == "" || worker.Host != a.host && loopback(worker.MetricsAddr) {
			continue
		}
		list = append(list, target{Targets: []string{worker.MetricsAddr}, Labels: map[string]string{
			"worker": worker.ID, "__meta_semantic_host": worker.Host, "__meta_semantic_model": worker.Model,
			"__meta_semantic_backend": worker.Backend, "__meta_semantic_release": worker.Release,
		}})
	}
	writeJSON(w, r, http.StatusOK, mustJSON(list))
}

// loopback reports whether only its own machine reaches an address.
func loopback(addr string) bool {
	host := hostOf(addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
