package schemas

import "time"

// WorkerVersion is the newest version of a [WorkerStatus]. Version 2 has paused and
// metrics_addr; a release before it reads such an entry as far as it knows it.
const WorkerVersion = 2

// WorkerStatus is a worker's entry in the registry. It is written by the
// worker alone, refreshed well within the registry's TTL, and gone when the
// worker is.
type WorkerStatus struct {
	Version int `json:"v"`
	// ID is kept in the worker's data directory over restarts.
	ID string `json:"id" jsonschema:"minLength=1"`
	// Incarnation is drawn anew at each start of the process.
	Incarnation string `json:"incarnation" jsonschema:"minLength=1"`
	Host        string `json:"host"`
	// Release is the version of the semantic binary.
	Release string `json:"release"`
	// Model is the plain name that jobs ask for.
	Model string `json:"model" jsonschema:"minLength=1,maxLength=200"`
	// Fingerprint identifies weights, runtime and template.
	Fingerprint string `json:"fingerprint" jsonschema:"minLength=1"`
	// Backend is "metal", "cpu" or "sim".
	Backend string `json:"backend" jsonschema:"minLength=1"`
	// Architecture and Quantisation are read from the model file.
	Architecture string `json:"architecture,omitempty"`
	Quantisation string `json:"quantisation,omitempty"`
	// Context is the longest sequence, prompt and output together, in tokens.
	Context int `json:"context" jsonschema:"minimum=0"`
	// ContextTrained is the model's own limit, in tokens.
	ContextTrained int `json:"context_trained,omitempty" jsonschema:"minimum=0"`
	// ContextReason is the arithmetic that led to Context, for people.
	ContextReason string `json:"context_reason,omitempty"`
	// Cells is the size of the KV cache in tokens, shared by all sequences.
	Cells int `json:"cells" jsonschema:"minimum=0"`
	// CellsFree is how many of Cells no unfinished sequence holds.
	CellsFree int `json:"cells_free" jsonschema:"minimum=0"`
	// Capacity is how many sequences can run at once.
	Capacity int `json:"capacity" jsonschema:"minimum=0"`
	// Running is how many do.
	Running int `json:"running" jsonschema:"minimum=0"`
	// Draining is set when the worker takes no new jobs.
	Draining bool `json:"draining"`
	// Paused is set when it is Draining because an operator told it to wait: it
	// takes jobs again when it is told so.
	Paused bool `json:"paused,omitempty"`
	// MetricsAddr is the HOST:PORT at which others find the worker's metrics; empty
	// where it serves none, or to its own machine's supervisor only.
	MetricsAddr string    `json:"metrics_addr,omitempty"`
	StartedAt   time.Time `json:"started_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}
