package queue

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// Headers of bells that a worker rings which cannot hold a job: the context that
// it needs, in tokens, and after how many milliseconds it can be had.
const (
	headerNeeds = "Semantic-Needs-Context"
	headerAfter = "Semantic-After"
)

// passSlack is how much later than announced the server may offer a job.
const passSlack = 20 * time.Millisecond

// bellRetries are the pauses after which a bell that led to nothing is tried
// again; then only the poll can find the job.
func bellRetries() [3]time.Duration {
	return [3]time.Duration{4 * time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond}
}

// hint is a reason to believe that a lane has a job.
type hint struct {
	active bool
	// rung tells a bell from a poll; only bells are tried more than once.
	rung  bool
	tries int
	due   time.Time
	// since is when it became active; another worker's lane is left alone for
	// StealAfter from then on, and until lookAt.
	since, lookAt time.Time
	// again is set where the job may be one that was offered before: what the
	// consumer has never delivered does not tell.
	again bool
	// needs, if positive, is the context of a job that a worker could not hold,
	// to be had from needsAt on.
	needs   int
	needsAt time.Time
	// rings counts the bells: a hint that is equal to what it was is one that did
	// not change.
	rings uint64
}

// ring is the doorbell's callback.
func (c *Claimer) ring(m *nats.Msg) {
	class, flow, ok := parseWakeSubject(m.Subject)
	if !ok {
		return
	}
	c.q.metrics.doorbells.Inc()
	// The server rings for what it stored, with its sequence and the headers that
	// its publisher chose; workers ring for what they hand back.
	stored := m.Header.Get(headerSequence) != ""
	for i, known := range schemas.Classes() {
		if known != class {
			continue
		}
		c.mu.Lock()
		h := &c.hints[i][flow]
		if needs, after := bellNeeds(m.Header); !stored && needs > 0 {
			h.need(needs, after, c.o.Context)
		} else {
			h.ring(!stored)
		}
		c.mu.Unlock()
	}
	c.nudge()
}

func (h *hint) ring(again bool) {
	if !h.active {
		h.active, h.since = true, time.Now()
	}
	h.rung, h.tries, h.due = true, 0, time.Time{}
	h.again = h.again || again
	h.rings++
}

// need notes a job that somebody could not hold, unless context is too small, too.
func (h *hint) need(needs int, after time.Duration, context int) {
	if context != 0 && context < needs {
		return
	}
	h.needs, h.needsAt = needs, time.Now().Add(after)
	if after > 0 {
		h.needsAt = h.needsAt.Add(passSlack)
	}
	h.rings++
}

// bellNeeds reads what a worker's bell says; zero if it says nothing.
func bellNeeds(header nats.Header) (needs int, after time.Duration) {
	needs, err := strconv.Atoi(header.Get(headerNeeds))
	if err != nil {
		return 0, 0
	}
	ms, err := strconv.Atoi(header.Get(headerAfter))
	if err != nil {
		return needs, 0
	}
	return needs, time.Duration(min(max(ms, 0), int(passMost.Milliseconds()))) * time.Millisecond
}

// hint returns a lane's.
func (c *Claimer) hint(l lane) hint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hints[l.class][l.flow]
}

// found notes that a lane had a job: there may be more, whose bells were heard
// together with this one's.
func (c *Claimer) found(l lane, before hint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.hints[l.class][l.flow]
	if *h != before {
		return
	}
	h.needs, h.needsAt = 0, time.Time{}
	if !h.active {
		// It was woken for one job that needed it; the lane is another's.
		return
	}
	h.tries = max(h.tries, 1)
	h.due, h.lookAt = time.Time{}, time.Time{}
}

// missed notes that a lane had nothing, unless it was rung meanwhile.
func (c *Claimer) missed(l lane, before hint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.hints[l.class][l.flow]
	if *h != before {
		return
	}
	h.needs, h.needsAt = 0, time.Time{}
	retries := bellRetries()
	if !h.active || !h.rung || h.tries >= len(retries) {
		*h = hint{rings: h.rings}
		return
	}
	h.due = time.Now().Add(retries[h.tries])
	h.tries++
}

// postpone leaves another worker's lane alone for so long, or where rest is zero
// until somebody rings for it; unless it was rung meanwhile.
func (c *Claimer) postpone(l lane, before hint, rest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.hints[l.class][l.flow]
	switch {
	case rest > 0:
		h.lookAt = time.Now().Add(rest)
	case *h == before:
		*h = hint{rings: h.rings}
	default:
		h.since = time.Now()
	}
}
