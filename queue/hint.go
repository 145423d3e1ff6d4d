package queue

import (
	"slices"
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
	// rings counts the bells: a hint that is equal to what it was is one that did
	// not change.
	rings uint64
}

// call is a job that a worker handed back, with the context that it needs where
// that is why. Who is not its home waits no longer than callWait for that.
type call struct {
	needs int
	// at is when it can be had, zero where there is no call; tries counts the times
	// that it was not.
	at    time.Time
	tries int
}

// callWait is how long a job that was handed back is left to its flow's home, or
// StealAfter if that is less: a stream may wait for it.
const callWait = 50 * time.Millisecond

// callsMost bounds the calls that are remembered of a lane. What is forgotten is
// found as any other job that its home leaves.
const callsMost = 16

// ring is the doorbell's callback.
func (c *Claimer) ring(m *nats.Msg) {
	class, flow, ok := parseWakeSubject(m.Subject)
	if !ok {
		return
	}
	// The server rings for what it stored, with its sequence and the headers that
	// its publisher chose; workers ring for what they hand back.
	stored := m.Header.Get(headerSequence) != ""
	for i, known := range schemas.Classes() {
		if known != class {
			continue
		}
		needs, after := 0, time.Duration(0)
		if !stored {
			needs, after = bellNeeds(m.Header)
		}
		c.mu.Lock()
		if !stored && (c.o.Context == 0 || c.o.Context >= needs) {
			c.calls[i][flow] = insertCall(c.calls[i][flow], call{needs: needs, at: time.Now().Add(after)})
		}
		if needs == 0 {
			c.hints[i][flow].ring(!stored)
		}
		c.mu.Unlock()
	}
	c.q.metrics.doorbells.Inc() // who counts them finds what they rang for
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

// bellNeeds reads what a worker's bell says; zero if it says nothing.
func bellNeeds(header nats.Header) (needs int, after time.Duration) {
	needs, err := strconv.Atoi(header.Get(headerNeeds))
	if err != nil || needs < 1 {
		return 0, 0
	}
	ms, err := strconv.Atoi(header.Get(headerAfter))
	if err != nil {
		return needs, 0
	}
	return needs, time.Duration(min(max(ms, 0), int(passMost.Milliseconds()))) * time.Millisecond
}

// insertCall keeps calls in the order of time.
func insertCall(calls []call, one call) []call {
	if len(calls) >= callsMost {
		return calls
	}
	at, _ := slices.BinarySearchFunc(calls, one, func(a, b call) int { return a.at.Compare(b.at) })
	return slices.Insert(calls, at, one)
}

// hint returns a lane's, and its first call.
func (c *Claimer) hint(l lane) (hint, call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if calls := c.calls[l.class][l.flow]; len(calls) > 0 {
		return c.hints[l.class][l.flow], calls[0]
	}
	return c.hints[l.class][l.flow], call{}
}

// answered forgets a call that was tried; where nothing was found, it is tried
// again for a while.
func (c *Claimer) answered(l lane, one call, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := &c.calls[l.class][l.flow]
	i := slices.Index(*calls, one)
	if i < 0 {
		return
	}
	*calls = slices.Delete(*calls, i, i+1)
	retries := bellRetries()
	if !found && one.tries < len(retries) {
		one.at = time.Now().Add(retries[one.tries])
		one.tries++
		*calls = insertCall(*calls, one)
	}
}

// found notes that a lane had a job: there may be more, whose bells were heard
// together with this one's.
func (c *Claimer) found(l lane, before hint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := &c.hints[l.class][l.flow]; h.active && *h == before {
		h.tries = max(h.tries, 1)
		h.due, h.lookAt = time.Time{}, time.Time{}
	}
}

// missed notes that a lane had nothing, unless it was rung meanwhile.
func (c *Claimer) missed(l lane, before hint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.hints[l.class][l.flow]
	if *h != before {
		return
	}
	retries := bellRetries()
	if !h.rung || h.tries >= len(retries) {
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
