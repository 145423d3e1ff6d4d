package queue

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// admit makes a Delivery of a message, or nil if it must be left to its owner.
// from says why it was this worker's to claim.
func (c *Claimer) admit(ctx context.Context, m *nats.Msg, from string) (*Delivery, error) {
	if c.isClosed() {
		return nil, ErrClosed
	}
	d, err := c.q.newDelivery(ctx, m, c.o)
	if err != nil {
		return nil, err
	}
	d.claimer = c
	if d.impostor() {
		d.logger.WarnContext(ctx, "another job was published under this id; dropped, the log is not about it",
			slog.String(schemas.LogSubject, m.Subject))
		_ = m.Term() // if it gets lost, the message is offered again
		return nil, nil
	}
	if c.inGoodHands(d) {
		d.logger.DebugContext(ctx, "left to the worker that has it")
		_ = m.NakWithDelay(c.q.config.AckWait / 2)
		return nil, nil
	}
	class := string(d.Class)
	c.q.metrics.claims.WithLabelValues(class, from).Inc()
	if d.Deliveries > 1 {
		c.q.metrics.redeliveries.WithLabelValues(class).Inc()
	} else {
		c.q.metrics.waited(d, d.BrokerTime(d.ClaimedAt).Sub(d.StoredAt))
	}
	d.repeatLast()
	return d, nil
}

// inGoodHands reports whether another worker has the job and is to keep it.
func (c *Claimer) inGoodHands(d *Delivery) bool {
	who, held := d.log.holder()
	if !held || who.id == c.o.Incarnation {
		return false
	}
	// After an outage every claim has run out, but the workers live: each gets
	// one AckWait to take its jobs back (its heartbeats do), before others may.
	if since, lost := c.q.link.sinceReconnect(); lost && since < c.q.config.AckWait {
		return true
	}
	// A claim runs out AckWait after a heartbeat, and they come every third of it:
	// a worker of which there is later news than that lives. Its heartbeats were
	// late, or the same job was stored twice; taking it would throw away what the
	// worker has computed, and the two could take it from each other for ever.
	since, listed := c.q.registry.heard(who)
	return listed && since < c.q.config.AckWait*2/3
}

// impostor reports whether a gateway took the id for a job with another body.
func (d *Delivery) impostor() bool { return d.log.foreign(d.body) }
