package engine

import "time"

// Phase is where a tracked request is in its life.
type Phase string

// The phases of a tracked request.
const (
	// PhaseWaiting: it holds no cells: not admitted yet, or preempted.
	PhaseWaiting Phase = "waiting"
	// PhasePrefill: its prompt is being read.
	PhasePrefill Phase = "prefill"
	// PhaseReplay: what it had generated before is being read again.
	PhaseReplay Phase = "replay"
	// PhaseDecode: it generates.
	PhaseDecode Phase = "decode"
	// PhaseBlocked: it sits out because its output is not being read.
	PhaseBlocked Phase = "blocked"
)

// Room is what an engine has free at a moment, for a class of requests.
type Room struct {
	// Sequences is how many more requests would find a place at once.
	Sequences int
	// Cells is how many KV cells are neither in use nor promised to the prompts
	// of tracked requests.
	Cells int
	// Waiting is how many requests are tracked but hold no cells; of those that
	// are no worse in class.
	Waiting int
}

// RequestState describes one tracked request.
type RequestState struct {
	ID    string
	Class int
	Phase Phase
	// Prompt and Generated are token counts; Generated includes
	// Request.Emitted. Resident is how many of them are in the KV cache.
	Prompt, Generated, Resident int
	// Cached is how many prompt tokens were not computed for it.
	Cached int
	// KeptBytes is the size of its state in RAM while it is preempted; 0 where it
	// will be computed again.
	KeptBytes int64
	// Age is the time since Submit.
	Age time.Duration
	// Preemptions is how often it lost its cells to others.
	Preemptions int
}

// Snapshot is the engine's state at a moment.
type Snapshot struct {
	// Requests are all tracked requests in the order of their arrival.
	Requests []RequestState
	// Cells is how many KV cells the engine may use, CellsUsed the backend's own
	// count of those in use after the last step. Sequences that have not ended hold
	// all of them: none is kept for those that may come.
	Cells, CellsUsed int
	// BlocksUsed are the blocks of up to 256 cells that have any in use,
	// BlocksFree how many more would fit.
	BlocksUsed, BlocksFree int
	// KeptBytes is the size of all preempted sequences' states in RAM.
	KeptBytes int64
	Draining  bool
	// Steps counts the steps made so far, Rows their rows, PrefillRows those of
	// prompts, Preemptions the times a sequence lost its cells to others.
	Steps, Rows, PrefillRows, Preemptions int64
}
