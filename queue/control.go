package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// The kinds of control messages.
const (
	// ControlCancel ends one job.
	ControlCancel = "cancel"
	// ControlReport asks for a [WorkerReport].
	ControlReport = "report"
	// ControlDrain makes the worker take no more jobs, hand over those that do not
	// end in time, and exit. It is answered with a [WorkerReport] at once, and with
	// another that has its Drained at the end.
	ControlDrain = "drain"
)

// ReasonDeadline is the reason of a cancel message whose sender writes
// `expired`: the worker ends the job the same way, or leaves it.
const ReasonDeadline = "deadline"

// ControlMessage is a request to a worker. It may come more than once, and for
// jobs that the worker does not run (any more).
type ControlMessage struct {
	// Kind says what to do. A worker ignores kinds that it does not know.
	Kind string `json:"kind"`
	// Owner and JobID name the job of a cancel.
	Owner string `json:"owner,omitempty"`
	JobID string `json:"job,omitempty"`
	// Reason is why a job is cancelled: "client_disconnected", "requested", or
	// ReasonDeadline.
	Reason string `json:"reason,omitempty"`
	// TimeoutMS is how long running jobs get in a drain, in milliseconds; nil means
	// what the worker gives them when it stops.
	TimeoutMS *int64 `json:"timeout_ms,omitempty"`

	// reply is where the sender waits for an answer; empty if it wants none.
	reply string
}

// controlBuffer is how many messages wait for the worker; more are dropped, and
// senders repeat them.
const controlBuffer = 256

// ControlFeed is a worker's incoming messages. Next is for one goroutine at a
// time; Close may be called from any.
type ControlFeed struct {
	q         *Queue
	subs      []*nats.Subscription
	messages  chan *nats.Msg
	closed    chan struct{}
	closeOnce sync.Once
}

// Control listens for messages to a worker. ErrUnavailable while disconnected.
func (q *Queue) Control(ctx context.Context, workerID string) (*ControlFeed, error) {
	f := &ControlFeed{q: q, messages: make(chan *nats.Msg, controlBuffer), closed: make(chan struct{})}
	for _, subject := range []string{controlSubject(workerID), reportSubject(workerID)} {
		sub, err := q.nc.ChanSubscribe(subject, f.messages)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("%w: control: %w", ErrUnavailable, err)
		}
		f.subs = append(f.subs, sub)
	}
	// When this returns, a message sent by anybody arrives.
	if err := q.flush(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Next blocks for the next message. ErrClosed after Close.
func (f *ControlFeed) Next(ctx context.Context) (ControlMessage, error) {
	for {
		select {
		case m := <-f.messages:
			var message ControlMessage
			if strings.HasPrefix(m.Subject, prefixReport) {
				// Whoever may ask may do nothing else.
				return ControlMessage{Kind: ControlReport, reply: m.Reply}, nil
			}
			if err := json.Unmarshal(m.Data, &message); err != nil {
				f.q.log.Warn("control message is not readable", slog.Any("error", err))
				continue
			}
			message.reply = m.Reply
			return message, nil
		case <-f.closed:
			return ControlMessage{}, ErrClosed
		case <-ctx.Done():
			return ControlMessage{}, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
	}
}

// Answer sends what the worker says to a message. It may get lost; senders ask
// again. A reply subject that is no inbox is not used: nobody has a worker write
// into a log. Safe for concurrent use.
func (f *ControlFeed) Answer(m ControlMessage, r WorkerReport) {
	inbox := func(prefix string) bool { return strings.HasPrefix(m.reply, prefix) }
	if !concreteSubject(m.reply) || !slices.ContainsFunc([]string{"_INBOX.", prefixInbox, prefixService}, inbox) {
		return
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = f.q.nc.Publish(m.reply, data)
	}
	if err != nil {
		f.q.log.Debug("control message not answered", slog.Any("error", err))
	}
}

// Close ends the feed. Idempotent.
func (f *ControlFeed) Close() {
	f.closeOnce.Do(func() {
		close(f.closed)
		for _, sub := range f.subs {
			_ = sub.Unsubscribe() // fails only if the connection is closed
		}
	})
}

// tell sends a message to a worker, as far as the connection allows; senders
// repeat it.
func (q *Queue) tell(ctx context.Context, workerID string, m ControlMessage) {
	data, err := json.Marshal(m)
	if err == nil {
		err = q.nc.Publish(controlSubject(workerID), data)
	}
	if err != nil {
		q.logOf(ctx, m.JobID).DebugContext(ctx, "control message not sent", slog.String("worker", workerID), slog.Any("error", err))
	}
}

// flush waits until the server has seen everything sent before.
func (q *Queue) flush(ctx context.Context) error {
	return q.once(ctx, func(ctx context.Context) error {
		if err := q.nc.FlushWithContext(ctx); err != nil {
			return fmt.Errorf("queue: flush: %w", err)
		}
		return nil
	})
}
