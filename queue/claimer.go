package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// ClaimOptions say who claims what.
type ClaimOptions struct {
	// Model is the plain name of the model that is served. Required.
	Model string
	// WorkerID and Incarnation are the worker's, as in its started events.
	// Required.
	WorkerID, Incarnation string
	// Context is the longest sequence that the worker can hold, in tokens. 0:
	// nothing is too long.
	Context int
}

// bellWait is how long a fetch after a bell may stay at the server: the bell
// can be faster than the consumer's view of the job.
const bellWait = 2 * time.Millisecond

// giveBackPause is how long a job rests whose log could not be read.
const giveBackPause = time.Second

// Claimer claims jobs of one model. Next and NextOf are for one goroutine at a
// time, Wake and Close for any. Claiming is driven by them alone: a claimer on which
// nobody calls them takes nothing.
type Claimer struct {
	q     *Queue
	o     ClaimOptions
	bells *nats.Subscription
	// wake has room for one: somebody rang, called Wake, or closed.
	wake chan struct{}

	// mu guards what follows. The doorbell's callback writes hints and calls, the
	// jobs' goroutines charges and small.
	mu     sync.Mutex
	hints  [3][Flows]hint
	calls  [3][Flows][]call
	closed bool
	// charges are what the schedule was not told yet.
	charges [3][Flows]int
	// small is the context that jobs need for which this worker's is too small.
	small map[place]int

	// busy is held by Next, so that Close can join it. Only its holder touches
	// what follows.
	busy      sync.Mutex
	schedule  schedule
	homes     homes
	consumers map[lane]jetstream.Consumer
	puller    puller
	nextPoll  time.Time
}

// NewClaimer starts listening for a model's doorbell. Nothing is claimed before
// Next is called. Errors: ErrUnavailable, ErrNoTopology, ErrInvalid.
func (q *Queue) NewClaimer(ctx context.Context, o ClaimOptions) (*Claimer, error) {
	if o.Model == "" || o.WorkerID == "" || o.Incarnation == "" {
		return nil, fmt.Errorf("%w: a claimer needs model, worker id and incarnation", ErrInvalid)
	}
	if err := q.exportClaims(); err != nil {
		return nil, err
	}
	c := &Claimer{
		q: q, o: o, wake: make(chan struct{}, 1), consumers: make(map[lane]jetstream.Consumer),
		small: make(map[place]int), homes: homes{model: o.Model}, puller: puller{q: q},
	}
	// Deaths are judged by the registry, and homes chosen.
	if err := q.registry.start(ctx); err != nil {
		return nil, err
	}
	var err error
	if c.bells, err = q.nc.Subscribe(wakeFilter(o.Model), c.ring); err != nil {
		return nil, fmt.Errorf("%w: doorbell: %w", ErrUnavailable, err)
	}
	if err := q.flush(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Claimer) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close stops pulling: a Next that waits returns ErrClosed, and Close returns
// when it did. A job that was on its way is handed back. Idempotent.
func (c *Claimer) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if c.bells != nil {
		_ = c.bells.Unsubscribe() // fails only if the connection is closed
	}
	c.nudge()
	c.busy.Lock() // joins Next
	defer c.busy.Unlock()
	c.puller.close()
}

func (c *Claimer) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Next is NextOf with all classes open.
func (c *Claimer) Next(ctx context.Context) (*Delivery, error) {
	return c.NextOf(ctx, func(schemas.Class) bool { return true })
}

