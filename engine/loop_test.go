package engine_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

// gate is a clock on which a step takes until the test lets it end.
type gate struct {
	entered chan struct{}
	release chan struct{}
}

func newGate() gate { return gate{make(chan struct{}), make(chan struct{})} }

func (g gate) Sleep(_ time.Duration, interrupted <-chan struct{}) bool {
	select {
	case g.entered <- struct{}{}:
	case <-interrupted:
		return false
	}
	select {
	case <-g.release:
		return true
	case <-interrupted:
		return false
	}
}

// open lets all steps pass until the returned function is called.
func (g gate) open() (closeGate func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-g.entered:
			case g.release <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}

// spy is a simulated backend whose calls a test sees, and may make fail.
type spy struct {
	*sim.Backend

	step   func(rows []engine.Row) error
	logits func(row int) error
	row    func(row []float32) // changes a row of logits
	remove func(seq engine.SeqID) error
	closed error
}

func (s *spy) Step(rows []engine.Row) error {
	if s.step != nil {
		if err := s.step(rows); err != nil {
			return err
		}
	}
	return s.Backend.Step(rows)
}

func (s *spy) Logits(row int) ([]float32, error) {
	if s.logits != nil {
		if err := s.logits(row); err != nil {
			return nil, err
		}
	}
	logits, err := s.Backend.Logits(row)
	if s.row != nil && err == nil {
		s.row(logits)
	}
	return logits, err
}

func (s *spy) Remove(seq engine.SeqID, from int32) error {
	if s.remove != nil {
		if err := s.remove(seq); err != nil {
			return err
		}
	}
	return s.Backend.Remove(seq, from)
}

func (s *spy) Close() error { return errors.Join(s.Backend.Close(), s.closed) }

func config(change func(*engine.Config)) engine.Config {
	c := engine.DefaultConfig()
	change(&c)
	return c
}

// ask is a prompt of some 20 tokens; words is the length of its answer.
func ask(t testing.TB, e *engine.Engine, name string, words int) []engine.Token {
	t.Helper()
	return tokenize(t, e, fmt.Sprintf("<|im_start|>%s words=%d<|im_end|>", name, words))
}

func TestCancelInterruptsALongStepAndTheOthersGoOn(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{DecodeStep: time.Second, Clock: g}), engine.Config{})
	long := submit(t, e, engine.Request{ID: "long", Prompt: tokenize(t, e, strings.Repeat("x", 3000))})
	other := submit(t, e, engine.Request{ID: "other", Prompt: ask(t, e, "other", 8)})
	for range 3 {
		<-g.entered
		g.release <- struct{}{}
	}
	<-g.entered
	if state := e.Snapshot().Requests[0]; state.Phase != engine.PhasePrefill || state.Resident == 0 {
		t.Fatalf("not in the middle of the prompt: %+v", state)
	}
	long.Cancel() // the step ends without being released
	defer g.open()()
	if _, err := collect(t.Context(), long); !errors.Is(err, engine.ErrCancelled) {
		t.Errorf("got %v, want ErrCancelled", err)
	}
	if got, want := mustCollect(t, other).text, sim.Text(ask(t, e, "other", 8), 8); got != want {
		t.Errorf("the other said %q, want %q", got, want)
	}
	if used := e.Snapshot().CellsUsed; used != 0 {
		t.Errorf("%d cells are in use", used)
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	e := start(t, simulate(t, sim.Options{Sequences: 1}), config(func(c *engine.Config) { c.BufferTokens = 1 }))
	first := submit(t, e, engine.Request{ID: "first", Prompt: ask(t, e, "first", 5)})
	<-first.Started()
	second := submit(t, e, engine.Request{ID: "second", Prompt: ask(t, e, "second", 5)})
	second.Cancel()
	if _, err := collect(t.Context(), second); !errors.Is(err, engine.ErrCancelled) {
		t.Errorf("got %v, want ErrCancelled", err)
	}
	<-second.Started()
	mustCollect(t, first)
}

