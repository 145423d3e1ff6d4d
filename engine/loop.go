package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"time"
)

// loop is what belongs to the loop alone.
type loop struct {
	// running have a place in the backend, in the order of rank; waiting have none,
	// in that of compareWaiting.
	running, waiting []*Sequence
	// places are the free ones.
	places  []SeqID
	pool    pool
	index   prefixIndex
	spill   spill
	pace    pace
	planner planner
	sampler sampler
	steps   uint64
	timer   *time.Timer
	// gathering is since when an idle engine has something to begin with; gathers
	// says that it still waits for company.
	gathering time.Time
	gathers   bool
	// broken: the backend has failed.
	broken bool

	// views and planned are scratch: the planner's input, and whose rows its
	// indexes mean.
	views   []planSequence
	planned []*Sequence
}

func (l *loop) init(limits Limits, config Config) {
	l.pool = newPool(limits.Sequences)
	l.index = prefixIndex{}
	l.pace.bound = config.InterTokenBound
	for slot := limits.Sequences - 1; slot >= 0; slot-- {
		l.places = append(l.places, SeqID(slot))
	}
}

// run is the loop. The thread is never unlocked: it ends with the loop, and
// whatever native code left on it.
func (e *Engine) run() {
	runtime.LockOSThread()
	defer close(e.joined)
	e.loop.timer = time.NewTimer(time.Hour)
	defer e.loop.timer.Stop()
	for e.attend() {
		if plan, ok := e.plan(); ok {
			e.step(plan)
		} else {
			e.rest()
		}
	}
	e.shut()
}

// attend looks at what callers want, between two steps. It returns false when
// the engine closes.
func (e *Engine) attend() bool {
	e.mu.Lock()
	for _, s := range e.inbox {
		e.loop.waiting = insert(e.loop.waiting, s, compareWaiting)
	}
	e.inbox = e.inbox[:0]
	forced, closing, broken, draining := e.forced, e.closing, e.broken, e.draining
	e.mu.Unlock()

	switch {
	case broken != nil:
		e.failAll(broken)
		e.failOnce.Do(func() { close(e.failed) })
		return !closing
	case closing:
		e.failAll(ErrClosed)
		return false
	case forced:
		e.failAll(ErrDrained)
	}
	now := time.Now()
	e.attendTo(e.loop.running, now)
	e.attendTo(e.loop.waiting, now)
	if e.loop.gathers = e.gathers(now, draining); !e.loop.gathers {
		e.admit()
	}
	return true
}

// attendTo ends sequences that were cancelled or whose readers are too slow.
func (e *Engine) attendTo(sequences []*Sequence, now time.Time) {
	for _, s := range slices.Backward(sequences) {
		switch full := s.output.full(); {
		case s.cancelled.Load():
			e.fail(s, ErrCancelled)
		case !full:
			s.since = time.Time{}
		case s.since.IsZero():
			s.since = now
		case now.Sub(s.since) >= e.config.SlowConsumerTimeout:
			e.metrics.slowConsumers.Inc()
			e.fail(s, fmt.Errorf("%w: for %v", ErrSlowConsumer, now.Sub(s.since).Round(time.Millisecond)))
		}
	}
}

func (e *Engine) freeCells() int { return e.limits.Cells - e.backend.CellsUsed() }

// plan plans the next step, and makes the room that it needs. It returns false
// when there is nothing to do.
func (e *Engine) plan() (_ *plan, ok bool) {
	l := &e.loop
	for _, s := range l.running {
		s.wanted = 0
	}
	for _, s := range l.waiting {
		if leader := s.leader; leader != nil && leader.admitted {
			left := max(len(s.request.Prompt)-leader.resident, 1)
			leader.wanted = min(cmp.Or(leader.wanted, left), left)
		}
	}
	l.views = l.views[:0]
	decode, reading := 0, min(len(l.waiting), len(l.places))
	solo := slices.ContainsFunc(l.running, (*Sequence).insists)
	for _, s := range l.running {
		view := s.view()
		view.paused = solo && !s.alone.Load()
		view.held = l.pool.held[s.slot]
		if phase := view.phase(); phase == PhaseDecode {
			decode++
		} else if phase == PhasePrefill {
			reading++
		}
		l.views = append(l.views, view)
	}
	l.planned = append(l.planned[:0], l.running...)
	in := planInput{step: l.steps, rows: e.limits.Batch, chunk: e.config.PrefillChunk, free: e.freeCells(), sequences: l.views}
	in.pieces, in.replay = l.pace.allow(decode, reading)
	plan := l.planner.next(in)
	if len(plan.rows) == 0 || len(plan.preempt) > 0 {
		e.checkCells()
	}
	for _, i := range plan.preempt {
		e.preempt(l.planned[i])
	}
	return plan, len(plan.rows) > 0 && !l.broken
}

// checkCells ends an engine whose backend has lost cells, when room is short:
// sequences would take each other's for ever.
func (e *Engine) checkCells() {
	counted, used := e.loop.pool.used, e.backend.CellsUsed()
	could := slices.ContainsFunc(e.loop.running, func(s *Sequence) bool { return s.phase() != PhaseBlocked })
	if could && counted != used {
		e.breakDown(fmt.Errorf("%w: %d cells are in use, of which sequences have %d", ErrBackend, used, counted))
	}
}

// rest waits until there is something to do.
func (e *Engine) rest() {
	wait := time.Hour
	for _, sequences := range [...][]*Sequence{e.loop.running, e.loop.waiting} {
		for _, s := range sequences {
			if !s.since.IsZero() {
				wait = min(wait, e.config.SlowConsumerTimeout-time.Since(s.since))
			}
		}
	}
	if e.loop.gathers {
		wait = min(wait, e.window()-time.Since(e.loop.gathering))
	}
	e.publish()
	e.loop.timer.Reset(max(wait, 0))
	select {
	case <-e.wake:
	case <-e.loop.timer.C:
	}
}

