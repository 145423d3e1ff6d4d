package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/engine/grammar"
)

// Options are what New needs. Only Backend must be set.
type Options struct {
	Backend Backend
	// Logger gets what happens to sequences; nil discards.
	Logger *slog.Logger
	// Registerer gets the engine's metrics until Close; nil means none.
	Registerer prometheus.Registerer
	// TracerProvider gets a span per step that reads prompts, linked to the spans
	// in whose contexts Submit was called; nil means none. When what happened to a
	// sequence is in its Timeline.
	TracerProvider trace.TracerProvider
	// Config; the zero value means DefaultConfig.
	Config Config
}

// Engine batches requests on one backend. All methods are safe for concurrent
// use.
type Engine struct {
	backend Backend
	info    ModelInfo
	limits  Limits
	config  Config
	logger  *slog.Logger
	metrics *metrics
	tracer  trace.Tracer // nil means none
	// ends are the vocabulary's ends of generation; tries its arrangements for
	// grammars, without and with the text of control tokens, made when first
	// asked for.
	ends []Token
	// root is the parent of the keys of first blocks.
	root blockKey
	// batchWindow is Config.BatchWindow as it was last set, in nanoseconds.
	batchWindow atomic.Int64
	tries       [2]func() *grammar.Trie

	// wake is signalled when the loop has something new to look at.
	wake chan struct{}
	// changed is what RoomChanged returns.
	changed chan struct{}
	// failed is closed when the backend has failed, joined when the loop is over.
	failed, joined chan struct{}
	failOnce       sync.Once
	closeErr       error // written before joined is closed

	// mu guards what the loop shares with callers. Nothing waits while it is
	// held, and of other locks only a backend's own.
	mu       sync.Mutex
	tracked  []*Sequence // in the order of arrival
	inbox    []*Sequence // not yet seen by the loop
	arrivals uint64
	// submitting counts the callers inside Submit, who use the vocabulary.
	// Added to only while closing is false.
	submitting sync.WaitGroup
	// draining, forced, closing and gone (the backend is closed) only ever
	// become true.
	draining, forced, closing, gone bool
	// broken is why the backend failed.
	broken  error
	drained Drained
	// idle are closed and dropped when nothing is tracked.
	idle   []chan struct{}
	totals Snapshot // without Requests and Draining

	loop loop
}

// New starts the engine, which owns the backend from here on, also when New
// fails: then the backend is closed.
func New(opts Options) (*Engine, error) {
	if opts.Backend == nil {
		return nil, fmt.Errorf("%w: no backend", ErrInvalid)
	}
	e, err := build(opts)
	if err != nil {
		return nil, errors.Join(err, opts.Backend.Close())
	}
	go e.run()
	return e, nil
}

func build(opts Options) (*Engine, error) {
	config := cmp.Or(opts.Config, DefaultConfig())
	if err := config.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		backend: opts.Backend,
		info:    opts.Backend.Info(),
		limits:  opts.Backend.Limits(),
		config:  config,
		logger:  cmp.Or(opts.Logger, slog.New(slog.DiscardHandler)),
		wake:    make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
		failed:  make(chan struct{}),
		joined:  make(chan struct{}),
	}
	e.limits.restrict(config)
	if l := e.limits; l.Cells < 2 || l.Context < 2 || l.Context > l.Cells || l.Batch < 1 || l.Sequences < 1 {
		return nil, fmt.Errorf("%w: limits %+v of the backend and the configuration leave no room", ErrInvalid, l)
	}
	e.ends = endsOfGeneration(e.Vocabulary())
	for i := range e.tries {
		e.tries[i] = sync.OnceValue(func() *grammar.Trie { return newTrie(e.Vocabulary(), i == 1) })
	}
	if opts.TracerProvider != nil {
		e.tracer = opts.TracerProvider.Tracer("github.com/semantic-worker/semantic/engine")
	}
	e.totals.Cells = e.limits.Cells
	e.loop.init(e.limits, config)
	e.account()
	e.root = rootKey(e.info.Fingerprint)
	e.SetBatchWindow(config.BatchWindow)
	var err error
	e.metrics, err = newMetrics(opts.Registerer, e)
	return e, err
}

