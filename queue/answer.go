package queue

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Ack removes the job from the queue and waits for the server to confirm. Only
// after the terminal event is in the log: else ErrNotTerminal. If it fails
// (ErrUnavailable), the next claimer finds the end and acks.
func (d *Delivery) Ack(ctx context.Context) error {
	d.appendMu.Lock()
	ended := d.ended
	d.appendMu.Unlock()
	if !ended {
		return ErrNotTerminal
	}
	return d.answer(ctx, "+ACK")
}

// HandBack gives the job to others at once and rings their bell; also to those
// that come after the broker was restarted. Append `requeued` first.
func (d *Delivery) HandBack(ctx context.Context) error {
	for _, kind := range handBack() {
		if err := d.answer(ctx, kind); err != nil {
			return err
		}
	}
	// The server rings for new jobs only.
	if err := d.q.nc.Publish(wakeSubject(d.Model, d.Class, d.Flow, d.Owner), nil); err != nil {
		d.logger.DebugContext(ctx, "bell not rung", slog.Any(schemas.LogError, err))
	}
	return nil
}

// HandBackAfter gives the job to whoever asks after delay, this worker included.
// Nobody is told then: claimers find it by their poll. A broker that was restarted
// meanwhile may offer it up to a second early.
func (d *Delivery) HandBackAfter(ctx context.Context, delay time.Duration) error {
	return d.answer(ctx, nak(delay))
}

// nak is the answer that hands a message back for after delay. Unlike one
// without delay, the server keeps it over a restart.
func nak(delay time.Duration) string { return fmt.Sprintf(`-NAK {"delay":%d}`, max(delay, 1)) }

// handBack are the answers that hand a message back at once. The second alone
// would be forgotten when the server stops: after its start the claim would have
// to run out, as if its holder had died. The first alone takes effect a little
// later.
func handBack() [2]string { return [2]string{nak(0), "-NAK"} }

// answer sends an acknowledgement of the given kind for every message and
// waits for the server's confirmation. Repeating one does no harm.
func (d *Delivery) answer(ctx context.Context, kind string) error {
	for _, m := range d.held() {
		err := d.q.retry(ctx, func(ctx context.Context) error {
			if _, err := d.q.nc.RequestWithContext(ctx, m.Reply, []byte(kind)); err != nil {
				return fmt.Errorf("queue: %s: %w", kind, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Adopt makes d, which is being run, answer also for newer, which is the same
// job offered again (its claim ran out, or it was published twice). newer must
// not be used afterwards. ErrInvalid if it is another job.
func (d *Delivery) Adopt(newer *Delivery) error {
	if newer == d || newer.Key() != d.Key() {
		return fmt.Errorf("%w: adopt %s for %s", ErrInvalid, newer.Key(), d.Key())
	}
	adopted := newer.held()
	d.messagesMu.Lock()
	defer d.messagesMu.Unlock()
	if newer.Class == d.Class && newer.Sequence == d.Sequence {
		d.messages = adopted
		return nil
	}
	d.messages = append(d.messages, adopted...)
	return nil
}