func TestAnUnreadSequenceSitsOut(t *testing.T) {
	for name, change := range map[string]func(*engine.Config){
		"tokens": func(c *engine.Config) { c.BufferTokens = 3 },
		"bytes":  func(c *engine.Config) { c.BufferBytes = 10 },
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, simulate(t, sim.Options{}), config(change))
			unread := submit(t, e, engine.Request{ID: "unread", Prompt: ask(t, e, "unread", 50)})
			<-unread.Started()
			mustCollect(t, submit(t, e, engine.Request{ID: "other", Prompt: ask(t, e, "other", 200)}))
			state := e.Snapshot().Requests[0]
			if state.Phase != engine.PhaseBlocked || state.Generated > 10 {
				t.Errorf("it did not sit out: %+v", state)
			}
			if got, want := mustCollect(t, unread).text, sim.Text(ask(t, e, "unread", 50), 50); got != want {
				t.Errorf("then it said %q, want %q", got, want)
			}
		})
	}
}

func TestASlowConsumerFails(t *testing.T) {
	e := start(t, simulate(t, sim.Options{}), config(func(c *engine.Config) {
		c.BufferTokens, c.SlowConsumerTimeout = 3, time.Millisecond
	}))
	s := submit(t, e, engine.Request{ID: "slow", Prompt: ask(t, e, "slow", 50)})
	<-e.RoomChanged()
	got, err := collect(t.Context(), s)
	if !errors.Is(err, engine.ErrSlowConsumer) || len(got.tokens) != 3 {
		t.Errorf("%d tokens and %v, want 3 and ErrSlowConsumer", len(got.tokens), err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, engine.ErrSlowConsumer) {
		t.Errorf("again: %v", err)
	}
}

func TestNextLosesNothingWhenItsContextEnds(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{DecodeStep: time.Second, Clock: g}), engine.Config{})
	s := submit(t, e, engine.Request{ID: "a", Prompt: ask(t, e, "a", 5)})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := s.Next(ctx); !errors.Is(err, gone) {
		t.Errorf("got %v, want the context's cause", err)
	}
	if _, err := e.Submit(ctx, engine.Request{ID: "b", Prompt: ask(t, e, "b", 5)}); !errors.Is(err, gone) {
		t.Errorf("submit: %v, want the context's cause", err)
	}
	defer g.open()()
	if got, want := mustCollect(t, s).text, sim.Text(ask(t, e, "a", 5), 5); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	once := func(at int, err error) func([]engine.Row) error {
		n := 0
		return func([]engine.Row) error {
			if n++; n == at {
				return err
			}
			return nil
		}
	}
	for _, c := range []struct {
		name   string
		spy    spy
		want   error
		broken bool
	}{
		{"the backend fails", spy{step: once(5, fmt.Errorf("%w: boom", engine.ErrBackend))}, engine.ErrBackend, true},
		{"an error of no kind", spy{step: once(5, boom)}, engine.ErrBackend, true},
		{"a step is refused once", spy{step: once(5, engine.ErrInvalid)}, nil, false},
		{"no room after all", spy{step: once(5, engine.ErrNoRoom)}, nil, false},
		{"an interrupt that nobody asked for", spy{step: once(5, engine.ErrInterrupted)}, nil, false},
		{"no logits", spy{logits: func(int) error { return boom }}, boom, false},
		{"cells that cannot be freed", spy{remove: func(engine.SeqID) error { return boom }}, engine.ErrBackend, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.spy.Backend = simulate(t, sim.Options{})
			e := start(t, &c.spy, config(func(c *engine.Config) { c.BatchWindow = time.Hour }))
			a := submit(t, e, engine.Request{ID: "a", Prompt: ask(t, e, "a", 20)})
			b := submit(t, e, engine.Request{ID: "b", Prompt: ask(t, e, "b", 300)})
			e.SetBatchWindow(0) // both are there
			for name, s := range map[string]*engine.Sequence{"a": a, "b": b} {
				got, err := collect(t.Context(), s)
				// Where cells cannot be freed one of them ends before that is known.
				mayEnd := c.spy.remove != nil && name == "a"
				if !errors.Is(err, c.want) && !mayEnd {
					t.Errorf("%s: got %v, want %v", name, err, c.want)
				}
				words := map[string]int{"a": 20, "b": 300}[name]
				if want := sim.Text(ask(t, e, name, words), words); err == nil && got.text != want {
					t.Errorf("%s said %q, want %q", name, got.text, want)
				}
			}
			if !c.broken {
				c.spy.logits = nil
				mustCollect(t, submit(t, e, engine.Request{ID: "next", Prompt: ask(t, e, "next", 5)}))
				return
			}
			<-e.Failed()
			if _, err := e.Submit(t.Context(), engine.Request{ID: "c", Prompt: ask(t, e, "c", 5)}); !errors.Is(err, engine.ErrBackend) {
				t.Errorf("submit afterwards: %v, want ErrBackend", err)
			}
		})
	}
}

