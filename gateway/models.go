package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/semantic-worker/semantic/schemas/openai"
)

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
	writeJSON(w, r, http.StatusOK, mustJSON(openai.NewModelList(names, workers)))
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
	writeJSON(w, r, http.StatusOK, mustJSON(openai.NewModel(name, workers)))
}
