package worker

import (
	"context"
	"time"
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

// drain waits for the runs: for their ends until DrainTimeout, then, handed
// over, for their last writes until FlushTimeout, then only for their
// goroutines, after abandon has ended the context of all writes. Nothing is
// claimed any more when it is called.
func (w *Worker) drain(abandon context.CancelFunc) {
	idle := make(chan struct{})
	go func() {
		w.running.Wait()
		close(idle)
	}()
	if w.waitFor(idle, w.config.DrainTimeout, "draining: waiting for running jobs") {
		return
	}
	w.mu.Lock()
	for _, r := range w.runs {
		r.log.Info("drain timeout: handing the job back")
		r.stop(errHandover)
	}
	w.mu.Unlock()
	if w.waitFor(idle, w.config.FlushTimeout, "draining: waiting for the last writes") {
		return
	}
	w.log.Warn("the broker did not take the last writes in time; other workers take the jobs over after the acknowledgement wait")
	abandon()
	<-idle
}

// waitFor waits for idle and says every reportInterval what is left; false
// after the timeout.
func (w *Worker) waitFor(idle <-chan struct{}, timeout time.Duration, what string) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	report := time.NewTicker(reportInterval)
	defer report.Stop()
	for {
		w.mu.Lock()
		ids := make([]string, 0, len(w.runs))
		for _, r := range w.runs {
			ids = append(ids, r.delivery.JobID)
		}
		w.mu.Unlock()
		if len(ids) > 0 {
			w.log.Info(what, keyRunning, len(ids), "jobs", ids, "timeout", timeout)
		}
		select {
		case <-idle:
			return true
		case <-deadline.C:
			return false
		case <-report.C:
		}
	}
}