// restrict makes limits smaller, as the configuration says.
func (l *Limits) restrict(config Config) {
	if config.MaxCells > 0 {
		l.Cells = min(l.Cells, config.MaxCells)
	}
	if config.StepRows > 0 {
		l.Batch = min(l.Batch, config.StepRows)
	}
	l.Context = min(l.Context, l.Cells)
	l.Sequences = min(l.Sequences, l.Batch)
}

// Submit takes a request in; it waits inside the engine until there is a place
// for it. The context bounds this call only (and carries the trace): the
// sequence lives until its end or Cancel, and must be read by Next or cancelled.
// The request's slices must not be changed afterwards.
//
// Errors: ErrInvalid, *ContextLengthError, ErrFull, ErrDraining, ErrClosed,
// ErrBackend.
func (e *Engine) Submit(ctx context.Context, r Request) (*Sequence, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx) //nolint:wrapcheck // the caller's own error
	}
	if err := e.enter(r.ID); err != nil {
		return nil, err
	}
	defer e.submitting.Done()
	if err := e.check(r); err != nil {
		return nil, err
	}
	s := e.sequence(ctx, r)
	finish, err := s.replay()
	if err != nil {
		return nil, err
	}
	if finish != "" {
		// It had come to its end before, and needs no place.
		s.start()
		now := time.Now()
		s.times.ended(now)
		last := s.last(finish, now)
		s.output.put(&last, s.released[s.replayed:])
		return s, nil
	}
	if err := e.track(s); err != nil {
		return nil, err
	}
	e.signal()
	return s, nil
}

// check refuses what the engine does not allow or could never do.
func (e *Engine) check(r Request) error {
	size := e.Vocabulary().Size()
	bad := func(t Token) bool { return t < 0 || int(t) >= size }
	switch {
	case r.ID == "":
		return fmt.Errorf("%w: the request has no ID", ErrInvalid)
	case len(r.Prompt) == 0:
		return fmt.Errorf("%w: the prompt is empty", ErrInvalid)
	case slices.ContainsFunc(r.Prompt, bad):
		return fmt.Errorf("%w: the prompt has a token outside the vocabulary of %d", ErrInvalid, size)
	case slices.ContainsFunc(r.Emitted, bad):
		return fmt.Errorf("%w: Emitted has a token outside the vocabulary of %d", ErrInvalid, size)
	case slices.ContainsFunc(r.Emitted, e.Vocabulary().EndOfGeneration):
		return fmt.Errorf("%w: Emitted has a token that ends the generation", ErrInvalid)
	case r.MaxTokens < 0:
		return fmt.Errorf("%w: MaxTokens is %d, must not be negative", ErrInvalid, r.MaxTokens)
	case slices.ContainsFunc(r.StopTokens, bad):
		return fmt.Errorf("%w: StopTokens has a token outside the vocabulary of %d", ErrInvalid, size)
	case slices.ContainsFunc(r.Emitted, func(t Token) bool { return slices.Contains(r.StopTokens, t) }):
		return fmt.Errorf("%w: Emitted has a token of StopTokens", ErrInvalid)
	case r.TopLogprobs < 0 || r.TopLogprobs > MaxTopLogprobs:
		return fmt.Errorf("%w: TopLogprobs is %d, must be 0 … %d", ErrInvalid, r.TopLogprobs, MaxTopLogprobs)
	case slices.Contains(r.Stop, ""):
		return fmt.Errorf("%w: a stop string is empty", ErrInvalid)
	case slices.ContainsFunc(r.Stop, func(s string) bool { return !utf8.ValidString(s) }):
		return fmt.Errorf("%w: a stop string is not UTF-8", ErrInvalid)
	case len(r.Prompt) >= e.limits.Context || r.MaxTokens > e.limits.Context-len(r.Prompt):
		return &ContextLengthError{Prompt: len(r.Prompt), MaxTokens: r.MaxTokens, Context: e.limits.Context}
	}
	return r.validate(size)
}

