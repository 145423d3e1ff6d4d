package engine

import (
	"math"
	"time"
)

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

// Room returns what is free. A Submit is seen by the very next call.
func (e *Engine) Room() Room { return e.RoomFor(math.MaxInt) }

// RoomFor is Room for a request of a class: what sequences of worse classes hold
// is free, unless they were overtaken so often that they keep it. Cells that they
// share count as if they did not.
func (e *Engine) RoomFor(class int) Room {
	e.mu.Lock()
	defer e.mu.Unlock()
	room := Room{Sequences: e.limits.Sequences, Cells: e.limits.Cells - e.totals.CellsUsed}
	for _, s := range e.tracked {
		if s.state.Class > class && !s.firm {
			room.Cells += s.state.Resident
			continue
		}
		room.Sequences--
		room.Cells -= s.claim
		if s.state.Phase == PhaseWaiting {
			room.Waiting++
		}
	}
	room.Sequences, room.Cells = max(room.Sequences, 0), min(max(room.Cells, 0), e.limits.Cells)
	return room
}

// Snapshot returns every tracked request and the state of the cells, as of the
// end of the last step.
func (e *Engine) Snapshot() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	snapshot := e.totals
	snapshot.Draining = e.draining
	snapshot.Requests = make([]RequestState, len(e.tracked))
	for i, s := range e.tracked {
		snapshot.Requests[i] = s.state
		snapshot.Requests[i].Age = time.Since(s.times.Submitted)
	}
	return snapshot
}

// BatchWindow is Config.BatchWindow as it was last set.
func (e *Engine) BatchWindow() time.Duration { return e.window() }
