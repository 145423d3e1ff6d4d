package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// chance is what a claimer may do about a lane.
type chance struct {
	rank rank
	// from is the label of a claim.
	from string
	// wait says that only a job that has waited for StealAfter is to be taken,
	// called that one is tried that was handed back.
	wait, called bool
	// at, where rank is none, is when it may be more; zero if only a bell, a poll
	// or the registry can tell.
	at time.Time
}

// chance says what may be done about a lane now: what its call allows, or its
// hint, whichever is more.
func (c *Claimer) chance(l lane, now time.Time) chance {
	h, call := c.hint(l)
	var best chance
	if !call.at.IsZero() {
		able := c.homes.flows[l.flow]
		if call.needs > 0 {
			able = c.homes.of(c.q.registry, c.o.WorkerID, l.flow, call.needs, now)
		}
		best = c.chanceAt(able, call.at, call.at.Add(min(c.q.config.StealAfter, callWait)), now)
		best.wait, best.called = false, best.rank != rankNone
	}
	if !h.active || best.rank == rankOwn {
		return best
	}
	next := c.chanceAt(c.homes.flows[l.flow], h.due, latest(h.due, h.since.Add(c.q.config.StealAfter), h.lookAt), now)
	switch {
	case next.rank > best.rank, best.rank == rankNone && (best.at.IsZero() || next.at.Before(best.at)):
		return next
	}
	return best
}

// chanceAt is the chance of a lane with a home: from own on if that is here, or
// nowhere, else from other on.
func (c *Claimer) chanceAt(home home, own, other, now time.Time) chance {
	at, ready := own, chance{rank: rankOwn, from: home.from}
	if home.worker != c.o.WorkerID && home.worker != "" {
		at, ready = other, chance{rank: rankOther, from: fromBusy, wait: c.q.config.StealAfter > 0}
	}
	if at.After(now) {
		return chance{at: at}
	}
	return ready
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// overdue reports whether another worker's lane has a job that was left waiting
// for StealAfter, by the server's clock; if not, how long the oldest still has to,
// zero where none waits.
func (c *Claimer) overdue(ctx context.Context, l lane, consumer jetstream.Consumer, again bool) (bool, time.Duration, error) {
	var oldest storedMessage
	var age time.Duration
	err := c.q.once(ctx, func(ctx context.Context) error {
		info, err := consumer.Info(ctx)
		if err != nil {
			return fmt.Errorf("queue: consumer of %s flow %s: %w", c.o.Model, flowToken(l.flow), err)
		}
		if info.NumPending == 0 {
			return nil
		}
		oldest, _, err = c.q.leaderGet(ctx, jobsStream(l.name()), getRequest{
			Sequence: info.Delivered.Stream + 1, NextFor: flowFilter(c.o.Model, l.name(), l.flow),
		})
		age = info.TimeStamp.Sub(oldest.Time)
		return err
	})
	switch {
	case err != nil:
		return false, 0, err
	case oldest.Sequence == 0:
		// What was handed back, or ran out, is not counted.
		return again, 0, nil
	}
	return age >= c.q.config.StealAfter, max(c.q.config.StealAfter-age, 0), nil
}

// passFirst and passMost bound how long a job that this worker cannot hold is
// not offered again: the first doubled for every time, at most the second.
const (
	passFirst = 250 * time.Millisecond
	passMost  = 2 * time.Second
)

// headStart is how long a claimer does not look at the lane of a job that it
// passed on, unless somebody rings.
const headStart = 10 * time.Millisecond

// smallMost bounds the jobs of which a claimer remembers that it cannot hold
// them. When there are more it forgets them all, and finds out again.
const smallMost = 1 << 12

// place is where a job is stored.
type place struct {
	class    int
	sequence uint64
}

// PassOn gives back a job that needs a longer context than this worker's, in
// tokens, for a worker that has it: its bell is rung, and this claimer does not
// return the job again as long as such a worker lives. Append `requeued` first if
// the log says that this worker has the job.
func (d *Delivery) PassOn(ctx context.Context, needs int) error {
	d.claimer.remember(d, needs)
	for _, kind := range handBack() {
		if err := d.answer(ctx, kind); err != nil {
			return err
		}
	}
	d.claimer.ringFor(wakeSubject(d.Model, d.Class, d.Flow, d.Owner), needs, 0)
	return nil
}

func (c *Claimer) remember(d *Delivery, needs int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.small) >= smallMost {
		clear(c.small)
	}
	class := slices.Index(schemas.Classes(), d.Class)
	c.small[place{class, d.Sequence}] = needs
	c.hints[class][d.Flow].due = time.Now().Add(headStart)
}

// tooBig reports whether a message is a job that this worker could not hold and
// another can.
func (c *Claimer) tooBig(l lane, meta *nats.MsgMetadata) (needs int, is bool) {
	at := place{l.class, meta.Sequence.Stream}
	c.mu.Lock()
	needs, is = c.small[at]
	c.mu.Unlock()
	if !is || c.q.registry.holds(c.o.Model, c.o.WorkerID, needs) {
		return needs, is
	}
	c.mu.Lock()
	delete(c.small, at)
	c.mu.Unlock()
	return 0, false
}

// pass leaves a job that is too big to those that can hold it.
func (c *Claimer) pass(m *nats.Msg, meta *nats.MsgMetadata, needs int) {
	delay := passFirst
	for i := uint64(2); i < meta.NumDelivered && delay < passMost; i++ {
		delay *= 2
	}
	delay = min(delay, passMost)
	_ = m.NakWithDelay(delay) // if it gets lost, AckWait does the same
	if a, err := parseJobSubject(m.Subject); err == nil {
		c.ringFor(wakeSubject(a.Model, a.Class, a.Flow, a.Owner), needs, delay)
	}
}

// ringFor rings for a job that needs a context, to be had after a delay.
func (c *Claimer) ringFor(subject string, needs int, after time.Duration) {
	bell := &nats.Msg{Subject: subject, Header: nats.Header{
		headerNeeds: {strconv.Itoa(needs)}, headerAfter: {strconv.FormatInt(after.Milliseconds(), 10)},
	}}
	if err := c.q.nc.PublishMsg(bell); err != nil {
		c.q.log.Debug("bell not rung", slog.Any(schemas.LogError, err))
	}
}
