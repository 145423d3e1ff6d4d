package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Bounds of the parameter limit.
const (
	standardJobs = 50
	mostJobs     = 1000
)

// adminJob is a job as an operator sees it: what happened to it, and nothing of what
// it asks or answers.
type adminJob struct {
	Job       string          `json:"job"`
	Owner     string          `json:"owner"`
	Status    queue.JobStatus `json:"status"`
	Model     string          `json:"model,omitempty"`
	Class     schemas.Class   `json:"class,omitempty"`
	StoredAt  time.Time       `json:"stored_at,omitzero"`
	StartedAt time.Time       `json:"started_at,omitzero"`
	EndedAt   time.Time       `json:"ended_at,omitzero"`
	Attempts  int             `json:"attempts"`
	Worker    string          `json:"worker,omitempty"`
	Usage     *schemas.Usage  `json:"usage,omitempty"`
	Failed    *schemas.Failed `json:"failed,omitempty"`
}

func adminJobOf(s queue.JobState) adminJob {
	j := adminJob{
		Job: s.JobID, Owner: s.Owner, Status: s.Status, Model: s.Model, Class: s.Class, StoredAt: s.StoredAt, StartedAt: s.StartedAt,
		EndedAt: s.EndedAt, Attempts: s.Attempts, Worker: s.Worker, Usage: s.Usage,
	}
	if len(s.Events) > 0 {
		j.Failed = s.Events[len(s.Events)-1].Failed
	}
	return j
}

// listJobs answers GET /admin/v1/jobs.
func (a *Admin) listJobs(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r, "state", "class", "model", "owner", "limit") {
		return
	}
	filter, f := jobFilter(r.URL.Query())
	if f != nil {
		refuse(w, r, f)
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	list, err := a.queue.Jobs(ctx, filter)
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	writeJSON(w, r, http.StatusOK, mustJSON(struct {
		listing[queue.JobSummary]
		More bool `json:"more"`
	}{listOf(list.Jobs), list.More}))
}

func jobFilter(query url.Values) (queue.JobFilter, *failure) {
	f := queue.JobFilter{Owner: query.Get("owner"), Model: query.Get("model"), Class: schemas.Class(query.Get("class")), Limit: standardJobs}
	bad := func(param, format string, args ...any) (queue.JobFilter, *failure) {
		return f, &failure{code: schemas.CodeInvalidRequest, param: param, message: fmt.Sprintf(format, args...)}
	}
	switch state := query.Get("state"); state {
	case "":
	case "queued":
		f.Queued = true
	case "running":
		f.Running = true
	case "ended":
		f.Ended = true
	default:
		return bad("state", "state is queued, running or ended, not %q.", shown(state))
	}
	if f.Class != "" && !slices.Contains(schemas.Classes(), f.Class) {
		return bad("class", "class is interactive, normal or batch, not %q.", shown(string(f.Class)))
	}
	if given := query.Get("limit"); given != "" {
		limit, err := strconv.Atoi(given)
		if err != nil || limit < 1 || limit > mostJobs {
			return bad("limit", "limit is a number from 1 to %d, not %q.", mostJobs, shown(given))
		}
		f.Limit = limit
	}
	return f, nil
}

// showJobOf answers GET /admin/v1/jobs/{id}.
func (a *Admin) showJobOf(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r, "owner") {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	state, f := a.findJob(ctx, r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	writeJSON(w, r, http.StatusOK, mustJSON(adminJobOf(state)))
}

// cancelJob answers DELETE /admin/v1/jobs/{id}: the job is ended, if it has not
// ended, whosever it is.
func (a *Admin) cancelJob(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r, "owner") {
		return
	}
	ctx, cancel := a.acting(r)
	defer cancel()
	state, f := a.findJob(ctx, r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	if !state.Status.Ended() {
		before := state.Status
		err := a.queue.Cancel(ctx, state.Owner, state.JobID, reasonRequested)
		if err == nil {
			a.metrics.cancellations.WithLabelValues(causeOperator).Inc()
			state, err = a.queue.State(ctx, state.Owner, state.JobID)
		}
		if err != nil {
			audit(ctx, r, "job.cancel", r.PathValue("id"), before, nil, err)
			refuse(w, r, queueFailure(err))
			return
		}
		audit(ctx, r, "job.cancel", r.PathValue("id"), before, state.Status, nil)
	}
	writeJSON(w, r, http.StatusOK, mustJSON(adminJobOf(state)))
}

// findJob is the one job that is meant.
func (a *Admin) findJob(ctx context.Context, r *http.Request) (queue.JobState, *failure) {
	id := r.PathValue("id")
	if !queue.ValidJobID(id) {
		return queue.JobState{}, noAdminJob(id)
	}
	states, err := a.queue.Find(ctx, r.URL.Query().Get("owner"), id)
	switch {
	case errors.Is(err, queue.ErrNoJob):
		return queue.JobState{}, noAdminJob(id)
	case err != nil:
		return queue.JobState{}, queueFailure(err)
	case len(states) == 1:
		c := callOf(r)
		c.job, c.log = id, c.log.With(schemas.LogJobID, id)
		return states[0], nil
	}
	owners := make([]string, len(states))
	for i, s := range states {
		owners[i] = s.Owner
	}
	return queue.JobState{}, ambiguous("owner", id, owners)
}

// ambiguous asks which of several is meant.
func ambiguous(param, id string, which []string) *failure {
	return &failure{code: schemas.CodeInvalidRequest, param: param, message: fmt.Sprintf(
		"%d jobs are called %s, of %s: say which one with the parameter %s.", len(which), shown(id), shown(strings.Join(which, "; ")), param)}
}

func noAdminJob(id string) *failure {
	return &failure{code: schemas.CodeJobNotFound, message: fmt.Sprintf("There is no job %q, or its log is forgotten.", shown(id))}
}
