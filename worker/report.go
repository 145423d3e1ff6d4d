package worker

import (
	"cmp"
	"slices"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// tally is what a run has done, for reports.
type tally struct {
	attempt    int
	started    time.Time // zero before the start
	prompt     int       // tokens
	before     int       // tokens of earlier attempts
	tokens     int       // of this attempt
	firstToken time.Time
}

// resumed notes what earlier attempts have done.
func (r *run) resumed(usage schemas.Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.before, r.tally.prompt = usage.CompletionTokens, usage.PromptTokens
}

// begun notes the start.
func (r *run) begun(started *schemas.Started) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.attempt, r.tally.prompt, r.tally.started = started.Attempt, started.PromptTokens, time.Now()
}

// generated notes tokens that are in the log.
func (r *run) generated(tokens int) {
	r.w.tokens.Add(uint64(tokens))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tally.tokens == 0 {
		r.tally.firstToken = time.Now()
	}
	r.tally.tokens += tokens
}

// report is what the worker says about itself.
func (w *Worker) report() queue.WorkerReport {
	report := queue.WorkerReport{
		Worker: w.identity.ID, Incarnation: w.identity.Incarnation, Tokens: w.tokens.Load(), Jobs: []queue.RunningJob{},
	}
	w.mu.Lock()
	report.Draining = w.draining
	runs := make([]*run, 0, len(w.runs))
	for _, r := range w.runs {
		runs = append(runs, r)
	}
	w.mu.Unlock()
	settings := w.settings()
	report.Settings = &settings
	slices.SortFunc(runs, func(a, b *run) int { return cmp.Compare(a.number, b.number) })
	if more := len(runs) - queue.MaxReported; more > 0 {
		runs, report.LeftOut = runs[:queue.MaxReported], more
	}
	for _, r := range runs {
		report.Jobs = append(report.Jobs, r.report())
	}
	return report
}

// report is what the run says about itself.
func (r *run) report() queue.RunningJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := queue.RunningJob{
		JobID: r.delivery.JobID, Owner: r.delivery.Owner, Class: r.delivery.Class, Agent: r.named, RequestID: r.delivery.RequestID,
		Phase: r.phase.public(), Attempt: r.tally.attempt, ClaimedAt: r.claimed.UTC(),
		PromptTokens: r.tally.prompt, Tokens: r.tally.before + r.tally.tokens,
	}
	if !r.tally.started.IsZero() {
		started := r.tally.started.UTC()
		job.StartedAt = &started
	}
	// The first token was there when the time began.
	if since := time.Since(r.tally.firstToken).Seconds(); r.tally.tokens > 1 && since > 0 {
		job.TokensPerSecond = float64(r.tally.tokens-1) / since
	}
	return job
}

// public is the phase as reports name it.
func (p phase) public() queue.Phase {
	switch p {
	case phaseClaimed:
		return queue.PhasePreparing
	case phaseSubmitted:
		return queue.PhaseWaiting
	case phaseStarted:
		return queue.PhaseRunning
	case phaseEnding:
	}
	return queue.PhaseEnding
}

// count notes the outcome of a claim for the last word of a drain.
func (w *Worker) count(result outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.draining {
		return
	}
	switch result {
	case outcomeDone, outcomeFailed, outcomeCancelled, outcomeExpired, outcomeEnded:
		w.drained.Ended++
	case outcomeHandedBack:
		w.drained.HandedOver++
	case outcomeAbandoned:
		w.drained.Left++
	case outcomeFenced: // another's already
	}
}
