package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// reasonDisconnected is the reason of a cancelled event that the gateway asks for.
const reasonDisconnected = "client_disconnected"

// responder turns a job's events into one client's response. Its errors are
// all *clientGoneError, and end the exchange.
type responder interface {
	// begin sends what can be said before anything is known of the answer.
	begin() error
	// event takes the next event; the terminal one completes the response.
	event(e schemas.Event) error
	// idle is called after each silence of Config.KeepAlive.
	idle() error
	// fail completes the response with an error that is not of the job's log.
	fail(f *failure)
}

// exchange carries one stored job's events to its responder until the job ends, the
// client leaves, or the gateway cuts it. It runs on the request's handler
// goroutine, which owns the responder; one goroutine beside it reads the queue, so
// that a silent queue does not delay keep-alives, and is joined before run returns.
type exchange struct {
	g          *Gateway
	call       *call
	owner, job string
	// onDisconnect is what becomes of the job when its reader leaves.
	onDisconnect schemas.OnDisconnect
	// uncertain is the hash of a request under an Idempotency-Key whose Submit left
	// open whether the job is stored; "" of every other.
	uncertain string
	// deadline is that of the job; 0 if it is not known.
	deadline time.Duration
	// storedAt is our own clock when the job was known to be stored; of a job that
	// is followed, the server's.
	storedAt time.Time
	// replay are the events of a job that was there before; resumed says so.
	replay  []schemas.Event
	resumed bool
	// started: a worker has the job now.
	started bool
	// origin is the span of who stored a job that was there before.
	origin trace.SpanContext
	trace  streamTrace
}

// follow makes x read a job that was there before.
func (x *exchange) follow(s queue.JobState) {
	x.deadline, x.storedAt, x.replay, x.resumed, x.origin = s.Deadline, s.StoredAt, s.Events, true, s.Trace
}

// carry runs the exchange and says what is left to be said.
func (x *exchange) carry(w http.ResponseWriter, r *http.Request, to responder) {
	x.startStream(r.Context())
	defer x.trace.end(x.call)
	f, err := x.run(r.Context(), to)
	if err != nil {
		x.left(r.Context(), to, err)
		return
	}
	if f != nil {
		to.fail(f)
	}
	if f != nil && f.abandoned {
		_ = http.NewResponseController(w).Flush()
		x.abandon(r.Context())
	}
}

// followed is one reading of the queue.
type followed struct {
	event schemas.Event
	err   error
}

// run returns nothing after the job's terminal event, which completed the
// response; otherwise a failure that has still to be said, or a *clientGoneError.
func (x *exchange) run(ctx context.Context, to responder) (*failure, error) {
	after := int64(0)
	for _, e := range x.replay {
		x.observe(e)
		if err := to.event(e); err != nil || e.Type.Terminal() {
			return nil, err
		}
		after = e.N
	}
	x.replay = nil // the answer may be long, and the wait too
	reading, err := x.g.queue.Attend(x.owner, x.job)
	if err != nil {
		return lost(err), nil
	}
	defer reading.Close()
	follower, err := x.g.queue.Follow(ctx, x.owner, x.job, after)
	if err != nil {
		if ctx.Err() != nil {
			return nil, leftError(ctx)
		}
		return lost(err), nil
	}
	defer follower.Close()

	readCtx, stop := context.WithCancel(ctx)
	events, joined := make(chan followed), make(chan struct{})
	go func() {
		defer close(joined)
		read(readCtx, follower, events)
	}()
	defer func() { <-joined }()
	defer stop()

	hold := time.NewTimer(x.g.config.StatusHold)
	defer hold.Stop()
	silence := time.NewTimer(x.g.config.KeepAlive)
	defer silence.Stop()
	expiry := newExpiry(x)
	defer expiry.timer.Stop()

	for {
		select {
		case got := <-events:
			if got.err != nil {
				if ctx.Err() != nil {
					return nil, leftError(ctx)
				}
				return lost(got.err), nil
			}
			x.observe(got.event)
			x.trace.see(got.event)
			if err := to.event(got.event); err != nil || got.event.Type.Terminal() {
				return nil, err
			}
			silence.Reset(x.g.config.KeepAlive)
		case <-hold.C:
			if err := to.begin(); err != nil {
				return nil, err
			}
		case <-silence.C:
			if err := to.idle(); err != nil {
				return nil, err
			}
			silence.Reset(x.g.config.KeepAlive)
		case <-expiry.timer.C:
			if f := expiry.fire(ctx); f != nil {
				return f, nil
			}
		case <-x.call.tracked.cut:
			return x.cut(), nil
		case <-ctx.Done():
			return nil, leftError(ctx)
		}
	}
}

// leftError is the error of a request whose connection ended.
func leftError(ctx context.Context) error {
	return &clientGoneError{cause: context.Cause(ctx), mayRead: true}
}

// cut is said to a client whose job goes on without this gateway.
func (x *exchange) cut() *failure {
	return &failure{code: schemas.CodeServerRestarting, message: fmt.Sprintf(
		"This gateway is stopping. The job %s goes on without it.", x.job)}
}

// lost is the failure of a job that can be read no more: its client is told so,
// and nobody is left to take its answer.
func lost(err error) *failure {
	f := queueFailure(err)
	f.abandoned = true
	return f
}

// read hands events over one by one, so it reads no further ahead than one.
func read(ctx context.Context, f *queue.Follower, out chan<- followed) {
	for {
		e, err := f.Next(ctx)
		select {
		case out <- followed{e, err}:
		case <-ctx.Done():
			return
		}
		if err != nil || e.Type.Terminal() {
			return
		}
	}
}

