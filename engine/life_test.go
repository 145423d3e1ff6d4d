package engine_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

func TestCloseOfAnUnusedEngine(t *testing.T) {
	boom := errors.New("boom")
	e, err := engine.New(engine.Options{Backend: &spy{Backend: simulate(t, sim.Options{}), closed: boom}})
	if err != nil {
		t.Fatal(err)
	}
	var closers sync.WaitGroup
	for range 4 {
		closers.Go(func() {
			if err := e.Close(); !errors.Is(err, boom) {
				t.Errorf("close: %v, want the backend's error", err)
			}
		})
	}
	closers.Wait()
	if _, err := e.Submit(t.Context(), engine.Request{ID: "a", Prompt: []engine.Token{1}}); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("submit: %v, want ErrClosed", err)
	}
	if left := e.Drain(t.Context(), 0); len(left.Unfinished) != 0 {
		t.Errorf("drain: %v", left)
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{DecodeStep: time.Second, Clock: g}), engine.Config{})
	s := submit(t, e, engine.Request{ID: "a", Prompt: ask(t, e, "a", 5)})
	<-g.entered
	if err := e.Close(); err != nil { // the running step is interrupted
		t.Error(err)
	}
	if _, err := collect(t.Context(), s); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	s.Cancel()
}

func TestNewRefuses(t *testing.T) {
	if _, err := engine.New(engine.Options{}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("no backend: %v, want ErrInvalid", err)
	}
	for name, change := range map[string]func(*engine.Config){
		"MaxWaiting":          func(c *engine.Config) { c.MaxWaiting = 0 },
		"MaxCells":            func(c *engine.Config) { c.MaxCells = -1 },
		"StepRows":            func(c *engine.Config) { c.StepRows = -1 },
		"PrefillChunk":        func(c *engine.Config) { c.PrefillChunk = 100 },
		"InterTokenBound":     func(c *engine.Config) { c.InterTokenBound = 1 },
		"BatchWindow":         func(c *engine.Config) { c.BatchWindow = -1 },
		"SpillBytes":          func(c *engine.Config) { c.SpillBytes = -1 },
		"AdmitReserve":        func(c *engine.Config) { c.AdmitReserve = -1 },
		"BufferTokens":        func(c *engine.Config) { c.BufferTokens = 0 },
		"BufferBytes":         func(c *engine.Config) { c.BufferBytes = 0 },
		"SlowConsumerTimeout": func(c *engine.Config) { c.SlowConsumerTimeout = 0 },
		"limits":              func(c *engine.Config) { c.MaxCells = 1 },
	} {
		boom := errors.New("closed")
		_, err := engine.New(engine.Options{Backend: &spy{Backend: simulate(t, sim.Options{}), closed: boom}, Config: config(change)})
		if !errors.Is(err, engine.ErrInvalid) || !errors.Is(err, boom) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want ErrInvalid with the name, and the backend closed", name, err)
		}
	}
}

func TestDrainLetsThemFinish(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{Sequences: 1, DecodeStep: time.Second, Clock: g}), engine.Config{})
	running := submit(t, e, engine.Request{ID: "running", Prompt: ask(t, e, "running", 5)})
	waiting := submit(t, e, engine.Request{ID: "waiting", Prompt: ask(t, e, "waiting", 5)})
	<-g.entered
	var drains sync.WaitGroup
	for range 3 {
		drains.Go(func() {
			if left := e.Drain(t.Context(), time.Hour); len(left.Unfinished) != 0 || len(left.Finished) != 2 {
				t.Errorf("drain returned %v", left)
			}
		})
	}
	for !e.Snapshot().Draining {
		runtime.Gosched()
	}
	defer g.open()()
	for name, s := range map[string]*engine.Sequence{"running": running, "waiting": waiting} {
		if got, want := mustCollect(t, s).text, sim.Text(ask(t, e, name, 5), 5); got != want {
			t.Errorf("%s said %q, want %q", name, got, want)
		}
	}
	drains.Wait()
	if !e.Snapshot().Draining {
		t.Error("the snapshot does not say that it drains")
	}
}

func TestDrainEndsTheRest(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{Sequences: 1, DecodeStep: time.Second, Clock: g}), engine.Config{})
	running := submit(t, e, engine.Request{ID: "running", Prompt: ask(t, e, "running", 5)})
	waiting := submit(t, e, engine.Request{ID: "waiting", Prompt: ask(t, e, "waiting", 5), Emitted: []engine.Token{'a', 'b'}})
	<-g.entered
	g.release <- struct{}{}
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	left := e.Drain(ctx, time.Hour).Unfinished // the running step is interrupted
	got, err := collect(t.Context(), running)
	if !errors.Is(err, engine.ErrDrained) || len(got.tokens) != 1 {
		t.Errorf("running: %d tokens and %v, want 1 and ErrDrained", len(got.tokens), err)
	}
	if _, err := collect(t.Context(), waiting); !errors.Is(err, engine.ErrDrained) {
		t.Errorf("waiting: %v, want ErrDrained", err)
	}
	want := []engine.Unfinished{
		{ID: "running", Phase: engine.PhaseDecode, Generated: got.tokens, Bytes: len(got.text)},
		{ID: "waiting", Phase: engine.PhaseWaiting, Generated: []engine.Token{'a', 'b'}, Bytes: 2},
	}
	slices.SortFunc(left, func(a, b engine.Unfinished) int { return strings.Compare(a.ID, b.ID) })
	if !slices.EqualFunc(left, want, func(a, b engine.Unfinished) bool {
		return a.ID == b.ID && a.Phase == b.Phase && slices.Equal(a.Generated, b.Generated) &&
			a.Bytes == b.Bytes && errors.Is(a.Err, engine.ErrDrained)
	}) {
		t.Errorf("left %+v, want %+v", left, want)
	}
	if again := e.Drain(t.Context(), 0).Unfinished; len(again) != 2 {
		t.Errorf("the second drain returned %v", again)
	}
}

