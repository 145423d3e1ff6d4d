package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// reasonRequested is the reason of a cancelled event that a client asked for.
const reasonRequested = "requested"

// jobView is a job as its client sees it. What is not known, or has not happened,
// is null.
type jobView struct {
	ID     string          `json:"id"`
	Object string          `json:"object"`
	Status queue.JobStatus `json:"status"`
	Model  *string         `json:"model"`
	Class  *schemas.Class  `json:"class"`
	// Format is the API that the job came by, in which its answer is written.
	Format       string               `json:"format"`
	OnDisconnect schemas.OnDisconnect `json:"on_disconnect"`
	CreatedAt    *time.Time           `json:"created_at"`
	StartedAt    *time.Time           `json:"started_at"`
	EndedAt      *time.Time           `json:"ended_at"`
	// ExpiresAt is the deadline.
	ExpiresAt *time.Time `json:"expires_at"`
	// Ahead estimates how many jobs of its model and class wait before this one,
	// and EstimatedStart when its turn should be; of a job that waits.
	Ahead          *int64         `json:"ahead"`
	EstimatedStart *time.Time     `json:"estimated_start"`
	Attempts       int            `json:"attempts"`
	Worker         *string        `json:"worker"`
	Usage          *schemas.Usage `json:"usage"`
	// Result is the whole answer of a job that is done, Error why there is none.
	Result json.RawMessage `json:"result"`
	Error  *openai.Error   `json:"error"`
}

// viewOf shows a state.
func viewOf(s queue.JobState) (jobView, error) {
	api := apiOf(s)
	v := jobView{
		ID: s.JobID, Object: "job", Status: s.Status, Model: known(s.Model), Class: known(s.Class),
		Format: api.Format, OnDisconnect: api.OnDisconnect,
		CreatedAt: known(s.StoredAt), StartedAt: known(s.StartedAt), EndedAt: known(s.EndedAt),
		Attempts: s.Attempts, Worker: known(s.Worker), Usage: s.Usage,
	}
	if s.Deadline > 0 && !s.StoredAt.IsZero() {
		v.ExpiresAt = known(s.StoredAt.Add(s.Deadline))
	}
	if !s.Status.Ended() {
		return v, nil
	}
	answer, err := openai.Answer(s.Events, openai.StreamOptions{Model: s.Model, API: &api})
	if errors.As(err, &v.Error) {
		return v, nil
	}
	v.Result = answer
	return v, err
}

// known is nil for what is not known.
func known[T comparable](value T) *T {
	var none T
	if value == none {
		return nil
	}
	return &value
}

// apiOf is the dialect in which a job is answered. One that came without a gateway
// is answered as a chat, and never cancelled because its reader leaves.
func apiOf(s queue.JobState) schemas.API {
	if s.API == nil {
		return schemas.API{Format: schemas.FormatOpenAIChat, OnDisconnect: schemas.DisconnectKeep}
	}
	api := *s.API
	if api.OnDisconnect == "" {
		api.OnDisconnect = schemas.DisconnectCancel
	}
	return api
}

// getJob answers GET /v1/jobs/{id}.
func (g *Gateway) getJob(w http.ResponseWriter, r *http.Request) {
	state, f := g.jobOf(r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	g.showJob(w, r, state)
}

// deleteJob answers DELETE /v1/jobs/{id}: the job is ended, if it has not ended,
// and stays to be read until its log is forgotten.
func (g *Gateway) deleteJob(w http.ResponseWriter, r *http.Request) {
	state, f := g.jobOf(r)
	if f != nil {
		refuse(w, r, f)
		return
	}
	if !state.Status.Ended() {
		// Also for a client that does not wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), g.config.QueueTimeout)
		defer cancel()
		if err := g.queue.Cancel(ctx, state.Owner, state.JobID, reasonRequested); err != nil {
			refuse(w, r, queueFailure(err))
			return
		}
		g.metrics.cancellations.WithLabelValues(causeDeleted).Inc()
		if state, f = g.stateOf(ctx, state.Owner, state.JobID); f != nil {
			refuse(w, r, f)
			return
		}
	}
	g.showJob(w, r, state)
}

func (g *Gateway) showJob(w http.ResponseWriter, r *http.Request, state queue.JobState) {
	view, err := viewOf(state)
	if err != nil {
		refuse(w, r, &failure{code: schemas.CodeInternal, message: "The answer could not be put together.", cause: err})
		return
	}
	if state.Status == queue.StatusQueued && !state.StoredAt.IsZero() && state.Model != "" {
		ahead, wait, err := g.queue.Position(r.Context(), state.Model, state.Class, state.StoredAt)
		if err != nil {
			refuse(w, r, queueFailure(err))
			return
		}
		view.Ahead = &ahead
		if wait > 0 {
			view.EstimatedStart = known(time.Now().Add(wait).UTC().Truncate(time.Second))
		}
	}
	writeJSON(w, r, http.StatusOK, mustJSON(view))
}