// observe keeps what the log line, the metrics and the deadline need.
func (x *exchange) observe(e schemas.Event) {
	c, now := x.call, time.Now()
	waits := c.progress.first.IsZero()
	c.progress.see(e, now, x.resumed)
	if waits && !c.progress.first.IsZero() {
		observe(x.g.metrics.ttft.WithLabelValues(c.api, c.modelLabel, string(c.class)), now.Sub(c.start), c.span)
	}
	switch e.Type {
	case schemas.EventStarted:
		x.started = true
		c.worker = e.Started.Worker
		c.about()
	case schemas.EventRequeued:
		x.started = false
	default:
	}
}

// deadlineExceeded is said where the log could not be made to say it.
func deadlineExceeded(deadline time.Duration, started bool) *failure {
	return endFailure(openai.EndError(schemas.Event{
		Type:    schemas.EventExpired,
		Expired: &schemas.Expired{DeadlineMS: deadline.Milliseconds(), Started: started},
	}, ""))
}

// expiry ends a job whose deadline passed. It has up to three stages, each
// started by its timer: a grace for a running job's worker, which alone knows
// the usage; writing the end; and giving up on reading that end back.
type expiry struct {
	x       *exchange
	timer   *time.Timer
	graced  bool
	written bool
}

func newExpiry(x *exchange) *expiry {
	y := &expiry{x: x, timer: time.NewTimer(time.Until(x.storedAt.Add(x.deadline)))}
	if x.deadline == 0 || x.storedAt.IsZero() {
		y.timer.Stop()
	}
	return y
}

// fire returns a failure if the client should wait no longer. Otherwise the
// end comes through the job's events.
func (y *expiry) fire(ctx context.Context) *failure {
	x := y.x
	if x.started && !y.graced {
		y.graced = true
		y.timer.Reset(x.g.config.DeadlineGrace)
		return nil
	}
	if y.written {
		return deadlineExceeded(x.deadline, x.started)
	}
	y.written = true
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.g.config.QueueTimeout)
	defer cancel()
	if err := x.g.queue.Expire(bounded, x.owner, x.job, x.deadline); err != nil {
		x.call.log.WarnContext(ctx, "the end of an expired job could not be written; its worker or the next gateway will",
			schemas.LogError, err)
		return deadlineExceeded(x.deadline, x.started)
	}
	y.timer.Reset(x.g.config.QueueTimeout)
	return nil
}

// left ends an exchange whose client is gone: its job is abandoned, and a client
// that may read all the same is told so, in the time that a cut stream has.
func (x *exchange) left(ctx context.Context, to responder, err error) {
	farewell := x.abandon(ctx)
	var gone *clientGoneError
	if errors.As(err, &gone) && gone.mayRead {
		x.call.tracked.cutNow()
		to.fail(farewell)
	}
	x.call.leave(err)
}

// queueFailure maps the queue's errors to codes.
func queueFailure(err error) *failure {
	f := queueFailureOf(err)
	f.cause = err
	return f
}

// fullFailure tells what is full, who waits, and for how long.
func fullFailure(full *queue.FullError) *failure {
	what := fmt.Sprintf("The class %s holds %d jobs", full.Class, full.Stored)
	if full.OwnFlow {
		what = fmt.Sprintf("You have %d jobs in one flow of the class %s", full.Stored, full.Class)
	}
	ahead := ""
	if full.Waiting >= 0 {
		ahead = fmt.Sprintf(" %d jobs of this class wait for %s.", full.Waiting, full.Model)
	}
	after := full.RetryAfter.Round(time.Second)
	return &failure{code: schemas.CodeQueueFull, after: full.RetryAfter, message: fmt.Sprintf(
		"%s, and no more fit in.%s Send the request again in %v.", what, ahead, after)}
}

func queueFailureOf(err error) *failure {
	if full := new(queue.FullError); errors.As(err, &full) {
		return fullFailure(full)
	}
	switch {
	case errors.Is(err, queue.ErrQueueFull):
		return &failure{code: schemas.CodeQueueFull, message: "The queue holds as many jobs as it may. Send the request again later."}
	case errors.Is(err, queue.ErrForbidden):
		return &failure{
			code: schemas.CodeQueueUnavailable,
			message: "The broker does not permit this gateway what its release needs. Its operator brings the rights up to date with " +
				"`semantic nats renew` and a restart of the brokers.",
		}
	case errors.Is(err, queue.ErrStorageFull):
		return &failure{code: schemas.CodeStorageFull, message: "The broker's storage is full. Send the request again later."}
	case errors.Is(err, queue.ErrTooLarge):
		return &failure{code: schemas.CodeRequestTooLarge, message: "The job is larger than what the broker takes in one message."}
	case errors.Is(err, queue.ErrLogRewound):
		return &failure{code: schemas.CodeLogRewound, message: "The broker lost the end of what was read of this job. Read it from its start."}
	case errors.Is(err, queue.ErrUnavailable), errors.Is(err, queue.ErrJetStreamUnavailable),
		errors.Is(err, queue.ErrUnauthorized), errors.Is(err, queue.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return &failure{
			code:    schemas.CodeQueueUnavailable,
			message: "The job queue cannot be reached at the moment. Send the request again later.",
		}
	}
	if e := new(schemas.FieldError); errors.As(err, &e) {
		return jobFailure(err)
	}
	return faulty()
}
