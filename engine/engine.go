package engine

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// quantum is the measure of prefill cuts in rows.
const quantum = 64

// Options are what New needs. Only Backend must be set.
type Options struct {
	Backend Backend
	// Logger gets what happens to sequences; nil discards.
	Logger *slog.Logger
	// Registerer gets the engine's metrics until Close; nil means none.
	Registerer prometheus.Registerer
	// TracerProvider gets a prefill and a decode span per sequence, children of
	// the span in Submit's context; nil means none.
	TracerProvider trace.TracerProvider
	// Config; the zero value means DefaultConfig.
	Config Config
}

// Engine batches requests on one backend. All methods are safe for concurrent
// use.
type Engine struct{}

// New starts the engine, which owns the backend from here on, also when New
// fails: then the backend is closed.
func New(_ Options) (*Engine, error) { return nil, ErrClosed }

// Submit takes a request in; it waits inside the engine until there is a place
// for it. The context bounds this call only (and carries the trace): the
// sequence lives until its end or Cancel, and must be read by Next or cancelled.
//
// Errors: ErrInvalid, *ContextLengthError, ErrFull, ErrDraining, ErrClosed,
// ErrBackend.
func (e *Engine) Submit(_ context.Context, _ Request) (*Sequence, error) { return nil, ErrClosed }

// Room returns what is free. A Submit is seen by the very next call.
func (e *Engine) Room() Room { return Room{} }

// RoomChanged is signalled (capacity 1, coalescing: for one listener) whenever
// a place may have become free.
func (e *Engine) RoomChanged() <-chan struct{} { return nil }

// Failed is closed once the backend has failed for good. All sequences have
// ended with ErrBackend then, and the process should be replaced.
func (e *Engine) Failed() <-chan struct{} { return nil }

// Info describes the model.
func (e *Engine) Info() ModelInfo { return ModelInfo{} }

// Limits are the bounds in force: the backend's, made smaller by Config.
func (e *Engine) Limits() Limits { return Limits{} }

// Vocabulary is the model's; it must not be used after Close.
func (e *Engine) Vocabulary() Vocabulary { return nil }

// Snapshot returns every tracked request and the state of the cells, as of the
// end of the last step.
func (e *Engine) Snapshot() Snapshot { return Snapshot{} }

// Drain refuses new requests from now on and waits until those that are tracked
// have ended. When ctx ends first, the rest ends with ErrDrained from Next, and
// is returned. It may be called more than once and from several goroutines;
// each call returns all that did not finish. It does not wait for readers.
func (e *Engine) Drain(_ context.Context) []Unfinished { return nil }

// Close ends what is running (Next returns ErrClosed), joins the loop and closes
// the backend. It may be called more than once; later calls return the same.
func (e *Engine) Close() error { return nil }

// Sequence is a request inside an engine. One goroutine at a time may call
// Next; Cancel and Started are safe for concurrent use.
type Sequence struct{}

// Next returns what was generated since the last call, and waits for it if that
// is nothing. The last chunk has Finish; after it comes io.EOF. A sequence that
// ends otherwise returns what was left, then, on every call: ErrCancelled,
// ErrDrained, ErrSlowConsumer, ErrClosed or ErrBackend. When ctx ends first,
// its error is returned and nothing is lost.
func (s *Sequence) Next(_ context.Context) (Chunk, error) { return Chunk{}, ErrClosed }

// Cancel ends the sequence in whatever phase it is; its cells are free within
// one step. It does nothing after the end and may be called again.
func (s *Sequence) Cancel() {}

// Started is closed when the sequence's first row goes into a step, or when it
// ends without one.
func (s *Sequence) Started() <-chan struct{} { return nil }
