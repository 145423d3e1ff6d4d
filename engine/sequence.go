package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// interruptRows is from how many rows of its own in the running step on a
// cancelled sequence interrupts it: a smaller step is over soon, and the others'
// rows would be lost.
const interruptRows = 32

// patience is how often a waiting sequence is overtaken by ones of a better
// class: the queue gives the lowest class one of 16 turns.
const patience = 15

// Sequence is a request inside an engine. One goroutine at a time may call
// Next; Cancel and Started are safe for concurrent use.
type Sequence struct {
	engine *Engine
	output output

	// Fixed at Submit.
	request Request
	arrival uint64
	// ends are the tokens that end it.
	ends []Token
	// limit is how many tokens it may generate, Emitted included.
	limit  int
	logger *slog.Logger
	// parent is the span that Submit was called in: steps are linked to it. exemplar
	// names its trace, if that is sampled.
	parent   trace.SpanContext
	exemplar labels

	started     chan struct{}
	startedOnce sync.Once
	cancelled   atomic.Bool
	// alone is Request.Alone, until Together.
	alone atomic.Bool
	// stepRows is how many rows of the running step are its own.
	stepRows atomic.Int32
	times    timeline

	// The loop's own, from here on.

	// tokens are the prompt and all that was generated; resident of them are in
	// the KV cache, under slot, when it has a place (admitted).
	tokens   []Token
	resident int
	slot     SeqID
	admitted bool
	text     textState
	// constraint is nil without a grammar.
	constraint *constraint
	// released is the text that the last token released, the first replayed
	// bytes of it by itself, the others because it ended the sequence.
	released []byte
	replayed int
	// shown counts the bytes of text that were put out.
	shown int
	// keys name the first full blocks of tokens; the first indexed of them are
	// in the prefix index.
	keys    []blockKey
	indexed int
	// leader, if set, is reading what this one will share when the leader has
	// leaderAt resident positions.
	leader   *Sequence
	leaderAt int
	// kept is its state while it is preempted, if that was kept.
	kept kept
	// overtaken counts those of a better class that were admitted while it waited.
	overtaken int
	// longest is the longest time between two of its tokens.
	longest time.Duration
	// missed and wanted are the planner's.
	missed, wanted int
	// since is when its buffer was found full; zero when it is not.
	since time.Time

	// state is what others may know, under Engine.mu.
	state RequestState
	// claim is how many cells it was promised beside what it has, under Engine.mu.
	claim int
	// firm: it yields to nobody, under Engine.mu.
	firm bool
}

// Next returns what was generated since the last call, and waits for it if that
// is nothing. The last chunk has Finish; after it comes io.EOF. A sequence that
// ends otherwise returns what was left, then, on every call: ErrCancelled,
// ErrDrained, ErrSlowConsumer, ErrClosed or ErrBackend. When ctx ends first,
// its error is returned and nothing is lost.
func (s *Sequence) Next(ctx context.Context) (Chunk, error) { return s.output.next(ctx) }

// Cancel ends the sequence in whatever phase it is; its cells are free within
// one step. It does nothing after the end and may be called again.
func (s *Sequence) Cancel() {
	s.cancelled.Store(true)
	if s.stepRows.Load() >= interruptRows {
		s.engine.interrupt()
	}
	s.engine.signal()
}

// Together ends Request.Alone. It may be called in any phase and again.
func (s *Sequence) Together() {
	if s.alone.Swap(false) {
		s.engine.signal()
	}
}

// insists reports whether others must stay out of the next step: they need not
// wait while its own reader keeps it from advancing.
func (s *Sequence) insists() bool { return s.alone.Load() && s.since.IsZero() }

// Started is closed when the sequence's first row goes into a step, or when it
// ends without one.
func (s *Sequence) Started() <-chan struct{} { return s.started }

// Cached is how many of the prompt's tokens others had computed; 0 before Started.
func (s *Sequence) Cached() int {
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	return s.state.Cached
}

func (s *Sequence) start() { s.startedOnce.Do(func() { close(s.started) }) }

