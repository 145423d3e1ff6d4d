package worker

import (
	"context"
	"math"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// reportInterval is how often a drain says what it waits for.
const reportInterval = 5 * time.Second

// tellBound bounds how long the others are told that this worker drains before it
// hands anything over.
const tellBound = 250 * time.Millisecond

// startDraining makes the worker take no more jobs, and tells so: its flows have
// another home at once, who need not leave the jobs that are handed over to this
// worker for a while.
func (w *Worker) startDraining(ctx context.Context, registration *queue.Registration) {
	w.mu.Lock()
	w.draining = true
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tellBound)
	defer cancel()
	w.announce(ctx, registration)
}

// handBackUnstarted hands back the jobs that have not started, for a cause: another
// worker may start them now. What a failed engine had taken ends by itself, and must:
// one of these jobs may be the reason.
func (w *Worker) handBackUnstarted(cause error, engineLost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.runs {
		switch r.currentPhase() {
		case phaseClaimed:
			r.stop(cause)
		case phaseSubmitted:
			if !engineLost {
				r.stop(cause)
			}
		case phaseStarted, phaseEnding:
		}
	}
}

// hasten sets the limit of the drain to d from now, unless it is earlier already.
// Nothing drains because of it.
func (w *Worker) hasten(d time.Duration) {
	by := time.Now().Add(d)
	w.mu.Lock()
	if w.drainBy.IsZero() || by.Before(w.drainBy) {
		w.drainBy = by
	}
	w.mu.Unlock()
	signal(w.sooner)
}

// drainLeft is how long running jobs still have.
func (w *Worker) drainLeft() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.drainBy.IsZero() {
		return w.config.DrainTimeout
	}
	return max(time.Until(w.drainBy), 0)
}

// drain waits for the runs: for their ends until the limit, when the engine
// ends what is left and it is handed over; for their last writes until
// FlushTimeout; then only for their goroutines, after abandon has ended the
// context of all writes. Nothing is claimed any more when it is called.
func (w *Worker) drain(ctx context.Context, abandon context.CancelFunc) {
	idle := make(chan struct{})
	go func() {
		w.running.Wait()
		close(idle)
	}()
	soft, force := context.WithCancel(ctx)
	defer force()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.reportDrained(w.engine.Drain(soft, math.MaxInt64))
	}()
	const running = "draining: waiting for running jobs"
	w.reportRunning(running)
	w.untilLimit(drained, running)
	force()
	// An engine that hangs in native code does not hold up the stop for ever.
	if w.waitFor(drained, w.config.FlushTimeout, running) &&
		w.waitFor(idle, w.config.FlushTimeout, "draining: waiting for the last writes") {
		return
	}
	w.log.Warn("the broker did not take the last writes in time; other workers take the jobs over after the acknowledgement wait")
	abandon()
	<-idle
}

// untilLimit waits for the engine, at most until the limit.
func (w *Worker) untilLimit(drained <-chan struct{}, what string) {
	report := time.NewTicker(reportInterval)
	defer report.Stop()
	for {
		limit := time.NewTimer(w.drainLeft())
		select {
		case <-drained:
			limit.Stop()
			return
		case <-limit.C:
			return
		case <-w.sooner:
		case <-report.C:
			w.reportRunning(what)
		}
		limit.Stop()
	}
}

// reportDrained says what became of the sequences; each run says it of its job.
func (w *Worker) reportDrained(d engine.Drained) {
	if len(d.Finished)+len(d.Unfinished) > 0 {
		w.log.Info("the engine is drained", schemas.LogFinished, len(d.Finished), schemas.LogUnfinished, len(d.Unfinished))
	}
}

// waitFor waits for idle and says every reportInterval what is left; false
// after the timeout.
func (w *Worker) waitFor(idle <-chan struct{}, timeout time.Duration, what string) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	report := time.NewTicker(reportInterval)
	defer report.Stop()
	for {
		select {
		case <-idle:
			return true
		case <-deadline.C:
			return false
		case <-report.C:
			w.reportRunning(what)
		}
	}
}

// reportRunning says which jobs a drain waits for.
func (w *Worker) reportRunning(what string) {
	w.mu.Lock()
	ids := make([]string, 0, len(w.runs))
	for _, r := range w.runs {
		ids = append(ids, r.delivery.JobID)
	}
	w.mu.Unlock()
	if len(ids) > 0 {
		w.log.Info(what, schemas.LogRunning, len(ids), schemas.LogJobs, ids, schemas.LogTimeout, w.drainLeft().Round(time.Millisecond))
	}
}