// step makes what was planned, in one step or in two, and gives every sequence
// what came of it.
func (e *Engine) step(plan *plan) {
	l := &e.loop
	if plan.kinds.prefill > 0 {
		for _, s := range l.running {
			s.missed++
		}
	}
	kinds := plan.kinds
	prompts, apart := plan.apart(e.limits.Apart)
	l.pace.planned(kinds, apart)
	e.timed(plan)
	if apart && e.stands(&prompts) {
		e.timed(&prompts)
	}
	l.steps++
	e.publish()
}

// stands reports whether a plan still holds after a step that others made.
func (e *Engine) stands(plan *plan) bool {
	return !e.loop.broken && !slices.ContainsFunc(plan.spans, func(span span) bool {
		s := e.loop.planned[span.sequence]
		return !s.admitted || s.resident != int(plan.rows[span.first].Pos)
	})
}

// timed makes a step and notes how long it took.
func (e *Engine) timed(plan *plan) {
	began := time.Now()
	e.begin(plan, began)
	if e.attempt(plan) {
		took := time.Since(began)
		e.loop.pace.observe(plan.kinds, stepQuantum(e.limits.Batch), took)
		e.metrics.step(plan, took)
		e.traceStep(plan, began, took)
	}
}

// attempt makes a step, and reports whether all of it was done.
func (e *Engine) attempt(plan *plan) bool {
	err := e.backend.Step(plan.rows)
	for _, span := range plan.spans {
		e.loop.planned[span.sequence].stepRows.Store(0)
	}
	switch {
	case err == nil:
		e.settle(plan)
		return true
	case errors.Is(err, ErrInterrupted):
		e.rollBack(plan)
	case errors.Is(err, ErrNoRoom):
		e.squeeze(err)
	case errors.Is(err, ErrInvalid):
		e.refused(plan, err)
	default:
		e.breakDown(err)
	}
	return false
}

// begin notes who has rows in the step that follows.
func (e *Engine) begin(plan *plan, now time.Time) {
	for _, span := range plan.spans {
		s := e.loop.planned[span.sequence]
		s.stepRows.Store(int32(span.count))
		s.missed = 0
		if s.times.stepped(now) {
			e.metrics.began(s)
			s.start()
		}
	}
}

// settle takes the step's positions as resident and samples.
func (e *Engine) settle(plan *plan) {
	e.mu.Lock()
	e.totals.Steps++
	e.totals.Rows += int64(len(plan.rows))
	e.totals.PrefillRows += int64(plan.kinds.prefill)
	e.mu.Unlock()
	now, tokens := time.Now(), 0
	for _, span := range plan.spans {
		s := e.loop.planned[span.sequence]
		if phase := s.phase(); phase == PhasePrefill || phase == PhaseReplay {
			s.times.read(now, span.count, phase == PhaseReplay)
		}
		e.advance(s, span.count)
	}
	e.admitFollowers()
	for _, span := range plan.spans {
		if span.sample {
			e.generate(e.loop.planned[span.sequence], span.first+span.count-1, now)
			tokens++
		}
	}
	e.metrics.tokens(now, tokens)
}

// generate chooses the next token of a sequence from a row's logits.
func (e *Engine) generate(s *Sequence, row int, now time.Time) {
	logits, err := e.backend.Logits(row)
	switch {
	case errors.Is(err, ErrBackend):
		e.breakDown(err)
		return
	case err != nil:
		e.fail(s, err)
		return
	}
	next, err := e.choose(s, logits)
	if err != nil {
		e.fail(s, err)
		return
	}
	known := len(s.tokens)
	finish := s.accept(next.token)
	if gap, again := s.times.token(now, len(s.generated())-len(s.request.Emitted)); again {
		s.latency(gap)
	} else {
		s.observe(e.metrics.prefillTime, now.Sub(s.times.FirstRow))
	}
	// What ends the sequence as a token is not output.
	chosen := []choice{next}[:len(s.tokens)-known]
	if finish == "" {
		s.shown += len(s.released)
		s.output.put(nil, s.released, chosen...)
		return
	}
	e.end(s, now, nil)
	last := s.last(finish, now)
	s.output.put(&last, s.released, chosen...)
	s.finished(slog.String(keyFinish, string(finish)))
}

// rollBack drops what an interrupted step may have written.
func (e *Engine) rollBack(plan *plan) {
	for _, span := range plan.spans {
		s := e.loop.planned[span.sequence]
		if e.info.Memory == MemoryWhole {
			e.drop(s)
			continue
		}
		if err := e.backend.Remove(s.slot, int32(s.resident)); err != nil {
			e.breakDown(err)
			return
		}
	}
}

// breakDown notes that the backend cannot be used again; everything ends before
// another step.
func (e *Engine) breakDown(err error) {
	if e.loop.broken {
		return
	}
	e.loop.broken = true
	e.logger.Error("backend failed", keyError, err)
	if !errors.Is(err, ErrBackend) {
		err = fmt.Errorf("%w: %w", ErrBackend, err)
	}
	e.mu.Lock()
	e.broken = err
	e.mu.Unlock()
	e.signal()
}

// shut closes the backend, on the loop's thread, when nobody uses the
// vocabulary any more.
func (e *Engine) shut() {
	e.submitting.Wait()
	e.metrics.unregister()
	e.mu.Lock()
	e.gone = true
	e.mu.Unlock()
	e.closeErr = e.backend.Close()
}
