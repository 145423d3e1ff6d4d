package schemas

import "time"

// WorkerStatus is a worker's entry in the registry. It is written by the
// worker alone, refreshed well within the registry's TTL, and gone when the
// worker is.
type WorkerStatus struct {
	Version int `json:"v"`
	// ID is kept in the worker's data directory over restarts.
	ID string `json:"id"`
	// Incarnation is drawn anew at each start of the process.
	Incarnation string `json:"incarnation"`
	Host        string `json:"host"`
	// Release is the version of the semantic binary.
	Release string `json:"release"`
	// Model is the plain name that jobs ask for.
	Model string `json:"model"`
	// Fingerprint identifies weights, runtime and template.
	Fingerprint string `json:"fingerprint"`
	// Backend is "metal", "cpu" or "sim".
	Backend string `json:"backend"`
	// Architecture and Quantisation are read from the model file.
	Architecture string `json:"architecture,omitempty"`
	Quantisation string `json:"quantisation,omitempty"`
	// Context is the longest sequence, prompt and output together, in tokens.
	Context int `json:"context"`
	// ContextTrained is the model's own limit, in tokens.
	ContextTrained int `json:"context_trained,omitempty"`
	// ContextReason is the arithmetic that led to Context, for people.
	ContextReason string `json:"context_reason,omitempty"`
	// Cells is the size of the KV cache in tokens, shared by all sequences.
	Cells int `json:"cells"`
	// CellsFree is how many of Cells hold nothing.
	CellsFree int `json:"cells_free"`
	// Capacity is how many sequences can run at once.
	Capacity int `json:"capacity"`
	// Running is how many do.
	Running int `json:"running"`
	// Draining is set when the worker takes no new jobs.
	Draining  bool      `json:"draining"`
	StartedAt time.Time `json:"started_at"`
	UpdatedAt time.Time `json:"updated_at"`
}