// NextOf blocks until a job is claimed, of a class that is open. Call it only
// with room for such a job: what it returns is this worker's until it is acked,
// handed back, or silent for AckWait. It asks open, on this goroutine, before
// every attempt; call Wake when its answer may have changed. Errors: ErrClosed,
// the context's own, or what makes claiming impossible for good (a stream that is
// gone). It waits out a broker that is away.
func (c *Claimer) NextOf(ctx context.Context, open func(schemas.Class) bool) (*Delivery, error) {
	c.busy.Lock()
	defer c.busy.Unlock()
	for {
		if c.isClosed() {
			return nil, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return nil, err //nolint:wrapcheck // the caller's own context
		}
		if err := c.q.link.wait(ctx); err != nil {
			return nil, err
		}
		var classes classSet
		for i, class := range schemas.Classes() {
			classes[i] = open(class)
		}
		now := time.Now()
		if classes != (classSet{}) && !now.Before(c.nextPoll) {
			c.nextPoll = now.Add(c.q.config.PollInterval)
			if err := c.poll(ctx); err != nil {
				return nil, err
			}
		}
		c.settleCharges()
		now = time.Now()
		c.homes.look(c.q.registry, c.o.WorkerID, now)
		ready := func(l lane) rank { return c.chance(l, now).rank }
		l, ok := c.schedule.pick(ready, classes)
		if !ok {
			c.idle(ctx, classes, now)
			continue
		}
		d, err := c.try(ctx, l, c.chance(l, now), func() { c.schedule.served(l, ready, classes) })
		if err != nil {
			return nil, err
		}
		if d != nil {
			return d, nil
		}
	}
}

// Wake makes a NextOf that waits ask again which classes are open.
func (c *Claimer) Wake() { c.nudge() }

// settleCharges tells the schedule what jobs cost.
func (c *Claimer) settleCharges() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for class := range c.charges {
		for flow, tokens := range c.charges[class] {
			c.schedule.charge(lane{class: class, flow: flow}, tokens)
		}
	}
	c.charges = [3][Flows]int{}
}

// idle waits for a bell, a retry that falls due, other homes, or the next poll.
func (c *Claimer) idle(ctx context.Context, classes classSet, now time.Time) {
	until := now.Add(time.Hour)
	if classes != (classSet{}) {
		until = c.nextPoll
	}
	for class := range classes {
		for flow := 0; flow < Flows && classes[class]; flow++ {
			if at := c.chance(lane{class: class, flow: flow}, now).at; !at.IsZero() && at.Before(until) {
				until = at
			}
		}
	}
	moved := c.q.registry.changed()
	if c.q.registry.generationNow() != c.homes.generation {
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	_, changed := c.q.link.state()
	select {
	case <-c.wake:
	case <-timer.C:
	case <-moved:
	case <-changed:
		// Bells were missed while the connection was down.
		c.nextPoll = time.Time{}
	case <-ctx.Done():
	}
}

// poll asks each class which flows of the model hold jobs. They may all be
// running: that is for the fetch to find out.
func (c *Claimer) poll(ctx context.Context) error {
	for i, class := range schemas.Classes() {
		var subjects map[string]uint64
		err := c.q.once(ctx, func(ctx context.Context) error {
			info, err := c.q.streamState(ctx, jobsStream(class), modelFilter(c.o.Model, class))
			if err == nil {
				subjects = info.State.Subjects
			}
			return err
		})
		switch {
		case errors.Is(err, ErrUnavailable), ctx.Err() != nil:
			return nil //nolint:nilerr // the next poll will tell
		case err != nil:
			return err
		}
		c.mu.Lock()
		for subject := range subjects {
			flow, ok := flowOf(subject)
			if !ok {
				continue // stored by topology 1.0; no consumer matches it
			}
			if h := &c.hints[i][flow]; !h.active {
				h.active, h.again, h.since = true, true, time.Now()
			}
		}
		c.mu.Unlock()
	}
	return nil
}

// try fetches one job of a lane; nil if there is none. It calls served when there
// was one.
func (c *Claimer) try(ctx context.Context, l lane, chance chance, served func()) (*Delivery, error) {
	before, called := c.hint(l)
	consumer, err := c.consumer(ctx, l)
	if err != nil {
		if errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			c.missed(l, before)
			return nil, nil //nolint:nilerr // the broker is away; Next waits for it
		}
		return nil, err
	}
	m, err := c.fetch(ctx, l, consumer, chance, before, called)
	switch {
	case err != nil:
		// A consumer that was deleted, or a broker that went away: make it again.
		delete(c.consumers, l)
		c.q.log.Debug("fetch", slog.Any(schemas.LogError, err))
		c.missed(l, before)
		return nil, nil
	case m == nil:
		return nil, nil
	}
	c.found(l, before)
	meta, err := m.Metadata()
	if err != nil {
		return nil, fmt.Errorf("queue: claimed message: %w", err)
	}
	if needs, is := c.tooBig(l, meta); is {
		c.pass(m, meta, needs)
		return nil, nil
	}
	served()
	if _, err := parseJobSubject(m.Subject); err != nil {
		if err := c.endStranger(ctx, m); err != nil {
			c.giveBack(ctx, m, err)
		}
		return nil, nil
	}
	d, err := c.admit(ctx, m, chance.from)
	if err != nil {
		c.giveBack(ctx, m, err)
		return nil, nil
	}
	return d, nil
}