func (s *Sequence) generated() []Token { return s.tokens[len(s.request.Prompt):] }

// view is the planner's view.
func (s *Sequence) view() planSequence {
	return planSequence{
		slot: s.slot, tokens: s.tokens, prompt: len(s.request.Prompt), resident: s.resident,
		blocked: !s.since.IsZero(), missed: s.missed, wanted: s.wanted,
	}
}

// compareRank orders sequences: the lower class number first, then the earlier
// one. Room is taken from the last.
func compareRank(a, b *Sequence) int {
	return cmp.Or(cmp.Compare(a.request.Class, b.request.Class), cmp.Compare(a.arrival, b.arrival))
}

// compareWaiting orders those that wait for a place: first who was overtaken often
// enough, by arrival, then the others by rank.
func compareWaiting(a, b *Sequence) int {
	late, other := a.overtaken >= patience, b.overtaken >= patience
	switch {
	case late && other:
		return cmp.Compare(a.arrival, b.arrival)
	case late:
		return -1
	case other:
		return 1
	}
	return compareRank(a, b)
}

func (s *Sequence) phase() Phase {
	if !s.admitted {
		return PhaseWaiting
	}
	return s.view().phase()
}

// report publishes what others may know. Engine.mu is held.
func (s *Sequence) report() {
	s.state = RequestState{
		ID: s.request.ID, Class: s.request.Class, Phase: s.phase(),
		Prompt: len(s.request.Prompt), Generated: len(s.generated()), Resident: s.resident,
		Cached: s.times.Cached, KeptBytes: int64(len(s.kept.state)), Preemptions: s.times.Preemptions,
	}
	s.claim, s.firm = len(s.tokens)-s.resident, s.overtaken >= patience
	if s.leader != nil && !s.admitted {
		s.claim -= s.leaderAt
	}
}

// last is the chunk with which it ends by itself, now.
func (s *Sequence) last(finish Finish, now time.Time) Chunk {
	chunk := Chunk{
		Finish:  finish,
		Usage:   Usage{Prompt: len(s.request.Prompt), Completion: len(s.generated()), Cached: s.times.Cached},
		Timings: s.times.timings(now),
	}
	return chunk
}

// finished is the line of its end.
func (s *Sequence) finished(how slog.Attr) {
	t := &s.times
	s.logger.Debug("finished", slog.String(keyEvent, eventFinished), how,
		slog.Int(keyTokens, len(s.generated())), slog.Int(keyCachedTokens, t.Cached),
		slog.Int(keyPreemptions, t.Preemptions), slog.Duration(keyDuration, t.Ended.Sub(t.Submitted)))
}

// accept takes a token in, from the sampler or from Request.Emitted, and
// reports how it ends the sequence; "" if it does not. What text the token
// releases is in s.released then; at an end that is all there is.
func (s *Sequence) accept(token Token) Finish {
	s.released, s.replayed = s.released[:0], 0
	if s.isEnd(token) {
		s.released = s.text.flush(s.released)
		return FinishStop
	}
	s.tokens = append(s.tokens, token)
	s.constraint.accept(token)
	var stopped bool
	s.released, stopped = s.text.push(s.released, token)
	s.replayed = len(s.released)
	switch {
	case stopped:
		return FinishStop
	case s.constraint.finished():
		s.released = s.text.flush(s.released)
		return FinishStop
	case len(s.generated()) >= s.limit:
		s.released = s.text.flush(s.released)
		return FinishLength
	}
	return ""
}

// replay takes Request.Emitted in. Its text was output before, except what the
// end releases: that comes with the end only, so it was not.
func (s *Sequence) replay() (Finish, error) {
	for i, token := range s.request.Emitted {
		if !s.permits(token) {
			return "", fmt.Errorf("%w: Emitted has at %d the token %d, which the grammar does not allow", ErrInvalid, i, token)
		}
		if finish := s.accept(token); finish != "" {
			return finish, nil
		}
		s.shown += len(s.released)
	}
	return "", nil
}
