package worker_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A job whose events the full log refuses is not left in the hands of a worker
// that lives and does nothing: it goes back as soon as there is room, and on to
// its end.
func TestLogFullHandsBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	job := prompt("words=60")
	text, _ := reference(t, job)
	follower := h.follow(h.submit(job))
	g.step(t, 8)
	r := h.until(follower, 1)
	was := h.limitLog(1)
	g.open()
	eventually(t, "the log refuses an event", func() bool {
		return strings.Contains(w.logs.String(), "the log is full")
	})
	w.freed()
	h.limitLog(was)
	r = h.rest(follower, r)
	if r.done(); r.text() != text || len(r.started()) != 2 {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	said := 0
	for _, event := range r.events {
		if event.Requeued != nil && event.Requeued.Reason == "slow_consumer" {
			said++
		}
	}
	if said != 1 {
		t.Errorf("%d times handed back in %s", said, r.types())
	}
	h.emptied()
}

// limitLog bounds the bytes of all logs together, and returns the bound before.
func (h *house) limitLog(bytes int64) int64 {
	h.t.Helper()
	was := int64(0)
	h.update("EVENTS", func(c *jetstream.StreamConfig) { was, c.MaxBytes = c.MaxBytes, bytes })
	return was
}
