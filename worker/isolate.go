package worker

import "github.com/semantic-worker/semantic/schemas"

// isolate makes the job, which may have killed a worker, the only one that is
// worked on here: nothing is claimed beside it from its claim on (place), so there
// is one such job at most; it waits until those that were claimed before are in the
// engine, which then computes it alone (engine.Request.Alone). Returns early when
// the job is stopped.
func (r *run) isolate() {
	r.isolated = true
	r.w.metrics.isolated.WithLabelValues(string(r.delivery.Class)).Inc()
	others := r.w.others(r)
	r.log.Info("a worker may have died on the job: it runs alone", schemas.LogOthers, len(others))
	for _, other := range others {
		select {
		case <-other.planned:
		case <-r.stopped:
			return
		}
	}
}

// others are the runs beside r.
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

// together ends the isolation: the job has brought its log forward, so what killed
// a worker before is behind it, or another's doing.
func (r *run) together() {
	r.mu.Lock()
	was := r.alone
	r.alone = false
	for _, seq := range r.seqs {
		seq.Together()
	}
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
	return r.alone && r.phase != phaseEnding
}

// leaveClaimed says that the job is no longer in phaseClaimed, or has gone.
func (r *run) leaveClaimed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone {
		r.gone = true
		close(r.planned)
	}
}
