package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// deadBound is how long the moving of a dead job, which may be large, may take.
const deadBound = 20 * time.Second

// deadView is a dead job in a list.
type deadView struct {
	Job      string        `json:"job"`
	Owner    string        `json:"owner"`
	Model    string        `json:"model"`
	Class    schemas.Class `json:"class,omitempty"`
	StoredAt time.Time     `json:"stored_at"`
	Attempts int           `json:"attempts"`
	Tokens   int           `json:"tokens"`
	Code     schemas.Code  `json:"code,omitempty"`
	Message  string        `json:"message,omitempty"`
	// Unreadable is why the entry cannot be read.
	Unreadable string `json:"unreadable,omitempty"`
}

// listDead answers GET /admin/v1/dead.
func (a *Admin) listDead(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r) {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	jobs, err := a.queue.DeadJobs(ctx, "")
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	var views []deadView
	for _, j := range jobs {
		v := deadView{
			Job: j.JobID, Owner: j.Owner, Model: j.Model, Class: j.Parked.Class, StoredAt: j.StoredAt.UTC(),
			Attempts: len(j.Parked.Attempts), Tokens: j.Parked.Tokens, Code: j.Parked.Code, Message: j.Parked.Message,
		}
		if j.Fault != nil {
			v.Unreadable = j.Fault.Error()
		}
		views = append(views, v)
	}
	writeJSON(w, r, http.StatusOK, mustJSON(listOf(views)))
}

// showDead answers GET /admin/v1/dead/{id}: the evidence, without the request itself.
func (a *Admin) showDead(w http.ResponseWriter, r *http.Request) {
	if !noBody(w, r, "owner", "model") {
		return
	}
	ctx, cancel := a.looking(r)
	defer cancel()
	job, f := a.findDead(ctx, r)
	if f == nil && job.Fault != nil {
		f = &failure{code: schemas.CodeInternal, message: "The entry cannot be read; DELETE removes it.", cause: job.Fault}
	}
	if f != nil {
		refuse(w, r, f)
		return
	}
	job.Parked.Body = ""
	writeJSON(w, r, http.StatusOK, mustJSON(job.Parked))
}

// dropDead answers DELETE /admin/v1/dead/{id}: the entry is removed for good.
func (a *Admin) dropDead(w http.ResponseWriter, r *http.Request) {
	a.withDead(w, r, func(ctx context.Context, job queue.DeadJob) {
		err := a.queue.DropDead(ctx, job)
		audit(ctx, r, "dead.drop", job.JobID, nil, nil, err)
		if err != nil {
			refuse(w, r, deadFailure(job.JobID, err))
			return
		}
		writeJSON(w, r, http.StatusOK, mustJSON(struct {
			Job     string `json:"job"`
			Dropped bool   `json:"dropped"`
		}{job.JobID, true}))
	})
}

// replayDead answers POST /admin/v1/dead/{id}/replay: the request is submitted again
// as a new job, and the entry removed. A repeat, while the entry is still there,
// makes no other job.
func (a *Admin) replayDead(w http.ResponseWriter, r *http.Request) {
	a.withDead(w, r, func(ctx context.Context, job queue.DeadJob) {
		ticket, err := a.queue.Replay(ctx, job, false)
		if err != nil {
			audit(ctx, r, "dead.replay", job.JobID, nil, nil, err)
			refuse(w, r, deadFailure(job.JobID, err))
			return
		}
		audit(ctx, r, "dead.replay", job.JobID, nil, ticket.JobID, nil)
		writeJSON(w, r, http.StatusOK, mustJSON(struct {
			Job      string `json:"job"`
			ReplayOf string `json:"replay_of"`
			Owner    string `json:"owner"`
			Model    string `json:"model"`
		}{ticket.JobID, job.JobID, job.Owner, job.Model}))
	})
}

// withDead does something with the dead job that is meant, in the time that a large
// one needs, also where who asked hangs up.
func (a *Admin) withDead(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, job queue.DeadJob)) {
	if !noBody(w, r, "owner", "model") {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), deadBound)
	defer cancel()
	job, f := a.findDead(ctx, r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	do(ctx, job)
}

// findDead is the one dead job that is meant.
func (a *Admin) findDead(ctx context.Context, r *http.Request) (queue.DeadJob, *failure) {
	id, query := r.PathValue("id"), r.URL.Query()
	if !queue.ValidJobID(id) {
		return queue.DeadJob{}, noDead(id, nil)
	}
	jobs, err := a.queue.DeadJobs(ctx, id)
	if err != nil {
		return queue.DeadJob{}, queueFailure(err)
	}
	var matches []queue.DeadJob
	var which []string
	for _, j := range jobs {
		if owner, model := query.Get("owner"), query.Get("model"); (owner == "" || owner == j.Owner) && (model == "" || model == j.Model) {
			matches, which = append(matches, j), append(which, "owner "+j.Owner+" and model "+j.Model)
		}
	}
	switch len(matches) {
	case 0:
		return queue.DeadJob{}, noDead(id, nil)
	case 1:
		return matches[0], nil
	}
	param := "owner"
	if query.Get("owner") != "" {
		param = "model"
	}
	return queue.DeadJob{}, ambiguous(param, id, which)
}

func noDead(id string, cause error) *failure {
	return &failure{code: schemas.CodeJobNotFound, message: "There is no dead job " + shown(id) + ".", cause: cause}
}

// deadFailure tells of an entry that somebody else took meanwhile, or that cannot be
// replayed.
func deadFailure(id string, err error) *failure {
	var lost *queue.InputError
	switch {
	case errors.Is(err, queue.ErrNotDead):
		return noDead(id, err)
	case errors.As(err, &lost):
		return &failure{code: schemas.CodeInputLost, message: "The dead job's request is not in the object store as its entry says.", cause: err}
	}
	return queueFailure(err)
}
