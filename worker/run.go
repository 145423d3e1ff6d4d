package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// phase is where a claimed job is on its way.
type phase int

const (
	// phaseClaimed: its size is not known yet. No claim beside it.
	phaseClaimed phase = iota
	// phaseSubmitted: the engine has it and counts its cells.
	phaseSubmitted
	// phaseStarted: its first row was in a step.
	phaseStarted
	// phaseEnding: the engine has it no more, or never had it; last writes.
	phaseEnding
)

// run is one claimed job. Its goroutine alone calls the delivery's methods,
// except Adopt, which the claim loop calls.
type run struct {
	w        *Worker
	delivery *queue.Delivery
	log      *slog.Logger
	number   uint64 // counts the worker's claims
	claimed  time.Time
	trace    claimTrace
	named    string // the agent, as the job names it; set at the claim
	agent    string // the same for the agents gauge; the flow where the job names none

	// Of the run's goroutine.
	job      schemas.Job
	history  history
	deadline time.Duration // how long the job may wait and run, from StoredAt
	usage    schemas.Usage // of what is in the log
	open     bool          // the log says that this worker has the job; a death would be counted
	started  bool          // start was said in the log
	// firstToken is from the storing of the job to its first token in the log, where
	// this attempt has that.
	firstToken time.Duration
	// measured, finish and code are for the last line; answers, too, where the
	// worker logs what users get.
	measured measured
	finish   schemas.FinishReason
	code     schemas.Code
	answers  []*strings.Builder
	emitted  bool // whether this attempt appended a token
	quiet    bool // no line about this claim's end
	isolated bool // this attempt began alone, as a suspect's

	// planned is closed once the job is no longer in phaseClaimed, or has gone.
	planned chan struct{}

	mu      sync.Mutex // guards the rest; taken after Worker.mu
	gone    bool       // whether planned is closed
	alone   bool       // nothing is to be claimed beside it; set at the claim
	phase   phase
	tally   tally
	cause   error              // why it is stopped; the first cause stays
	stopped chan struct{}      // closed with cause
	seqs    []*engine.Sequence // of its choices, as they are submitted
}

func newRun(w *Worker, d *queue.Delivery) *run {
	agent, named := fmt.Sprintf("%s/%02d", d.Owner, d.Flow), d.Agent()
	if named != "" {
		agent = d.Owner + "/" + named
	}
	spans, log := w.startTrace(d), w.log
	if s := spans.job.SpanContext(); s.HasTraceID() {
		log = log.With(schemas.LogTraceID, s.TraceID().String())
	}
	return &run{
		w:        w,
		delivery: d,
		trace:    spans,
		log:      log.With(schemas.LogRequestID, d.RequestID, schemas.LogJobID, d.JobID, schemas.LogClass, d.Class),
		number:   w.claims.Add(1),
		claimed:  time.Now(),
		named:    named,
		agent:    agent,
		planned:  make(chan struct{}),
		stopped:  make(chan struct{}),
	}
}

// stop ends the run for a cause, in whatever phase it is. Safe for concurrent
// use; after the first call it does nothing.
func (r *run) stop(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause != nil {
		return
	}
	r.cause = cause
	close(r.stopped)
	for _, seq := range r.seqs {
		seq.Cancel()
	}
}

func (r *run) stopCause() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// attach gives stop a sequence to cancel.
func (r *run) attach(seq *engine.Sequence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seqs = append(r.seqs, seq)
	if r.cause != nil {
		seq.Cancel()
	}
}

// dropAll cancels every sequence; what has ended stays as it is.
func (r *run) dropAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, seq := range r.seqs {
		seq.Cancel()
	}
}

func (r *run) currentPhase() phase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.phase
}

// enter moves the run to a phase and tells the claim loop.
func (r *run) enter(p phase) {
	r.mu.Lock()
	r.phase = p
	r.mu.Unlock()
	r.leaveClaimed()
	signal(r.w.changed)
}

