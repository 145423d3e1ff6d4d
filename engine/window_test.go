package engine_test

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

// batches is what semantic_batch_size has counted: steps, and the sequences in
// them.
func batches(t *testing.T, registry *prometheus.Registry) (steps uint64, sequences float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "semantic_batch_size" {
			h := family.GetMetric()[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	return 0, 0
}

// Three that come within the window are in every step together; without one the
// first has begun alone.
func TestTheBatchWindowFillsBatches(t *testing.T) {
	for name, change := range map[string]func(e *engine.Engine, c *engine.Config){
		"until it is over": func(_ *engine.Engine, c *engine.Config) { c.BatchWindow = time.Hour },
		"set while it runs": func(e *engine.Engine, _ *engine.Config) {
			if e != nil {
				e.SetBatchWindow(time.Hour)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			c := engine.DefaultConfig()
			change(nil, &c)
			e, err := engine.New(engine.Options{Backend: simulate(t, sim.Options{}), Registerer: registry, Config: c})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}()
			change(e, &c)
			var sequences []*engine.Sequence
			for i := range 3 {
				sequences = append(sequences, submit(t, e, engine.Request{ID: strconv.Itoa(i), Prompt: ask(t, e, strconv.Itoa(i), 9), MaxTokens: 8}))
			}
			if n := e.Snapshot().Steps; n != 0 {
				t.Fatalf("%d steps within the window", n)
			}
			e.SetBatchWindow(0)
			for _, s := range sequences {
				mustCollect(t, s)
			}
			if steps, sum := batches(t, registry); sum != 3*float64(steps) {
				t.Errorf("%v sequences in %d steps, want 3 in each", sum, steps)
			}
		})
	}
}

// Nobody is waited for when there is no place for more, nor while draining.
func TestTheBatchWindowEndsEarly(t *testing.T) {
	c := engine.DefaultConfig()
	c.BatchWindow = time.Hour
	e := start(t, simulate(t, sim.Options{Sequences: 2}), c)
	a := submit(t, e, engine.Request{ID: "a", Prompt: ask(t, e, "a", 5)})
	b := submit(t, e, engine.Request{ID: "b", Prompt: ask(t, e, "b", 5)})
	mustCollect(t, a)
	mustCollect(t, b)

	last := submit(t, e, engine.Request{ID: "last", Prompt: ask(t, e, "last", 5)})
	var drain sync.WaitGroup
	drain.Go(func() { e.Drain(t.Context(), time.Hour) })
	mustCollect(t, last)
	drain.Wait()

	e = start(t, simulate(t, sim.Options{}), config(func(c *engine.Config) { c.BatchWindow = time.Millisecond }))
	mustCollect(t, submit(t, e, engine.Request{ID: "alone", Prompt: ask(t, e, "alone", 5)}))
}

// A follower begins with what its leader has read, also when the leader's very
// first token is its last.
func TestFollowersOfAShortAnswer(t *testing.T) {
	c := engine.DefaultConfig()
	c.BatchWindow = time.Hour
	e := start(t, simulate(t, sim.Options{}), c)
	prompt := tokenize(t, e, "a prompt that is asked by many, over and over again, and answered with a word")
	var sequences []*engine.Sequence
	for i := range 8 {
		sequences = append(sequences, submit(t, e, engine.Request{ID: strconv.Itoa(i), Prompt: prompt, MaxTokens: 1}))
	}
	e.SetBatchWindow(0)
	cached := 0
	for _, s := range sequences {
		cached += mustCollect(t, s).last.Usage.Cached
	}
	if want := 7 * (len(prompt) - 1); cached != want {
		t.Errorf("%d cached tokens, want %d", cached, want)
	}
	if rows := e.Snapshot().PrefillRows; rows != int64(len(prompt)+7) {
		t.Errorf("%d prompt rows, want %d", rows, len(prompt)+7)
	}
}

// One that nobody reads is preempted for another, and cancelled while it is.
func TestCancelWhilePreempted(t *testing.T) {
	e := start(t, simulate(t, sim.Options{Context: 200, Cells: 200}), config(func(c *engine.Config) {
		c.BufferTokens = 1
	}))
	first := submit(t, e, engine.Request{ID: "first", Prompt: ask(t, e, "first", 1000)})
	<-first.Started()
	mustCollect(t, submit(t, e, engine.Request{ID: "second", Prompt: ask(t, e, "second", 1000)}))
	r := e.Snapshot().Requests[0]
	if r.Preemptions != 1 || r.Phase != engine.PhaseWaiting || r.KeptBytes == 0 || r.Resident != 0 {
		t.Errorf("it was not preempted, or its state not kept: %+v", r)
	}
	if !e.Cancel("first") || e.Cancel("third") {
		t.Error("there is a first and no third")
	}
	if _, err := collect(t.Context(), first); !errors.Is(err, engine.ErrCancelled) {
		t.Errorf("got %v, want ErrCancelled", err)
	}
	if s := e.Snapshot(); s.KeptBytes != 0 || len(s.Requests) != 0 || s.CellsUsed != 0 {
		t.Errorf("something was left: %+v", s)
	}
}
