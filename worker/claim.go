package worker

import (
	"context"
	"errors"
	"time"

	"github.com/semantic-worker/semantic/queue"
)

// claimLoop claims whenever there is a place, until ctx ends. Jobs run under
// the context jobs.
func (w *Worker) claimLoop(ctx, jobs context.Context, claimer *queue.Claimer) {
	for w.awaitPlace(ctx) {
		delivery, err := claimer.Next(ctx)
		switch {
		case err == nil:
			w.take(jobs, delivery)
		case ctx.Err() != nil || errors.Is(err, queue.ErrClosed):
			return
		default:
			w.log.Warn("claim refused; trying again", keyError, err, "delay", w.config.RetryDelay)
			if !pause(ctx, w.config.RetryDelay) {
				return
			}
		}
	}
}

// awaitPlace waits until a job can be claimed; false when ctx ended first.
func (w *Worker) awaitPlace(ctx context.Context) bool {
	for !w.place() {
		select {
		case <-ctx.Done():
			return false
		case <-w.engine.RoomChanged():
		case <-w.changed:
		}
	}
	return ctx.Err() == nil
}

// place reports whether the engine has room for one more job now. Cells are
// free only beyond what the prompts of all submitted sequences were promised,
// so a sequence that waits for cells makes it false; so does a failed engine.
func (w *Worker) place() bool {
	if w.engineLost() {
		return false
	}
	w.mu.Lock()
	for _, r := range w.runs {
		if r.currentPhase() == phaseClaimed || r.isAlone() {
			w.mu.Unlock()
			return false
		}
	}
	w.mu.Unlock()
	room := w.engine.Room()
	return room.Sequences > 0 && room.Cells > 0
}

// take starts the goroutine of a claimed job, or lets the run that already has
// the job adopt the delivery.
func (w *Worker) take(jobs context.Context, delivery *queue.Delivery) {
	key := delivery.Key()
	w.mu.Lock()
	if r, ok := w.runs[key]; ok {
		err := r.delivery.Adopt(delivery)
		w.mu.Unlock()
		if err != nil {
			r.log.Error("delivery not adopted", keyError, err)
			return
		}
		w.metrics.adopted.WithLabelValues(string(delivery.Class)).Inc()
		r.log.Info("offered again, goes on")
		return
	}
	r := newRun(w, delivery)
	w.runs[key] = r
	if w.draining {
		r.stop(errHandover)
	}
	w.running.Add(1)
	w.mu.Unlock()
	signal(w.news)
	go func() {
		defer w.running.Done()
		r.serve(jobs)
		r.leave()
		w.forget(r)
		signal(w.changed)
		signal(w.news)
	}()
}

// forget makes r adopt nothing more. A job that goes back is forgotten first:
// it may be offered to this very worker at once.
func (w *Worker) forget(r *run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if key := r.delivery.Key(); w.runs[key] == r {
		delete(w.runs, key)
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
