package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// giveUp ends a job on which too many workers died: it is kept among the dead jobs
// with its evidence, and then its client is told. failure is how this worker's own
// engine failed on it, if it did.
func (r *run) giveUp(ctx context.Context, code schemas.Code, failure string) outcome {
	r.enter(phaseEnding)
	if r.history.first != nil {
		r.countNotResumed(resumeGivenUp)
	}
	evidence := r.delivery.Evidence(ctx)
	if own := len(evidence.Attempts) - 1; failure != "" && own >= 0 {
		evidence.Attempts[own].End, evidence.Attempts[own].Counted = schemas.AttemptDied, !r.emitted
		evidence.Attempts[own].Reason = failure
	}
	failed := schemas.Failed{Code: code, Usage: r.partialUsage()}
	told := story(evidence.Attempts, failure)
	failed.Message = told + fmt.Sprintf(" It is not tried again; `semantic dead show %s` has the evidence.", r.delivery.JobID)
	err := r.delivery.Park(ctx, evidence, failed)
	switch {
	case errors.Is(err, queue.ErrStorageFull), errors.Is(err, queue.ErrTooLarge):
		failed.Message = told + " It is not tried again, and there is no room for it among the dead jobs."
		r.log.Error("no room among the dead jobs: only the log has the evidence, as long as it lives", schemas.LogError, err)
	case err != nil:
		return r.lost(ctx, err)
	}
	r.code = code
	r.log.Error("job given up: workers died on it", schemas.LogEvent, schemas.LogEventJobParked,
		schemas.LogCode, string(code), schemas.LogWhy, failed.Message)
	return r.end(ctx, outcomeFailed, schemas.Event{Type: schemas.EventFailed, Failed: &failed})
}

// story tells who died on a job.
func story(attempts []schemas.Attempt, failure string) string {
	var order []string
	times := make(map[string]int)
	deaths, alone := 0, 0
	for _, a := range attempts {
		if a.End != schemas.AttemptDied {
			continue
		}
		deaths++
		if a.Alone && a.Counted {
			alone++
		}
		if times[a.Worker]++; times[a.Worker] == 1 {
			order = append(order, a.Worker)
		}
	}
	const most = 8 // workers that are named
	var names []string
	for _, worker := range order[:min(len(order), most)] {
		if times[worker] > 1 {
			worker += fmt.Sprintf(" (%d times)", times[worker])
		}
		names = append(names, worker)
	}
	if len(order) > most {
		names = append(names, "…")
	}
	deathsOf := "workers died while they ran this job"
	if deaths == 1 {
		deathsOf = "worker died while it ran this job"
	}
	told := fmt.Sprintf("%d %s: %s.", deaths, deathsOf, strings.Join(names, ", "))
	switch {
	case alone == deaths && deaths == 1:
		told += " It had no other job."
	case alone > 0:
		told += fmt.Sprintf(" %d of them had no other job.", alone)
	}
	if failure != "" {
		told += fmt.Sprintf(" The last one said: %s.", strings.TrimSuffix(failure, "."))
	}
	return told
}