// The one whose rows a backend does not accept ends, and nobody else.
func TestTheCulpritEndsAlone(t *testing.T) {
	const poison = 'Z'
	s := &spy{Backend: simulate(t, sim.Options{}), step: func(rows []engine.Row) error {
		if slices.ContainsFunc(rows, func(r engine.Row) bool { return r.Token == poison }) {
			return fmt.Errorf("%w: poison", engine.ErrInvalid)
		}
		return nil
	}}
	e := start(t, s, config(func(c *engine.Config) { c.BatchWindow = time.Hour }))
	var others []*engine.Sequence
	for i := range 3 {
		name := strconv.Itoa(i)
		others = append(others, submit(t, e, engine.Request{ID: name, Prompt: ask(t, e, name, 20)}))
	}
	culprit := submit(t, e, engine.Request{ID: "culprit", Prompt: tokenize(t, e, "aZ")})
	e.SetBatchWindow(0)
	if _, err := collect(t.Context(), culprit); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("the culprit: %v, want ErrInvalid", err)
	}
	for i, other := range others {
		if got, want := mustCollect(t, other).text, sim.Text(ask(t, e, strconv.Itoa(i), 20), 20); got != want {
			t.Errorf("%d said %q, want %q", i, got, want)
		}
	}
	if used := e.Snapshot().CellsUsed; used != 0 {
		t.Errorf("%d cells are in use", used)
	}
}

func TestStepsAreAsConfigured(t *testing.T) {
	var mu sync.Mutex
	var steps [][]engine.Row
	s := &spy{Backend: simulate(t, sim.Options{}), step: func(rows []engine.Row) error {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, slices.Clone(rows))
		return nil
	}}
	e := start(t, s, config(func(c *engine.Config) {
		c.StepRows, c.PrefillChunk = 200, 128
		c.BufferTokens, c.BufferBytes = 10_000, 1<<20
	}))
	prompt := func(name string) []engine.Token { return tokenize(t, e, strings.Repeat(name, 300)+"words=9000") }
	mustCollect(t, submit(t, e, engine.Request{ID: "x", Prompt: prompt("x"), MaxTokens: 3}))
	var sizes []int
	for _, rows := range steps {
		sizes = append(sizes, len(rows))
	}
	if want := []int{128, 128, 51, 1, 1}; !slices.Equal(sizes, want) {
		t.Errorf("alone: steps of %v rows, want %v", sizes, want)
	}
}