// serve takes the job to its end, or gives it back. ctx is that of all writes:
// when it ends, the job is left as it is.
func (r *run) serve(ctx context.Context) {
	ctx = r.trace.context(ctx)
	var heart sync.WaitGroup
	beating, rest := context.WithCancel(ctx)
	heart.Go(func() {
		if err := r.delivery.KeepAlive(beating); err != nil && beating.Err() == nil {
			r.log.Warn("heartbeats ended", schemas.LogError, err)
		}
	})
	result := r.handle(ctx)
	r.w.count(result)
	rest()
	heart.Wait()
	r.w.metrics.ended(r.delivery.Class, result)
	if !r.quiet {
		r.sayEnd(ctx, result)
		r.trace.end(ctx, result, r.usage, r.attempt(), r.firstToken)
	}
}

// handle is the state machine of the package comment.
func (r *run) handle(ctx context.Context) outcome {
	r.history = readHistory(r.delivery.Log())
	var lost error
	if !r.history.ended {
		lost = r.delivery.Load(ctx)
	}
	job, bad := r.delivery.Job()
	if lost != nil {
		bad = lost
	}
	r.job = job
	r.trace.asked(job)
	r.deadline = r.w.queue.Deadline(job, r.delivery.Class)
	if usage := r.history.usage(); usage != nil {
		r.usage = *usage
		r.resumed(*usage)
	}
	unfit := r.unfit(bad)
	if unfit == nil {
		r.sayClaimed()
	}
	if r.history.ended {
		return r.acknowledge(ctx, outcomeEnded)
	}
	if errors.Is(bad, queue.ErrUnavailable) {
		return outcomeAbandoned // the worker's end came first
	}
	if errors.Is(bad, schemas.ErrNewerVersion) {
		r.deadline = r.delivery.PeekDeadline()
	} else if bad = r.check(job, bad); bad != nil {
		return r.refuse(ctx, bad)
	}

	left := r.left()
	if left <= 0 {
		return r.expire(ctx)
	}
	timer := time.AfterFunc(left, func() { r.stop(errDeadline) })
	defer timer.Stop()

	guilt := r.delivery.Guilt()
	if guilt.Condemned(r.w.config.MaxAttempts) {
		return r.giveUp(ctx, schemas.CodeWorkerLost, "")
	}
	if unfit != nil {
		return r.hold(ctx, unfit)
	}
	if cause := r.stopCause(); cause != nil {
		return r.conclude(ctx, cause)
	}
	if r.w.engineLost() {
		// Without a word in the log, where it would take back what this worker's
		// death on the same job counts.
		return r.handBack(ctx)
	}
	if r.isAlone() {
		r.isolate()
		if cause := r.stopCause(); cause != nil {
			return r.conclude(ctx, cause)
		}
	}
	return r.generate(ctx)
}

// check adds what only this worker knows to what is wrong with a job.
func (r *run) check(job schemas.Job, bad error) error {
	switch {
	case bad != nil:
		return bad
	case job.Model != r.w.model.Name:
		return &schemas.FieldError{
			Field: "model", Code: schemas.CodeInvalidRequest,
			Reason: fmt.Sprintf("is %q, but the job was published for %q", job.Model, r.w.model.Name),
		}
	case r.history.first == nil:
		return r.w.queue.CheckDeadline(job)
	}
	return nil
}

// left is the time until the deadline.
func (r *run) left() time.Duration { return time.Until(r.delivery.StoredAt.Add(r.deadline)) }

