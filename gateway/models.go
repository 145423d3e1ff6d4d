package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// The states of a model.
const (
	// modelReady: at least one worker takes jobs for it.
	modelReady = "ready"
	// modelDraining: its workers only finish what they have.
	modelDraining = "draining"
	// modelAbsent: it has no worker; jobs for it wait.
	modelAbsent = "absent"
)

// modelObject is an entry of OpenAI's model list. What is not OpenAI's is
// under "semantic", except max_model_len, which clients of other local servers
// look for.
type modelObject struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"`
	OwnedBy     string       `json:"owned_by"`
	MaxModelLen int          `json:"max_model_len,omitempty"`
	Semantic    modelDetails `json:"semantic"`
}

type modelDetails struct {
	State          string `json:"state"`
	Workers        int    `json:"workers"`
	Capacity       int    `json:"capacity"`
	Running        int    `json:"running"`
	Context        int    `json:"context,omitempty"`
	ContextTrained int    `json:"context_trained,omitempty"`
	ContextReason  string `json:"context_reason,omitempty"`
	Backend        string `json:"backend,omitempty"`
	Architecture   string `json:"architecture,omitempty"`
	Quantisation   string `json:"quantisation,omitempty"`
	Fingerprint    string `json:"fingerprint,omitempty"`
}

type modelList struct {
	Object string        `json:"object"`
	Data   []modelObject `json:"data"`
}

// listModels answers GET /v1/models: every known model, with or without worker.
func (g *Gateway) listModels(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), g.config.QueueTimeout)
	defer cancel()
	names, err := g.models.list(ctx)
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	workers, err := g.queue.Workers(ctx)
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	list := modelList{Object: "list", Data: make([]modelObject, 0, len(names))}
	for _, name := range names {
		list.Data = append(list.Data, describeModel(name, workers))
	}
	writeJSON(w, r, http.StatusOK, mustJSON(list))
}

// getModel answers GET /v1/models/{id}. An alias answers as the model it
// stands for. Ids may contain slashes.
func (g *Gateway) getModel(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), g.config.QueueTimeout)
	defer cancel()
	requested := r.PathValue("id")
	name, known, err := g.models.resolve(ctx, requested)
	if errors.Is(err, errUnknownModel) {
		refuse(w, r, g.models.notFound(requested, known))
		return
	}
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	workers, err := g.queue.Workers(ctx)
	if err != nil {
		refuse(w, r, queueFailure(err))
		return
	}
	writeJSON(w, r, http.StatusOK, mustJSON(describeModel(name, workers)))
}

// describeModel sums up the workers of one model. Live workers of one name
// have one fingerprint; where their contexts differ, the largest counts.
func describeModel(name string, workers []schemas.WorkerStatus) modelObject {
	m := modelObject{ID: name, Object: "model", OwnedBy: "semantic", Semantic: modelDetails{State: modelAbsent}}
	var oldest time.Time
	d := &m.Semantic
	for _, w := range workers {
		if w.Model != name {
			continue
		}
		d.Workers++
		d.Running += w.Running
		if !w.Draining {
			d.State = modelReady
			d.Capacity += w.Capacity
		} else if d.State == modelAbsent {
			d.State = modelDraining
		}
		if w.Context > d.Context {
			d.Context, d.ContextTrained, d.ContextReason = w.Context, w.ContextTrained, w.ContextReason
			d.Backend, d.Architecture, d.Quantisation = w.Backend, w.Architecture, w.Quantisation
			d.Fingerprint = w.Fingerprint
		}
		if oldest.IsZero() || w.StartedAt.Before(oldest) {
			oldest = w.StartedAt
		}
	}
	m.MaxModelLen = d.Context
	if !oldest.IsZero() {
		m.Created = oldest.Unix()
	}
	return m
}
