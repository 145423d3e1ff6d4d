package engine_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

const (
	interactive = iota
	normal
	batch
)

// One of a better class has the place of a worse one at once, and that one goes on
// with the same tokens when there is a place again.
func TestABetterClassTakesAPlace(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{Sequences: 2, DecodeStep: time.Second, Clock: g}), engine.Config{})
	var long []*engine.Sequence
	prompts := make([][]engine.Token, 2)
	for i := range prompts {
		prompts[i] = ask(t, e, "batch"+strconv.Itoa(i), 60)
		long = append(long, submit(t, e, engine.Request{ID: "b" + strconv.Itoa(i), Class: batch, Prompt: prompts[i]}))
	}
	for range 5 {
		<-g.entered
		g.release <- struct{}{}
	}
	<-g.entered
	if room := e.Room(); room.Sequences != 0 {
		t.Errorf("room %+v with both places taken", room)
	}
	if room := e.RoomFor(normal); room.Sequences != 2 || room.Waiting != 0 {
		t.Errorf("room %+v for a better class", room)
	}
	prompt := ask(t, e, "now", 5)
	now := submit(t, e, engine.Request{ID: "now", Class: interactive, Prompt: prompt})
	if room := e.RoomFor(normal); room.Sequences != 1 || room.Cells >= e.Limits().Cells {
		t.Errorf("room %+v beside one that waits", room)
	}
	defer g.open()()
	g.release <- struct{}{}
	if got := mustCollect(t, now); got.text != sim.Text(prompt, 5) {
		t.Errorf("it said %q", got.text)
	}
	if n := e.Snapshot().Preemptions; n != 1 {
		t.Errorf("%d preemptions", n)
	}
	for i, seq := range long {
		if got := mustCollect(t, seq); got.text != sim.Text(prompts[i], 60) {
			t.Errorf("batch %d said %q", i, got.text)
		}
	}
}

// However many of a better class come, one of the worst loses its place 15 times
// at most.
func TestAPlaceIsKeptAtLast(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{Sequences: 1, DecodeStep: time.Second, Clock: g}), engine.Config{})
	prompt := ask(t, e, "batch", 100)
	worst := submit(t, e, engine.Request{ID: "batch", Class: batch, Prompt: prompt, MaxTokens: 40})
	<-g.entered
	var others []*engine.Sequence
	for i := range 18 {
		want := 1
		if i >= 15 {
			want = 0
		}
		if room := e.RoomFor(interactive); room.Sequences != want {
			t.Fatalf("room %+v after %d displacements, want %d places", room, i, want)
		}
		others = append(others, submit(t, e, engine.Request{ID: strconv.Itoa(i), Prompt: ask(t, e, "now", 1), Class: i % 2, MaxTokens: 1}))
		for range 2 { // the one before, and the one that came
			g.release <- struct{}{}
			<-g.entered
		}
		if lost := int(e.Snapshot().Preemptions); lost != min(i+1, 15) {
			t.Fatalf("%d preemptions after %d came", lost, i+1)
		}
	}
	defer g.open()()
	g.release <- struct{}{}
	for _, o := range append(others, worst) {
		mustCollect(t, o)
	}
}

// Nobody loses a place to one that has no room for its prompt then either.
func TestNoPlaceIsTakenInVain(t *testing.T) {
	g := newGate()
	e := start(t, simulate(t, sim.Options{Sequences: 3, Context: 300, Cells: 300, DecodeStep: time.Second, Clock: g}), engine.Config{})
	prompt := func(n int) []engine.Token {
		tokens := ask(t, e, "prompt", 50)
		for len(tokens) < n {
			tokens = append(tokens, tokens[1])
		}
		return tokens
	}
	first := submit(t, e, engine.Request{ID: "first", Prompt: prompt(150), MaxTokens: 20})
	worse := submit(t, e, engine.Request{ID: "worse", Class: batch, Prompt: prompt(60), MaxTokens: 20})
	for range 5 {
		<-g.entered
		g.release <- struct{}{}
	}
	<-g.entered
	big := submit(t, e, engine.Request{ID: "big", Prompt: append(ask(t, e, "other", 3), prompt(180)...), MaxTokens: 3})
	for range 3 {
		g.release <- struct{}{}
		<-g.entered
	}
	if snapshot := e.Snapshot(); snapshot.Preemptions != 0 || snapshot.Requests[1].Phase != engine.PhaseDecode {
		t.Errorf("%d preemptions, it is in %s", snapshot.Preemptions, snapshot.Requests[1].Phase)
	}
	defer g.open()()
	g.release <- struct{}{}
	for _, s := range []*engine.Sequence{first, worse, big} {
		mustCollect(t, s)
	}
	if room := e.RoomFor(math.MinInt); room != e.Room() {
		t.Errorf("room %+v, for all %+v", room, e.Room())
	}
}
