package worker

import "time"

// isolate makes the job, which may have killed a worker, the only one in this
// worker's hands. Nothing is claimed beside it from its claim on (place), so there is
// one such job at most; it waits for those that are here to end, and after
// Config.IsolationWait hands them back, so that others take them. Returns early when
// the job is stopped.
func (r *run) isolate() {
	r.isolated = true
	r.w.metrics.isolated.WithLabelValues(string(r.delivery.Class)).Inc()
	others := r.w.others(r)
	r.log.Info("a worker may have died on the job: it runs alone", "waits_for", len(others))
	patience := time.NewTimer(r.w.config.IsolationWait)
	defer patience.Stop()
	for _, other := range others {
		select {
		case <-other.out:
			continue
		case <-r.stopped:
			return
		case <-patience.C:
		}
		r.log.Info("the others are handed back, so that the job can run alone")
		for _, late := range others {
			late.makeRoom()
		}
		select {
		case <-other.out:
		case <-r.stopped:
			return
		}
	}
}

// others are the jobs that the engine has, or will have, beside r's.
func (w *Worker) others(r *run) []*run {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*run
	for _, other := range w.runs {
		if other != r {
			list = append(list, other)
		}
	}
	return list
}

// makeRoom hands a job back that has not ended, for the sake of another.
func (r *run) makeRoom() {
	if r.currentPhase() != phaseEnding {
		r.stop(errMakeRoom)
	}
}

// together ends the isolation: the job has brought its log forward, so what killed
// a worker before is behind it, or another's doing.
func (r *run) together() {
	r.mu.Lock()
	was := r.alone
	r.alone = false
	r.mu.Unlock()
	if was {
		signal(r.w.changed)
	}
}

// isAlone reports whether nothing is to be claimed beside the job. One that ends
// keeps nobody out.
func (r *run) isAlone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alone && !r.gone
}

// leave says that the engine has the job no more, and never will.
func (r *run) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone {
		r.gone = true
		close(r.out)
	}
}
