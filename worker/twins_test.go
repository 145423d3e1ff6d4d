package worker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// asBatch publishes into another stream: like one stream after its window, it
// does not know the ids of the first.
func asBatch(m *nats.Msg) { m.Subject = strings.Replace(m.Subject, ".normal.", ".batch.", 1) }

// asInteractive publishes into the most urgent stream.
func asInteractive(m *nats.Msg) {
	m.Subject = strings.Replace(m.Subject, ".normal.", ".interactive.", 1)
}

const twinBody = `{"v":1,"model":"sim","temperature":0,"messages":[{"role":"user","content":"twin words=60"}]}`

// The same job stored twice and offered to two workers: who runs it keeps it,
// the other leaves it alone, also while there is nothing new in the log; and
// both messages are gone at the end.
func TestTwinsOnTwoWorkers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	one := func(s *setup) { s.sim.Sequences = 1 }
	h.start(named("w1"), gated(g), one)
	ticket := h.publish("twin", twinBody)
	follower := h.follow(ticket)
	g.step(t, 8)
	begun := h.until(follower, 2)
	second := h.start(named("w2"), one)
	h.publish("twin", twinBody, asBatch)
	eventually(t, "the second worker was offered it", func() bool {
		return len(second.logs.lines(t, "left to the worker that has it")) > 0
	})
	g.open()
	r := h.rest(follower, begun)
	text, tokens := reference(t, prompt("twin words=60"))
	if r.done(); r.text() != text || !slices.Equal(r.tokens(), tokens) || r.types() != "started delta done" {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	if second.engine.Snapshot().Steps != 0 {
		t.Error("the second worker computed something")
	}
	h.emptied()
}

// Both workers have begun with their twin before either is in the log: one of
// them starts, the other finds out and has said nothing.
func TestTwinsStartTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t, forgetful) // who leaves its twin's message leaves it to run out
	p := newTrap()
	q := newTrap()
	first, second := h.start(named("w1"), p.set), h.start(named("w2"), q.set)
	t.Cleanup(p.open)
	t.Cleanup(q.open)
	body := strings.Replace(twinBody, "twin", "poison", 1)
	ticket := h.publish("together", body)
	follower := h.follow(ticket)
	select { // whoever has the first is busy with it
	case <-p.caught:
		h.publish("together", body, asBatch)
		q.await(t)
	case <-q.caught:
		h.publish("together", body, asBatch)
		p.await(t)
	case <-time.After(patience):
		t.Fatal("nobody claimed it")
	}
	p.open()
	q.open()
	r := h.rest(follower, record{t: t})
	text, tokens := reference(t, prompt("poison words=60"))
	if r.done(); r.text() != text || !slices.Equal(r.tokens(), tokens) {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	h.emptied()
	requireNoError(t, first.drained())
	requireNoError(t, second.drained())
	again, err := h.queue.Log(t.Context(), ticket.Owner, ticket.JobID)
	requireNoError(t, err)
	if len(again) != len(r.events) {
		t.Errorf("the log grew from %d to %d events after its end", len(r.events), len(again))
	}
}

// Two different jobs under one id: the one that was begun is finished as itself,
// whichever message a worker meets first, and the other ends with it.
func TestTwoJobsUnderOneID(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ticket := h.publish("shared", twinBody)
	m := h.mortal("dead")
	d := m.claim()
	text, tokens := reference(t, prompt("twin words=60"))
	m.start(d, 1, 1)
	m.emit(d, nil, nil, tokens[:9])
	h.publish("shared", strings.Replace(twinBody, "twin", "a very different job", 1), func(msg *nats.Msg) {
		msg.Subject = strings.Replace(msg.Subject, ".normal.", ".interactive.", 1)
	})
	w := h.start()
	eventually(t, "it leaves the other to others", func() bool { return len(w.logs.lines(t, unfitLine)) > 0 })
	m.die(d)
	r := h.result(ticket)
	if r.done(); r.text() != text || !slices.Equal(r.tokens(), tokens) {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	h.emptied()
	if lines := w.logs.lines(t, unfitLine); len(lines) != 1 {
		t.Errorf("%d lines about the other job", len(lines))
	}
	for _, event := range r.events {
		if event.Type == schemas.EventFailed {
			t.Errorf("it failed: %+v", event.Failed)
		}
	}
}
