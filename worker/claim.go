package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// claimLoop claims whenever there is a place, until ctx ends. Jobs run under
// the context jobs.
func (w *Worker) claimLoop(ctx, jobs context.Context, claimer *queue.Claimer) {
	var bells sync.WaitGroup
	defer bells.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bells.Go(func() { w.tellPlaces(ctx, claimer) })
	for {
		delivery, err := claimer.NextOf(ctx, w.place)
		switch {
		case err == nil:
			w.take(jobs, delivery)
		case ctx.Err() != nil || errors.Is(err, queue.ErrClosed):
			return
		default:
			w.log.Warn("claim refused; trying again", schemas.LogError, err, schemas.LogDelay, w.config.RetryDelay)
			if !pause(ctx, w.config.RetryDelay) {
				return
			}
		}
	}
}

// tellPlaces wakes the claimer whenever there may be a place, until ctx ends.
func (w *Worker) tellPlaces(ctx context.Context, claimer *queue.Claimer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.engine.RoomChanged():
		case <-w.changed:
		}
		claimer.Wake()
	}
}

// place reports whether the engine has room for one more job of a class now, if
// need be by what jobs of worse classes hold. Cells are free only beyond what the
// prompts of all submitted sequences of no worse class were promised, so one of
// these that waits for cells makes it false; so does one that is claimed and whose
// size is not known yet, a pause, and a failed engine.
func (w *Worker) place(class schemas.Class) bool {
	if w.engineLost() {
		return false
	}
	w.mu.Lock()
	if w.paused {
		w.mu.Unlock()
		return false
	}
	for _, r := range w.runs {
		// One that was offered before may turn out to need the worker for itself.
		concerns := rankOf(r.delivery.Class) <= rankOf(class) || r.delivery.Deliveries > 1
		if r.isAlone() || concerns && r.currentPhase() == phaseClaimed {
			w.mu.Unlock()
			return false
		}
	}
	w.mu.Unlock()
	room := w.engine.RoomFor(rankOf(class))
	return room.Sequences > 0 && room.Cells > 0
}

// rankOf is a class as the engine orders it.
func rankOf(class schemas.Class) int { return slices.Index(schemas.Classes(), class) }

// take starts the goroutine of a claimed job, or lets the run that already has
// the job adopt the delivery. Only the claim loop calls it.
func (w *Worker) take(jobs context.Context, delivery *queue.Delivery) {
	key := delivery.Key()
	if w.adopted(key, delivery) {
		return
	}
	r := newRun(w, delivery)           // reads the job's log, which may be long
	r.alone = delivery.Guilt().Suspect // from here on, so that two suspects never wait for each other
	w.mu.Lock()
	w.runs[key] = r
	switch {
	case w.draining:
		r.stop(errHandover)
	case w.paused:
		r.stop(errPaused)
	}
	w.running.Add(1)
	w.mu.Unlock()
	signal(w.news)
	go func() {
		defer w.running.Done()
		defer w.working()()
		r.serve(jobs)
		r.leaveClaimed()
		w.forget(r)
		signal(w.changed)
		signal(w.news)
	}()
}

// adopted reports whether a run already has the job; it answers for this delivery,
// too, then.
func (w *Worker) adopted(key string, delivery *queue.Delivery) bool {
	w.mu.Lock()
	r, ok := w.runs[key]
	var err error
	if ok {
		err = r.delivery.Adopt(delivery)
	}
	w.mu.Unlock()
	switch {
	case !ok:
		return false
	case err != nil:
		r.log.Error("delivery not adopted", schemas.LogError, err)
	default:
		w.metrics.adopted.WithLabelValues(string(delivery.Class)).Inc()
		r.log.Info("offered again, goes on")
	}
	return true
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