func TestRoom(t *testing.T) {
	g := newGate()
	backend := simulate(t, sim.Options{Sequences: 2, Context: 100, Cells: 150, DecodeStep: time.Second, Clock: g})
	e := start(t, backend, config(func(c *engine.Config) {
		c.BufferTokens, c.MaxWaiting = 1, 2
	}))
	if room := e.Room(); room != (engine.Room{Sequences: 2, Cells: 150}) {
		t.Errorf("at first %+v", room)
	}
	prompt := ask(t, e, strings.Repeat("x", 60), 5)
	first := submit(t, e, engine.Request{ID: "first", Prompt: prompt})
	if room := e.Room(); room.Sequences != 1 || room.Cells > 150-len(prompt) {
		t.Errorf("after one of %d tokens: %+v", len(prompt), room)
	}
	<-g.entered // nobody gets a place while the step lasts
	second := submit(t, e, engine.Request{ID: "second", Prompt: prompt})
	third := submit(t, e, engine.Request{ID: "third", Prompt: prompt})
	if room := e.Room(); room != (engine.Room{Waiting: 2}) {
		t.Errorf("full: %+v", room)
	}
	if _, err := e.Submit(t.Context(), engine.Request{ID: "fourth", Prompt: prompt}); !errors.Is(err, engine.ErrFull) {
		t.Errorf("one more: %v, want ErrFull", err)
	}
	if _, err := e.Submit(t.Context(), engine.Request{ID: "first", Prompt: prompt}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("the same ID: %v, want ErrInvalid", err)
	}
	defer g.open()()
	for _, s := range []*engine.Sequence{first, second, third} {
		mustCollect(t, s)
	}
	<-e.RoomChanged()
	if room := e.Room(); room != (engine.Room{Sequences: 2, Cells: 150}) {
		t.Errorf("at the end %+v", room)
	}
}

func TestWhatHadEndedEndsAtOnce(t *testing.T) {
	e := start(t, simulate(t, sim.Options{}), engine.Config{})
	prompt := ask(t, e, "a", 5)
	for name, c := range map[string]struct {
		request engine.Request
		finish  engine.Finish
		text    string
		tokens  int
	}{
		"max tokens":  {engine.Request{MaxTokens: 2, Emitted: []engine.Token{'a', 'b'}}, engine.FinishLength, "", 2},
		"stop string": {engine.Request{Stop: []string{"b"}, Emitted: []engine.Token{'a', 'b'}}, engine.FinishStop, "", 2},
		// What could have become the stop string was shown by nobody yet.
		"held back": {engine.Request{MaxTokens: 2, Stop: []string{"abc"}, Emitted: []engine.Token{'a', 'b'}}, engine.FinishLength, "ab", 2},
	} {
		c.request.ID, c.request.Prompt = name, prompt
		got := mustCollect(t, submit(t, e, c.request))
		if got.last.Finish != c.finish || got.last.Usage.Completion != c.tokens || got.text != c.text || len(got.tokens) != 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if steps := e.Snapshot().Steps; steps != 0 {
		t.Errorf("%d steps were made", steps)
	}
}

func TestTimings(t *testing.T) {
	e := start(t, simulate(t, sim.Options{DecodeStep: time.Millisecond}), engine.Config{})
	before := time.Now()
	got := mustCollect(t, submit(t, e, engine.Request{ID: "a", Prompt: ask(t, e, "a", 10)})).last.Timings
	sum := got.Waiting + got.Prefill + got.Decode
	if got.Prefill < time.Millisecond || got.Decode < 9*time.Millisecond || sum > time.Since(before) {
		t.Errorf("%+v, in %v", got, time.Since(before))
	}
}

// A step that reads prompts is of all whose rows were in it: it is linked to them,
// and the child of none. There are none of steps that only decode.
func TestStepsAreLinked(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	g := newGate()
	e, err := engine.New(engine.Options{
		Backend: simulate(t, sim.Options{DecodeStep: time.Second, Clock: g}), TracerProvider: provider,
	})
	if err != nil {
		t.Fatal(err)
	}
	parents := make(map[trace.SpanID]string)
	request := func(id string, sampled bool) *engine.Sequence {
		ctx := t.Context()
		if sampled {
			var span trace.Span
			ctx, span = provider.Tracer("test").Start(ctx, id)
			parents[span.SpanContext().SpanID()] = id
		}
		s, err := e.Submit(ctx, engine.Request{ID: id, Prompt: ask(t, e, id, 5)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	running := []*engine.Sequence{request("first", true)}
	<-g.entered
	running = append(running, request("second", true), request("third", true), request("not traced", false))
	defer g.open()()
	for _, s := range running {
		mustCollect(t, s)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	linked := make(map[string]int)
	shared := false
	for _, span := range recorder.Ended() {
		if span.Name() != "engine.step" || span.Parent().IsValid() {
			t.Errorf("span %s, child of %v", span.Name(), span.Parent().SpanID())
		}
		for _, link := range span.Links() {
			linked[parents[link.SpanContext.SpanID()]]++
		}
		shared = shared || len(span.Links()) > 1
	}
	// The first one decodes while the others are read.
	if len(linked) != 3 || linked["first"] != 2 || linked["second"] != 1 || linked["third"] != 1 || !shared {
		t.Errorf("steps are linked to %v, shared: %v", linked, shared)
	}
}