// Where a step with decode rows and prompt rows is dearer than two, they are
// apart; a small one has both.
func TestDecodeRowsAreApart(t *testing.T) {
	var mu sync.Mutex
	var mixed, prompts, together int
	// A step takes so long that what runs does not end while somebody is held up.
	simulated := simulate(t, sim.Options{Apart: 64, Context: 1 << 20, DecodeStep: 50 * time.Microsecond})
	s := &spy{Backend: simulated, step: func(rows []engine.Row) error {
		mu.Lock()
		defer mu.Unlock()
		both := rows[0].Seq != rows[len(rows)-1].Seq
		switch {
		case both && len(rows) >= 64:
			mixed++
		case len(rows) >= 64:
			prompts++
		case both && len(rows) > 2:
			together++
		}
		return nil
	}}
	e := start(t, s, config(func(c *engine.Config) { c.BufferTokens, c.BufferBytes = 1<<20, 1<<30 }))
	running := submit(t, e, engine.Request{ID: "running", Prompt: ask(t, e, "running", 500_000)})
	<-running.Started()
	long := tokenize(t, e, strings.Repeat("x", 640)+"words=3")
	for id, prompt := range map[string][]engine.Token{"long": long, "short": ask(t, e, "short", 3)} {
		got := mustCollect(t, submit(t, e, engine.Request{ID: id, Prompt: prompt}))
		if want := sim.Text(prompt, 3); got.text != want {
			t.Errorf("%s said %q, want %q", id, got.text, want)
		}
	}
	running.Cancel()
	if _, err := collect(t.Context(), running); !errors.Is(err, engine.ErrCancelled) {
		t.Errorf("%v: it ended before the others were there", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if mixed > 0 || prompts == 0 || together == 0 {
		t.Errorf("%d large steps with decode rows, %d without, %d small ones with both; want none, some, some", mixed, prompts, together)
	}
}

// Whatever the load, the room, the cuts and the cancels: every sequence says
// what it would have said alone.
func TestAnyLoadGivesTheSameText(t *testing.T) {
	type job struct {
		request engine.Request
		alone   result
	}
	rapid.Check(t, func(rt *rapid.T) {
		alone := start(t, simulate(t, sim.Options{}), engine.Config{})
		jobs := make([]job, rapid.IntRange(1, 8).Draw(rt, "jobs"))
		// What all or some of them begin with.
		system := strings.Repeat("You answer. ", rapid.SampledFrom([]int{0, 6, 30, 60}).Draw(rt, "system"))
		for i := range jobs {
			r := engine.Request{
				ID:     strconv.Itoa(i),
				Prompt: ask(t, alone, system+strings.Repeat("x", rapid.IntRange(1, 150).Draw(rt, "prompt")), rapid.IntRange(1, 60).Draw(rt, "words")),
				Class:  rapid.IntRange(0, 2).Draw(rt, "class"),
				Sampling: engine.Sampling{
					Temperature: rapid.SampledFrom([]float64{0, 0.7, 2}).Draw(rt, "temperature"),
					TopK:        rapid.SampledFrom([]int{0, 5}).Draw(rt, "top k"),
					TopP:        rapid.SampledFrom([]float64{0, 0.9}).Draw(rt, "top p"),
					Seed:        rapid.Int64().Draw(rt, "seed"),
				},
				MaxTokens: rapid.IntRange(1, 100).Draw(rt, "max tokens"),
				Stop:      rapid.SampledFrom([][]string{nil, {"river", " the"}, {"e ", "世界 "}}).Draw(rt, "stop"),
			}
			jobs[i] = job{r, mustCollect(t, submit(t, alone, r))}
		}
		prompts := 0
		for _, j := range jobs {
			prompts = max(prompts, len(j.request.Prompt)+j.request.MaxTokens)
		}
		apart := rapid.SampledFrom([]int{0, 2, 64}).Draw(rt, "apart")
		// At every call the pool's count is the backend's own.
		var tight *engine.Engine
		counted := &spy{Backend: simulate(t, sim.Options{
			Context: prompts, Cells: prompts + rapid.IntRange(0, 300).Draw(rt, "cells"),
			Batch:  rapid.SampledFrom([]int{8, 64, 512}).Draw(rt, "batch"),
			Apart:  apart,
			Memory: rapid.SampledFrom([]engine.MemoryKind{engine.MemoryCells, engine.MemoryWhole}).Draw(rt, "memory"),
		})}
		// Some steps fail as a device may let them.
		kinds := []error{nil, nil, nil, engine.ErrNoRoom, engine.ErrInterrupted, engine.ErrInvalid}
		faults := rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 20).Draw(rt, "faults")
		// Nothing is published in the midst of a step that is made in several.
		whole := apart == 0 && !slices.Contains(faults, engine.ErrInvalid)
		var miscounts atomic.Int64
		counted.step = func(rows []engine.Row) error {
			if len(faults) > 0 {
				fault := faults[0]
				faults = faults[1:]
				// A step of one sequence that is refused, or for which there is no
				// room, ends the sequence.
				alone := !slices.ContainsFunc(rows, func(r engine.Row) bool { return r.Seq != rows[0].Seq })
				if fault != nil && (!alone || errors.Is(fault, engine.ErrInterrupted)) {
					return fault
				}
			}
			if cells, blocks := engine.PoolUsed(tight); cells != counted.CellsUsed() || blocks*256 < cells {
				miscounts.Add(1)
			}
			// What is published as in use is what those hold that have not ended.
			state := tight.Snapshot()
			held, most := 0, 0
			for _, r := range state.Requests {
				held, most = held+r.Resident, max(most, r.Resident)
			}
			if whole && (state.CellsUsed != counted.CellsUsed() || state.CellsUsed > held || state.CellsUsed < most) {
				miscounts.Add(1)
			}
			return nil
		}
		tight = start(t, counted, config(func(c *engine.Config) {
			c.SpillBytes = rapid.SampledFrom([]int64{0, 5_000, 1 << 20}).Draw(rt, "spill")
			c.InterTokenBound = rapid.SampledFrom([]float64{1.1, 2, 100}).Draw(rt, "bound")
			c.BatchWindow = rapid.SampledFrom([]time.Duration{0, time.Millisecond}).Draw(rt, "window")
			c.BufferTokens = rapid.SampledFrom([]int{1, 1000}).Draw(rt, "buffer")
			c.AdmitReserve = rapid.IntRange(0, 16).Draw(rt, "reserve")
		}))
		var readers sync.WaitGroup
		errs := make([]error, len(jobs))
		for i, j := range jobs {
			cut := rapid.IntRange(0, len(j.alone.tokens)).Draw(rt, "cut")
			cancel := rapid.IntRange(0, 4).Draw(rt, "cancel") == 0
			readers.Go(func() { errs[i] = resume(t.Context(), tight, j.request, j.alone, cut, cancel) })
		}
		readers.Wait()
		if err := errors.Join(errs...); err != nil {
			rt.Fatal(err)
		}
		if n := miscounts.Load(); n > 0 {
			rt.Fatalf("the pool and the backend counted differently before %d steps", n)
		}
		snapshot := tight.Snapshot()
		used := snapshot.CellsUsed + snapshot.BlocksUsed + int(snapshot.KeptBytes)
		if room := tight.Room(); used != 0 || room.Cells != snapshot.Cells || room.Sequences != tight.Limits().Sequences {
			rt.Fatalf("not all is free: %+v %+v", snapshot, room)
		}
	})
}

// resume submits what is left of a request after a cut, and compares. If cancel
// is set it first submits and cancels it once more, and goes on from there.
func resume(ctx context.Context, e *engine.Engine, r engine.Request, alone result, cut int, cancel bool) error {
	shown, _ := engine.ReplayText(e.Vocabulary(), r.Stop, false, alone.tokens[:cut])
	r.Emitted = alone.tokens[:cut]
	got := result{text: shown, tokens: slices.Clone(r.Emitted)}
	if cancel {
		s, err := e.Submit(ctx, r)
		if err != nil {
			return err
		}
		chunk, err := s.Next(ctx)
		for ; err == nil && chunk.Finish == ""; chunk, err = s.Next(ctx) {
			got.text += chunk.Text
			got.tokens = append(got.tokens, chunk.Tokens...)
			s.Cancel()
		}
		if chunk.Finish != "" {
			return nil
		}
		if !errors.Is(err, engine.ErrCancelled) {
			return err
		}
		r.Emitted = got.tokens
	}
	s, err := e.Submit(ctx, r)
	if err != nil {
		return err
	}
	rest, err := collect(ctx, s)
	if err != nil {
		return err
	}
	got.text += rest.text
	got.tokens = append(slices.Clone(got.tokens), rest.tokens...)
	// What company it has to share with is another matter.
	rest.last.Usage.Cached = alone.last.Usage.Cached
	if got.text != alone.text || !slices.Equal(got.tokens, alone.tokens) || rest.last.Finish != alone.last.Finish ||
		rest.last.Usage != alone.last.Usage {
		return fmt.Errorf("%s cut at %d: %q %v %s %+v, alone %q %v %s %+v", r.ID, cut, got.text, got.tokens, rest.last.Finish, rest.last.Usage,
			alone.text, alone.tokens, alone.last.Finish, alone.last.Usage)
	}
	return nil
}

// One of the lowest class has its turn after 15 of better ones, however many
// of those there are.
func TestNoClassWaitsWithoutBound(t *testing.T) {
	const crowd = 40
	g := newGate()
	var order []engine.Token
	s := &spy{Backend: simulate(t, sim.Options{Sequences: 1, DecodeStep: time.Second, Clock: g}), step: func(rows []engine.Row) error {
		if rows[0].Pos == 0 {
			order = append(order, rows[0].Token)
		}
		return nil
	}}
	e := start(t, s, engine.Config{})
	first := submit(t, e, engine.Request{ID: "first", Prompt: tokenize(t, e, "f"), MaxTokens: 1})
	<-g.entered // it has the only place
	batch := submit(t, e, engine.Request{ID: "batch", Class: 2, Prompt: tokenize(t, e, "b"), MaxTokens: 1})
	others := []*engine.Sequence{first, batch}
	for i := range crowd {
		others = append(others, submit(t, e, engine.Request{ID: strconv.Itoa(i), Class: i % 2, Prompt: tokenize(t, e, "o"), MaxTokens: 1}))
	}
	g.release <- struct{}{}
	defer g.open()()
	for _, o := range others {
		mustCollect(t, o)
	}
	if at := slices.Index(order, tokenize(t, e, "b")[0]); at != 16 || len(order) != crowd+2 {
		t.Errorf("it was number %d of %d, want 16: behind the first and 15 others", at, len(order))
	}
}

// turning counts the turns of a loop: in each it asks how many cells are used.
type turning struct {
	*sim.Backend
	turns atomic.Int64
}

func (b *turning) CellsUsed() int {
	b.turns.Add(1)
	return b.Backend.CellsUsed()
}

// One that is not read gives its room to one that came later, and goes on when
// it is read.
func TestABlockedSequenceYieldsItsRoom(t *testing.T) {
	counted := &turning{Backend: simulate(t, sim.Options{Context: 200, Cells: 200})}
	e := start(t, counted, config(func(c *engine.Config) {
		c.BufferTokens, c.SlowConsumerTimeout = 100, time.Hour
	}))
	unread := submit(t, e, engine.Request{ID: "unread", Prompt: ask(t, e, "unread", 300), MaxTokens: 150})
	for e.Snapshot().Requests[0].Phase != engine.PhaseBlocked { // before the room is short
		runtime.Gosched()
	}
	want := mustCollect(t, submit(t, start(t, simulate(t, sim.Options{}), engine.Config{}),
		engine.Request{ID: "alone", Prompt: ask(t, e, "unread", 300), MaxTokens: 150}))
	other := ask(t, e, "other", 300)
	got := mustCollect(t, submit(t, e, engine.Request{ID: "other", Prompt: other, MaxTokens: 170}))
	if !strings.HasPrefix(sim.Text(other, 300), got.text) || len(got.tokens) != 170 {
		t.Errorf("the other said %q in %d tokens", got.text, len(got.tokens))
	}
	if state := e.Snapshot(); state.Preemptions != 1 || state.CellsUsed != 0 {
		t.Errorf("%d preemptions, %d cells in use; want 1 of the blocked one, which waits without any", state.Preemptions, state.CellsUsed)
	}
	// Nor does the loop turn for it.
	turns := counted.turns.Load()
	for range 100_000 {
		e.Room()
	}
	if n := counted.turns.Load(); n > turns+50 { // some are still owed to what ended; one that spins makes thousands
		t.Errorf("the loop made %d turns with nothing to do", n-turns)
	}
	if got := mustCollect(t, unread); got.text != want.text {
		t.Errorf("then it said %q, want %q", got.text, want.text)
	}
}

// Also its place, where there is none for others.
func TestABlockedSequenceYieldsItsPlace(t *testing.T) {
	e := start(t, simulate(t, sim.Options{Sequences: 1}), config(func(c *engine.Config) {
		c.BufferTokens, c.SlowConsumerTimeout = 3, time.Hour
	}))
	unread := submit(t, e, engine.Request{ID: "unread", Prompt: ask(t, e, "unread", 30)})
	<-unread.Started()
	for i := range 3 {
		name := strconv.Itoa(i)
		prompt := ask(t, e, name, 20)
		got, want := mustCollect(t, submit(t, e, engine.Request{ID: name, Prompt: prompt})).text, sim.Text(prompt, 20)
		if got != want {
			t.Errorf("%s said %q, want %q", name, got, want)
		}
	}
	if got, want := mustCollect(t, unread).text, sim.Text(ask(t, e, "unread", 30), 30); got != want {
		t.Errorf("then it said %q, want %q", got, want)
	}
}
