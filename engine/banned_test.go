package engine_test

import (
	"errors"
	"math"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/grammar"
	"github.com/semantic-worker/semantic/engine/sim"
)

// Whoever bans every token ends alone; a backend whose logits are no numbers is
// another matter.
func TestNoTokenIsLeft(t *testing.T) {
	s := &spy{Backend: simulate(t, sim.Options{})}
	e := start(t, s, engine.Config{})
	var all []engine.Bias
	for token := range engine.Token(e.Vocabulary().Size()) {
		all = append(all, engine.Bias{Token: token, Logit: float32(math.Inf(-1))})
	}
	bound, err := grammar.Parse(`root ::= "yes"`)
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]*grammar.Grammar{"free": nil, "bound": bound} {
		_, err := collect(t.Context(), submit(t, e, engine.Request{
			ID: name, Prompt: ask(t, e, name, 5), Sampling: engine.Sampling{Bias: all}, Grammar: g,
		}))
		if !errors.Is(err, engine.ErrBanned) || errors.Is(err, engine.ErrBackend) || errors.Is(err, engine.ErrDeadEnd) {
			t.Errorf("%s: got %v, want ErrBanned", name, err)
		}
	}
	mustCollect(t, submit(t, e, engine.Request{ID: "b", Prompt: ask(t, e, "b", 5)}))

	s.row = func(row []float32) {
		for i := range row {
			row[i] = float32(math.NaN())
		}
	}
	_, err = collect(t.Context(), submit(t, e, engine.Request{ID: "c", Prompt: ask(t, e, "c", 5)}))
	if !errors.Is(err, engine.ErrBackend) {
		t.Errorf("got %v, want ErrBackend", err)
	}
}