func (e *Engine) sequence(ctx context.Context, r Request) *Sequence {
	s := &Sequence{
		engine: e, request: r,
		limit:   cmp.Or(r.MaxTokens, e.limits.Context-len(r.Prompt)),
		started: make(chan struct{}),
		logger:  cmp.Or(r.Logger, e.logger).With(keySequenceID, r.ID),
		text:    newTextState(e.Vocabulary(), r.Stop, r.Special),
		ends:    append(slices.Clip(e.ends), r.StopTokens...),
		parent:  trace.SpanContextFromContext(ctx),
	}
	s.times.Submitted, s.times.Prompt = time.Now(), len(r.Prompt)
	if s.parent.IsSampled() {
		s.exemplar = labels{"trace_id": s.parent.TraceID().String()}
	}
	s.alone.Store(r.Alone)
	s.constraint = newConstraint(e.Vocabulary(), &s.request, e.trie)
	s.output = output{
		maxTokens: e.config.BufferTokens, maxBytes: e.config.BufferBytes,
		ready: make(chan struct{}, 1), room: e.signal,
		wantLogprobs: r.Logprobs,
	}
	s.tokens = append(make([]Token, 0, len(r.Prompt)+min(s.limit, 256+len(r.Emitted))), r.Prompt...)
	s.name(len(r.Prompt) / blockCells)
	return s
}

func (e *Engine) trie(special bool) *grammar.Trie {
	if special {
		return e.tries[1]()
	}
	return e.tries[0]()
}

// enter keeps the backend open until submitting is done.
func (e *Engine) enter(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.willing(id); err != nil {
		return err
	}
	e.submitting.Add(1)
	return nil
}

// willing reports why a request cannot be taken. mu is held.
func (e *Engine) willing(id string) error {
	switch {
	case e.broken != nil:
		return e.broken
	case e.closing:
		return ErrClosed
	case e.draining:
		return ErrDraining
	case slices.ContainsFunc(e.tracked, func(s *Sequence) bool { return s.request.ID == id }):
		return fmt.Errorf("%w: a request with the ID %q is running", ErrInvalid, id)
	}
	return nil
}

func (e *Engine) track(s *Sequence) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.willing(s.request.ID); err != nil {
		return err
	}
	if waiting := e.waiting(); waiting >= e.config.MaxWaiting {
		return fmt.Errorf("%w: %d", ErrFull, waiting)
	}
	s.arrival = e.arrivals
	e.arrivals++
	s.report()
	e.tracked = append(e.tracked, s)
	e.inbox = append(e.inbox, s)
	return nil
}

// waiting counts the tracked requests without a place. mu is held.
func (e *Engine) waiting() (n int) {
	for _, s := range e.tracked {
		if s.state.Phase == PhaseWaiting {
			n++
		}
	}
	return n
}

// RoomChanged is signalled (capacity 1, coalescing: for one listener) whenever
// a place may have become free.
func (e *Engine) RoomChanged() <-chan struct{} { return e.changed }

// Failed is closed once the backend has failed for good. All sequences have
// ended with ErrBackend then, and the process should be replaced.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err is why the backend has failed; it wraps ErrBackend. It is nil as long as
// the backend works.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}

// Info describes the model.
func (e *Engine) Info() ModelInfo { return e.info }

// Limits are the bounds in force: the backend's, made smaller by Config.
func (e *Engine) Limits() Limits { return e.limits }

// Vocabulary is the model's; it must not be used after Close.
func (e *Engine) Vocabulary() Vocabulary { return e.backend.Vocabulary() }

// SetBatchWindow changes Config.BatchWindow, from the next start on, also one
// that is being waited for. What is not positive is 0.
func (e *Engine) SetBatchWindow(d time.Duration) {
	e.batchWindow.Store(int64(max(d, 0)))
	e.signal()
}

// Cancel ends the request of that ID as Sequence.Cancel does. It reports whether
// there was one.
func (e *Engine) Cancel(id string) bool {
	e.mu.Lock()
	i := slices.IndexFunc(e.tracked, func(s *Sequence) bool { return s.request.ID == id })
	var s *Sequence
	if i >= 0 {
		s = e.tracked[i]
	}
	e.mu.Unlock()
	if s == nil {
		return false
	}
	s.Cancel()
	return true
}

// interrupt ends the running step.
func (e *Engine) interrupt() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.gone {
		e.backend.Interrupt()
	}
}

// signal wakes the loop.
func (e *Engine) signal() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
