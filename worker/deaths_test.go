package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
)

// trap is a backend whose tokenizer stays with a prompt that says "poison"
// until it is let go: as if it took the process with it, once the worker's wire
// is cut, or as if it were slow.
type trap struct {
	engine.Backend
	caught chan struct{} // has one for each prompt that is caught
	opened chan struct{}
	open   func()
}

func newTrap() *trap {
	opened := make(chan struct{})
	return &trap{caught: make(chan struct{}, 16), opened: opened, open: sync.OnceFunc(func() { close(opened) })}
}

// set puts a worker's engine behind the trap.
func (p *trap) set(s *setup) {
	s.backend = func(b engine.Backend) engine.Backend {
		p.Backend = b
		return p
	}
}

func (p *trap) Vocabulary() engine.Vocabulary { return trapped{p.Backend.Vocabulary(), p} }

type trapped struct {
	engine.Vocabulary
	trap *trap
}

func (v trapped) Tokenize(text string, special bool) ([]engine.Token, error) {
	if strings.Contains(text, "poison") {
		v.trap.caught <- struct{}{}
		<-v.trap.opened
	}
	return v.Vocabulary.Tokenize(text, special)
}

// await waits until a prompt is caught.
func (p *trap) await(t *testing.T) {
	t.Helper()
	select {
	case <-p.caught:
	case <-time.After(patience):
		t.Fatal("no prompt was caught")
	}
}

// A prompt that kills its worker before anything is in the log: from the second
// delivery on each death is counted, and the job ends after MaxAttempts of them: it
// was alone with the last.
func TestDeathsBeforeTheStartEndTheJob(t *testing.T) {
	t.Parallel()
	const kills = 4 // the first goes uncounted
	h := newHouse(t)
	ticket := h.submit(prompt("poison words=3"))
	neighbour := h.submit(prompt("words=3"))
	for range kills {
		p, wire := newTrap(), newProxy(t, h.srv.ClientURL())
		h.start(p.set, wire.between, func(s *setup) {
			s.config.DrainTimeout, s.config.FlushTimeout = time.Millisecond, 100*time.Millisecond
		})
		t.Cleanup(p.open)
		p.await(t)
		wire.cut() // From here on it is as dead as after kill -9.
		h.runOut(ticket)
	}
	p := newTrap()
	h.start(p.set)
	t.Cleanup(p.open)
	r := h.result(ticket)
	failed := r.failed(schemas.CodeWorkerLost)
	if !strings.Contains(failed.Message, "3 workers") || failed.Usage != nil {
		t.Errorf("failed %+v", failed)
	}
	var reasons []string
	for _, event := range r.events[1 : len(r.events)-1] {
		reasons = append(reasons, event.Requeued.Reason)
	}
	if !slices.Equal(reasons, []string{"preparing", "preparing", "preparing"}) {
		t.Errorf("the log between submitted and failed: %v", reasons)
	}
	if len(p.caught) != 0 {
		t.Error("the last worker took the prompt in")
	}
	h.result(neighbour).done()
	h.emptied()
}

// Drains before the start, however often, are no deaths, and neither is the
// worker's end later; a job's first delivery writes nothing before its start.
func TestDrainsBeforeTheStartAreNoDeaths(t *testing.T) {
	t.Parallel()
	const drains = 5
	h := newHouse(t)
	job := prompt("poison words=10")
	text, _ := reference(t, job)
	ticket := h.submit(job)
	for i := range drains {
		p := newTrap()
		w := h.start(p.set, named(fmt.Sprintf("drained-%d", i)))
		t.Cleanup(p.open)
		p.await(t)
		w.stop()
		eventually(t, "it drains", func() bool { return len(w.logs.lines(t, "draining: waiting for running jobs")) > 0 })
		p.open()
		requireNoError(t, w.join())
	}
	h.start(named("last"))
	r := h.result(ticket)
	if r.done(); r.text() != text || r.started()[0].Attempt != 1 || len(r.started()) != 1 {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	var said []string
	for _, event := range r.events {
		if event.Requeued != nil {
			said = append(said, event.Requeued.Worker+" "+event.Requeued.Reason)
		}
	}
	var want []string
	for i := 1; i < drains; i++ {
		want = append(want, fmt.Sprintf("drained-%d preparing", i), fmt.Sprintf("drained-%d shutdown", i))
	}
	if want = append(want, "last preparing"); !slices.Equal(said, want) {
		t.Errorf("requeued:\n%v, want\n%v", said, want)
	}
	h.emptied()
}
