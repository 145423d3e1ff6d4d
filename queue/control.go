package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
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
	// ControlBatchWindow, ControlLogLevel, ControlPause and ControlResume change
	// what [WorkerSettings] has. Each is answered with a [WorkerReport] that has the
	// settings before and after it, or why it was refused.
	ControlBatchWindow = "batch_window"
	ControlLogLevel    = "log_level"
	ControlPause       = "pause"
	ControlResume      = "resume"
)

// ReasonDeadline is the reason of a cancel message whose sender writes
// `expired`: the worker ends the job the same way, or leaves it.
const ReasonDeadline = "deadline"

// ControlMessage is a request to a worker. It may come more than once, and for
// jobs that the worker does not run (any more).
type ControlMessage struct {
	// Kind says what to do. A worker that does not know it answers with a
	// [WorkerReport] that says so.
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
	// WindowMS is the batch window to be set, in milliseconds.
	WindowMS *float64 `json:"window_ms,omitempty"`
	// Level is the log level to be set.
	Level string `json:"level,omitempty"`
	// By is for whom it is asked, as the sender says, and RequestID the request
	// that it came with: for the worker's log. Either may be empty.
	By        string `json:"by,omitempty"`
	RequestID string `json:"request_id,omitempty"`

	// Answer is the token of the subject on which the sender waits for an answer;
	// empty if it wants none. It is no reply subject: of those nobody checks whether
	// the sender may publish there.
	Answer string `json:"answer,omitempty"`
}

// controlBuffer is how many messages wait for the worker; more are dropped, and
// senders repeat them.
const controlBuffer = 256

// ControlFeed is a worker's incoming messages. Next is for one goroutine at a
// time; Close may be called from any.
type ControlFeed struct {
	q         *Queue
	sub       *nats.Subscription
	reports   *nats.Subscription
	messages  chan *nats.Msg
	closed    chan struct{}
	closeOnce sync.Once
}

// Control listens for messages to a worker. ErrUnavailable while disconnected.
func (q *Queue) Control(ctx context.Context, workerID string) (*ControlFeed, error) {
	f := &ControlFeed{q: q, messages: make(chan *nats.Msg, controlBuffer), closed: make(chan struct{})}
	var err error
	if f.sub, err = q.nc.ChanSubscribe(controlSubject(workerID), f.messages); err == nil {
		f.reports, err = q.nc.ChanSubscribe(reportSubject(workerID), f.messages)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: control: %w", ErrUnavailable, err)
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
			if err := json.Unmarshal(m.Data, &message); err != nil {
				f.q.log.Warn("control message is not readable", slog.Any(schemas.LogError, err))
				continue
			}
			if m.Subject == f.reports.Subject {
				message.Kind = ControlReport // who may ask may do no more
			}
			return message, nil
		case <-f.closed:
			return ControlMessage{}, ErrClosed
		case <-ctx.Done():
			return ControlMessage{}, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
	}
}

// Answer sends what the worker says to a message. It may get lost; senders ask
// again. Safe for concurrent use.
func (f *ControlFeed) Answer(m ControlMessage, r WorkerReport) {
	if !ValidJobID(m.Answer) { // no token of a subject, or none
		return
	}
	data, err := json.Marshal(r)
	if err == nil {
		err = f.q.nc.Publish(answerSubject(m.Answer), data)
	}
	if err != nil {
		f.q.log.Debug("control message not answered", slog.Any(schemas.LogError, err))
	}
}

// Close ends the feed. Idempotent.
func (f *ControlFeed) Close() {
	f.closeOnce.Do(func() {
		close(f.closed)
		_ = f.sub.Unsubscribe() // fails only if the connection is closed
		_ = f.reports.Unsubscribe()
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
		q.logOf(ctx, m.JobID).DebugContext(ctx, "control message not sent",
			slog.String(schemas.LogWorker, workerID), slog.Any(schemas.LogError, err))
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
