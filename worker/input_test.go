package worker_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// thrifty is a queue to which a kilobyte is a large job.
func (h *house) thrifty() *queue.Queue {
	h.t.Helper()
	return queuetest.Open(h.t, h.srv, h.options, func(o *queue.Options) { o.Config.InlineBytes = 1 << 10 })
}

// A large job is answered like any other; one whose object is gone fails, and is
// told which.
func TestLargeJobs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	q := h.thrifty()
	job := prompt("words=20 " + strings.Repeat("padding ", 300))
	text, _ := reference(t, job)
	var tickets []queue.Ticket
	for range 2 {
		ticket, err := q.Submit(t.Context(), queue.Submission{Job: job})
		requireNoError(t, err)
		tickets = append(tickets, ticket)
	}
	_, js := h.dial()
	store, err := js.ObjectStore(t.Context(), "inputs")
	requireNoError(t, err)
	requireNoError(t, store.Delete(t.Context(), "local."+tickets[1].JobID))
	h.start(func(s *setup) { s.sim.Context = 8192 })
	if r := h.result(tickets[0]); r.text() != text {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	failed := h.result(tickets[1]).failed(schemas.CodeInputLost)
	if failed.Message != "the object local."+tickets[1].JobID+" of the store inputs is missing" {
		t.Errorf("failed: %q", failed.Message)
	}
	h.emptied()
}

// A job that is given up while there is no room among the dead ones ends all the
// same, and says so.
func TestGiveUpWithoutRoom(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.update("DEAD", func(c *jetstream.StreamConfig) { c.MaxBytes = 100 })
	ticket := h.submit(prompt("words=20"))
	m := h.mortal("gone")
	m.alone = true
	d := m.claim()
	m.start(d, 1, 1)
	m.die(d)
	h.start(func(s *setup) { s.config.MaxAttempts = 1 })
	failed := h.result(ticket).failed(schemas.CodeWorkerLost)
	if failed.Message != "1 worker died while it ran this job: mortal. It had no other job. "+
		"It is not tried again, and there is no room for it among the dead jobs." {
		t.Errorf("failed: %q", failed.Message)
	}
	h.emptied()
}
