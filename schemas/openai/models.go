package openai

import (
	"cmp"
	"slices"

	"github.com/semantic-worker/semantic/schemas"
)

// ModelList is the answer to GET /v1/models.
type ModelList struct {
	Object string  `json:"object"`
	Data   []Model `json:"data"`
}

// Model is the answer to GET /v1/models/{id}.
type Model struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	// MaxModelLen is the longest context that a live worker has, in tokens,
	// under the name that vLLM's clients look for.
	MaxModelLen int `json:"max_model_len,omitempty"`
	// Semantic is an extension.
	Semantic ModelDetails `json:"semantic"`
}

// ModelDetails says who serves a model, and how.
type ModelDetails struct {
	// Status is "ready" if a worker takes jobs for the model now, "draining" if
	// the only ones left are stopping, "waiting" if there is none: jobs wait.
	Status string `json:"status"`
	// Workers are the live workers, by id.
	Workers []ModelWorker `json:"workers"`
}

// The statuses of a model.
const (
	StatusReady    = "ready"
	StatusDraining = "draining"
	StatusWaiting  = "waiting"
)

// ModelWorker is one worker of a model.
type ModelWorker struct {
	ID           string `json:"id"`
	Host         string `json:"host"`
	Backend      string `json:"backend"`
	Architecture string `json:"architecture,omitempty"`
	Quantisation string `json:"quantisation,omitempty"`
	Fingerprint  string `json:"fingerprint"`
	// Context is the longest sequence in tokens, ContextTrained the model's own
	// limit, ContextReason the arithmetic between them.
	Context        int    `json:"context"`
	ContextTrained int    `json:"context_trained,omitempty"`
	ContextReason  string `json:"context_reason,omitempty"`
	Capacity       int    `json:"capacity"`
	Running        int    `json:"running"`
	Draining       bool   `json:"draining"`
}

// NewModelList lists the named models, and every model that a worker has, by
// name. Workers may be of any model.
func NewModelList(names []string, workers []schemas.WorkerStatus) ModelList {
	names = slices.Clone(names)
	for _, w := range workers {
		names = append(names, w.Model)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	list := ModelList{Object: ObjectList, Data: make([]Model, 0, len(names))}
	for _, name := range names {
		list.Data = append(list.Data, NewModel(name, workers))
	}
	return list
}

// NewModel describes one model by its live workers; workers of other models
// are left out.
func NewModel(name string, workers []schemas.WorkerStatus) Model {
	m := Model{
		ID: name, Object: ObjectModel, OwnedBy: "semantic",
		Semantic: ModelDetails{Status: StatusWaiting, Workers: []ModelWorker{}},
	}
	for _, w := range workers {
		if w.Model != name {
			continue
		}
		if started := w.StartedAt.Unix(); m.Created == 0 || started < m.Created {
			m.Created = started
		}
		m.MaxModelLen = max(m.MaxModelLen, w.Context)
		switch {
		case !w.Draining:
			m.Semantic.Status = StatusReady
		case m.Semantic.Status == StatusWaiting:
			m.Semantic.Status = StatusDraining
		}
		m.Semantic.Workers = append(m.Semantic.Workers, ModelWorker{
			ID: w.ID, Host: w.Host, Backend: w.Backend, Architecture: w.Architecture, Quantisation: w.Quantisation,
			Fingerprint: w.Fingerprint, Context: w.Context, ContextTrained: w.ContextTrained, ContextReason: w.ContextReason,
			Capacity: w.Capacity, Running: w.Running, Draining: w.Draining,
		})
	}
	slices.SortFunc(m.Semantic.Workers, func(a, b ModelWorker) int { return cmp.Compare(a.ID, b.ID) })
	return m
}