// generate plans the job, runs its choices in the engine and logs what comes.
func (r *run) generate(ctx context.Context) outcome {
	if err := r.prepare(ctx); err != nil {
		return r.lost(ctx, err)
	}
	task, err := r.newTask()
	if errors.Is(err, errOtherPrompt) {
		return r.hold(ctx, err)
	}
	if err != nil {
		return r.refuse(ctx, err)
	}
	choices, err := r.choices(task)
	if err != nil {
		return r.refuse(ctx, err)
	}
	// What turns out to be in the cache, or is never begun, is given back.
	cost := task.promptTokens()
	r.delivery.Charge(cost)
	defer func() { r.delivery.Charge(-cost) }()
	seed := r.seed()
	// A suspect that has the engine for itself may strike in its first step: what
	// would prove it guilty is then in the log before.
	if r.isolated && len(r.w.others(r)) == 0 {
		if err := r.start(ctx, task, seed); err != nil {
			return r.lost(ctx, err)
		}
	}
	submitted := time.Now()
	defer r.traceRest(ctx, choices)
	defer r.measure(choices)
	defer r.dropAll() // Whatever happens below, no cells are lost.
	if err := r.submit(ctx, task, choices, seed); err != nil {
		return r.notSubmitted(ctx, err)
	}
	r.trace.submitted(ctx, task, choices)
	r.enter(phaseSubmitted)

	// The engine begins with the first of them.
	<-choices[0].seq.Started()
	// What a failed engine had taken ends by itself (handBackUnstarted).
	if cause := r.stopCause(); cause != nil && (!errors.Is(cause, errHandover) || !r.w.engineLost()) {
		return r.conclude(ctx, cause)
	}
	r.enter(phaseStarted)
	r.delivery.Charge(-choices[0].seq.Cached())
	cost = 0
	if !r.started {
		if err := r.start(ctx, task, seed); err != nil {
			return r.lost(ctx, err)
		}
	}
	return r.stream(ctx, choices, submitted)
}

// traceRest makes the spans of what did not come to an end here.
func (r *run) traceRest(ctx context.Context, choices []*choice) {
	for _, c := range choices {
		r.trace.ended(ctx, c, engine.ErrCancelled)
	}
}

// attempt is the number of this attempt, or that it would have.
func (r *run) attempt() int { return r.history.attempts + 1 }

// start says in the log that this attempt begins.
func (r *run) start(ctx context.Context, task *task, seed int64) error {
	started := &schemas.Started{
		Attempt:      r.attempt(),
		Worker:       r.w.identity.ID,
		Incarnation:  r.w.identity.Incarnation,
		Fingerprint:  r.w.model.Fingerprint,
		Seed:         seed,
		PromptTokens: task.promptTokens(),
		Alone:        r.isolated,
	}
	if err := r.delivery.Append(ctx, schemas.Event{Type: schemas.EventStarted, Started: started}); err != nil {
		return err
	}
	r.open, r.started = true, true
	r.usage.PromptTokens = started.PromptTokens
	r.begun(started)
	r.sayStarted(ctx, started.Attempt, started.PromptTokens, len(task.prompts)*task.each)
	if r.history.tokens > 0 {
		r.w.metrics.resumed.WithLabelValues(string(r.delivery.Class)).Inc()
	}
	return nil
}

// prepare says in the log of a job that was offered before that this worker
// begins with it: what comes before the start may be what killed the workers
// before. The first delivery of a job goes without.
func (r *run) prepare(ctx context.Context) error {
	if r.delivery.Deliveries < 2 && !r.isolated {
		return nil
	}
	r.open = true
	return r.requeue(ctx, schemas.ReasonPreparing)
}

// seed is the job's, or the first attempt's, or a new one that JavaScript can
// read without loss.
func (r *run) seed() int64 {
	switch {
	case r.history.first != nil:
		return r.history.first.Seed
	case r.job.Seed != nil:
		return *r.job.Seed
	default:
		return rand.Int64N(1 << 53)
	}
}

// partialUsage is what the log accounts for; nil when nothing started.
func (r *run) partialUsage() *schemas.Usage {
	if r.usage.PromptTokens == 0 {
		return nil
	}
	usage := r.usage
	return &usage
}

func milliseconds(d time.Duration) float64 {
	return float64(max(d, 0)) / float64(time.Millisecond)
}