// fetch asks for one job, and notes if there is none.
func (c *Claimer) fetch(
	ctx context.Context, l lane, consumer jetstream.Consumer, chance chance, h hint, called call,
) (*nats.Msg, error) {
	if chance.wait {
		overdue, rest, err := c.overdue(ctx, l, consumer, h.again)
		if err != nil {
			return nil, err
		}
		if !overdue {
			c.postpone(l, h, rest)
			return nil, nil
		}
	}
	wait := time.Duration(0)
	if chance.called || h.rung && h.tries == 0 {
		wait = bellWait
	}
	m, err := c.puller.one(jobsStream(l.name()), consumerName(c.o.Model, l.flow), wait)
	switch {
	case chance.called:
		c.answered(l, called, m != nil)
	case m == nil && err == nil:
		c.missed(l, h)
	}
	return m, err
}

// giveBack returns a job that was claimed and cannot be taken: at once if only
// this claimer stops, else later, so that a broken log does not make a loop. If
// the message gets lost, AckWait does the same.
func (c *Claimer) giveBack(ctx context.Context, m *nats.Msg, cause error) {
	if !errors.Is(cause, ErrClosed) && ctx.Err() == nil {
		jobID, _ := claimedID(m) // fails for no message of a consumer
		c.q.logOfMessage(ctx, m, jobID).WarnContext(ctx, "claimed job cannot be taken, handed back",
			slog.String(schemas.LogSubject, m.Subject), slog.Any(schemas.LogError, cause))
		_ = m.NakWithDelay(giveBackPause)
		return
	}
	for _, kind := range handBack() {
		_ = c.q.nc.Publish(m.Reply, []byte(kind))
	}
	if a, err := parseJobSubject(m.Subject); err == nil {
		_ = c.q.nc.Publish(wakeSubject(a.Model, a.Class, a.Flow, a.Owner), nil)
	}
}

// consumer returns a lane's durable consumer, made on first use.
func (c *Claimer) consumer(ctx context.Context, l lane) (jetstream.Consumer, error) {
	if consumer, ok := c.consumers[l]; ok {
		return consumer, nil
	}
	class := schemas.Classes()[l.class]
	var consumer jetstream.Consumer
	name, filter := consumerName(c.o.Model, l.flow), flowFilter(c.o.Model, class, l.flow)
	request := apiPrefix + "CONSUMER.CREATE." + jobsStream(class) + "." + name + "." + filter
	err := c.q.onceOn(ctx, request, func(ctx context.Context) error {
		var err error
		consumer, err = c.q.js.CreateOrUpdateConsumer(ctx, jobsStream(class), jetstream.ConsumerConfig{
			Durable:       name,
			FilterSubject: filter,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       c.q.config.AckWait,
			MaxDeliver:    -1,
			// Claimed jobs, and those that wait out a delay, are as many as the
			// stream holds: Bounds.MaxJobs. A bound of its own would stop the flow.
			MaxAckPending: -1,
		})
		if err != nil {
			return fmt.Errorf("queue: consumer of %s flow %s: %w", c.o.Model, flowToken(l.flow), err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.consumers[l] = consumer
	return consumer, nil
}
