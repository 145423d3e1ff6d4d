package worker

import (
	"context"
	"time"

	"github.com/semantic-worker/semantic/engine"
)

// reportInterval is how often a drain says what it waits for.
const reportInterval = 5 * time.Second

// startDraining makes the worker take no more jobs, and hands back those that
// have not started: another worker may start them now. What a failed engine had
// taken ends by itself, and must: one of these jobs may be the reason.
func (w *Worker) startDraining(engineLost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	for _, r := range w.runs {
		switch r.currentPhase() {
		case phaseClaimed:
			r.stop(errHandover)
		case phaseSubmitted:
			if !engineLost {
				r.stop(errHandover)
			}
		case phaseStarted, phaseEnding:
		}
	}
}

// drain waits for the runs: for their ends until DrainTimeout, when the engine
// ends what is left and it is handed over; for their last writes until
// FlushTimeout; then only for their goroutines, after abandon has ended the
// context of all writes. Nothing is claimed any more when it is called.
func (w *Worker) drain(ctx context.Context, abandon context.CancelFunc) {
	idle := make(chan struct{})
	go func() {
		w.running.Wait()
		close(idle)
	}()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		w.reportDrained(w.engine.Drain(ctx, w.config.DrainTimeout))
	}()
	const running = "draining: waiting for running jobs"
	w.reportRunning(running)
	// An engine that hangs in native code does not hold up the stop for ever.
	if w.waitFor(drained, w.config.DrainTimeout+w.config.FlushTimeout, running) &&
		w.waitFor(idle, w.config.FlushTimeout, "draining: waiting for the last writes") {
		return
	}
	w.log.Warn("the broker did not take the last writes in time; other workers take the jobs over after the acknowledgement wait")
	abandon()
	<-idle
}

// reportDrained says what became of the sequences; each run says it of its job.
func (w *Worker) reportDrained(d engine.Drained) {
	if len(d.Finished)+len(d.Unfinished) > 0 {
		w.log.Info("the engine is drained", "finished", len(d.Finished), "unfinished", len(d.Unfinished))
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
		w.log.Info(what, keyRunning, len(ids), "jobs", ids, "timeout", w.config.DrainTimeout)
	}
}
