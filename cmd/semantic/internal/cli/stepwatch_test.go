package cli

import (
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

// Only an engine that has work and makes no step counts as hung.
func TestStepWatch(t *testing.T) {
	requests := func(phases ...engine.Phase) (r []engine.RequestState) {
		for _, p := range phases {
			r = append(r, engine.RequestState{Phase: p})
		}
		return r
	}
	var w stepWatch
	for _, c := range []struct {
		name     string
		steps    int64
		requests []engine.RequestState
		want     int
	}{
		{"nothing to do", 0, nil, 0},
		{"reads a prompt", 0, requests(engine.PhasePrefill), 1},
		{"still", 0, requests(engine.PhasePrefill, engine.PhaseWaiting), 2},
		{"made a step", 1, requests(engine.PhaseDecode), 0},
		{"no other", 1, requests(engine.PhaseDecode, engine.PhaseBlocked), 1},
		{"replays", 1, requests(engine.PhaseReplay), 2},
		{"admits nobody", 1, requests(engine.PhaseWaiting), 3},
		{"waits for its readers", 1, requests(engine.PhaseBlocked, engine.PhaseWaiting), 0},
		{"again", 1, requests(engine.PhaseDecode), 1},
		{"is idle", 1, nil, 0},
	} {
		if got := w.look(engine.Snapshot{Steps: c.steps, Requests: c.requests}); got != c.want {
			t.Errorf("%s: %d looks without a step, want %d", c.name, got, c.want)
		}
	}
}
