package worker_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/worker"
)

// Running streams end by themselves within the soft timeout.
func TestStopLetsStreamsFinish(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	var followers []*queue.Follower
	for i := range 4 {
		followers = append(followers, h.follow(h.submit(prompt(fmt.Sprintf("stream %d words=200", i)))))
	}
	g.generating(t, w, 4)
	begun := make([]record, 4)
	for i, follower := range followers {
		begun[i] = h.until(follower, 1)
	}
	w.stop()
	eventually(t, "it says what it waits for", func() bool {
		return len(w.logs.lines(t, "draining: waiting for running jobs")) > 0
	})
	g.open()
	requireNoError(t, w.join())
	for i, follower := range followers {
		if r := h.rest(follower, begun[i]); r.types() != "submitted started delta done" {
			t.Errorf("stream %d: %s", i, r.types())
		}
	}
	h.emptied()
}

// What does not end in time goes on with another worker at the same token; what
// had not started goes back at once.
func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	first := h.start(gated(g), named("w1"), func(s *setup) {
		s.config.DrainTimeout = 20 * time.Millisecond
		s.sim.Sequences = 4
	})
	jobs := make([]schemas.Job, 6)
	tickets := make([]queue.Ticket, len(jobs))
	for i := range jobs {
		jobs[i] = prompt(fmt.Sprintf("stream %d words=%d", i, 200+i))
		tickets[i] = h.submit(jobs[i])
	}
	g.generating(t, first, 4)
	eventually(t, "the log says that they started", func() bool { return len(first.logs.lines(t, "started")) == 4 })
	first.stop()
	eventually(t, "it hands over", func() bool { return len(first.logs.lines(t, "handed to another worker")) > 0 })
	g.open() // The engine must make a step to let go of its sequences.
	requireNoError(t, first.join())

	second := h.start(named("w2"))
	moved := 0
	for i, ticket := range tickets {
		r := h.result(ticket)
		r.done()
		text, tokens := reference(t, jobs[i])
		if r.text() != text || !slices.Equal(r.tokens(), tokens) {
			t.Errorf("stream %d: %s: %q, want %q", i, r.types(), r.text(), text)
		}
		if len(r.started()) == 2 {
			moved++
		}
	}
	if moved == 0 {
		t.Error("no stream moved in its middle")
	}
	if n := second.metric("semantic_worker_jobs_total", "done"); n == 0 {
		t.Error("the second worker ended nothing")
	}
	h.emptied()
}

// A stop before anything and without a queue that answers is bounded and quiet.
func TestStopIdle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	requireNoError(t, w.drained())
	eventually(t, "everybody knows that it is gone", func() bool {
		workers, err := h.queue.Workers(t.Context())
		requireNoError(t, err)
		return len(workers) == 0
	})
}

// Told to stop before it has begun, and without a broker to tell.
func TestStopBeforeTheStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	second, err := worker.New(worker.Options{
		Queue: h.queue, Engine: w.engine, Template: w.template,
		Identity: worker.Identity{ID: "w2", Incarnation: "b", Host: "c", Release: "d"},
	})
	requireNoError(t, err)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	requireNoError(t, second.Run(over))
}

// Somebody else drains the engine: its jobs go back unharmed.
func TestEngineDrainedUnderTheWorker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	first := h.start(gated(g), named("w1"))
	job := prompt("words=40")
	text, _ := reference(t, job)
	ticket := h.submit(job)
	follower := h.follow(ticket)
	g.step(t, 8)
	r := h.until(follower, 1)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	first.engine.Drain(over, 0)
	g.open()
	eventually(t, "given back", func() bool { return first.metric("semantic_worker_jobs_total", "handed_back") > 0 })
	requireNoError(t, first.drained())
	h.start(named("w2"))
	r = h.rest(follower, r)
	if r.done(); r.text() != text || r.types() != "submitted started delta requeued started delta done" &&
		r.types() != "submitted started delta requeued started done" {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
}

// A broker that is away costs a stop FlushTimeout and no more.
func TestStopWithoutBroker(t *testing.T) {
	t.Parallel()
	h := newHouse(t, forgetful)
	wire := newProxy(t, h.srv.ClientURL())
	g := newGate(t)
	w := h.start(gated(g), wire.between, func(s *setup) {
		s.config.DrainTimeout = time.Millisecond
		s.config.FlushTimeout = 200 * time.Millisecond
	})
	ticket := h.submit(prompt("words=500"))
	follower := h.follow(ticket)
	g.step(t, 8)
	h.until(follower, 1)
	wire.cut()
	g.open()
	w.stop()
	requireNoError(t, w.join())
	if len(w.logs.lines(t, "the broker did not take the last writes in time; "+
		"other workers take the jobs over after the acknowledgement wait")) != 1 {
		t.Error("it does not say what it left")
	}
	wire.mend()
	h.start(named("w2"))
	h.result(ticket).done()
}
