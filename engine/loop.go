package engine

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// loop is what belongs to the loop alone.
type loop struct {
	// running have a place in the backend, waiting have none; both in the order
	// of arrival.
	running, waiting []*Sequence
	// places are the free ones.
	places  []SeqID
	planner planner
	sampler sampler
	steps   uint64
	timer   *time.Timer
	// broken: the backend has failed.
	broken bool

	// views and planned are scratch: the planner's input, and whose rows its
	// indexes mean.
	views   []planSequence
	planned []*Sequence
}

func (l *loop) init(limits Limits) {
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
	e.loop.waiting = append(e.loop.waiting, e.inbox...)
	e.inbox = e.inbox[:0]
	forced, closing, broken := e.forced, e.closing, e.broken
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
	e.admit()
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
			e.fail(s, fmt.Errorf("%w: for %v", ErrSlowConsumer, now.Sub(s.since).Round(time.Millisecond)))
		}
	}
}

// admit gives places to waiting sequences, the earliest first. Nobody overtakes
// one that needs more room than there is.
func (e *Engine) admit() {
	l := &e.loop
	for len(l.waiting) > 0 && len(l.places) > 0 {
		s := l.waiting[0]
		promised := 0
		for _, r := range l.running {
			promised += len(r.tokens) - r.resident
		}
		if !admits(len(s.tokens), e.freeCells(), promised, len(l.running), e.config.AdmitReserve) {
			return
		}
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.running = insert(l.running, s)
		s.slot, l.places = l.places[len(l.places)-1], l.places[:len(l.places)-1]
		s.admitted = true
		e.publish()
	}
}

// insert keeps the order of arrival.
func insert(sequences []*Sequence, s *Sequence) []*Sequence {
	at, _ := slices.BinarySearchFunc(sequences, s.arrival, func(o *Sequence, arrival uint64) int {
		return int(o.arrival) - int(arrival)
	})
	return slices.Insert(sequences, at, s)
}

func (e *Engine) freeCells() int { return e.limits.Cells - e.backend.CellsUsed() }

// plan plans the next step, and makes the room that it needs. It returns false
// when there is nothing to do.
func (e *Engine) plan() (_ *plan, ok bool) {
	l := &e.loop
	l.views = l.views[:0]
	for _, s := range l.running {
		l.views = append(l.views, s.view())
	}
	l.planned = append(l.planned[:0], l.running...)
	plan := l.planner.next(planInput{
		step: l.steps, rows: e.limits.Batch, chunk: e.config.PrefillChunk, busy: e.config.PrefillBusyRows,
		free: e.freeCells(), sequences: l.views,
	})
	for _, i := range plan.preempt {
		e.preempt(l.planned[i])
	}
	return plan, len(plan.rows) > 0 && !l.broken
}

// preempt takes a sequence's place away; it waits and is computed again.
func (e *Engine) preempt(s *Sequence) {
	e.release(s)
	s.preemptions++
	e.loop.waiting = insert(e.loop.waiting, s)
	if s.span != nil {
		s.span.AddEvent("preempted")
	}
	s.logger.Debug("preempted", "tokens", len(s.tokens))
	e.mu.Lock()
	e.totals.Preemptions++
	e.mu.Unlock()
	e.publish()
}

// release gives a sequence's place and cells back.
func (e *Engine) release(s *Sequence) {
	l := &e.loop
	if !s.admitted {
		return
	}
	l.running = slices.DeleteFunc(l.running, func(o *Sequence) bool { return o == s })
	l.places = append(l.places, s.slot)
	s.admitted, s.resident = false, 0
	if err := e.backend.Remove(s.slot, 0); err != nil {
		e.breakDown(err)
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
	e.publish()
	e.loop.timer.Reset(max(wait, 0))
	select {
	case <-e.wake:
	case <-e.loop.timer.C:
	}
}

// step makes the planned step and gives every sequence what came of it.
func (e *Engine) step(plan *plan) {
	l := &e.loop
	e.begin(plan)
	err := e.backend.Step(plan.rows)
	for _, span := range plan.spans {
		l.planned[span.sequence].stepRows.Store(0)
	}
	l.steps++
	switch {
	case err == nil:
		e.settle(plan)
	case errors.Is(err, ErrInterrupted):
		e.rollBack(plan)
	case errors.Is(err, ErrNoRoom):
		e.squeeze(err)
	case errors.Is(err, ErrInvalid):
		e.refused(plan, err)
	default:
		e.breakDown(err)
	}
	e.publish()
}

// begin notes who has rows in the step that follows.
func (e *Engine) begin(plan *plan) {
	now := time.Now()
	for _, span := range plan.spans {
		s := e.loop.planned[span.sequence]
		s.stepRows.Store(int32(span.count))
		if s.firstRow.IsZero() {
			s.firstRow = now
			e.startSpan(s, "engine.prefill", now)
			s.start()
		}
	}
}

// settle takes the step's positions as resident and samples.
func (e *Engine) settle(plan *plan) {
	e.metrics.batch(len(plan.spans))
	e.mu.Lock()
	e.totals.Steps++
	e.totals.Rows += int64(len(plan.rows))
	e.mu.Unlock()
	for _, span := range plan.spans {
		e.loop.planned[span.sequence].resident += span.count
	}
	now, tokens := time.Now(), 0
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
	if err != nil {
		e.fail(s, err)
		return
	}
	token, ok := e.loop.sampler.sample(logits, s.request.Sampling, len(s.tokens))
	if !ok {
		e.fail(s, fmt.Errorf("%w: no token has a likelihood at position %d", ErrBackend, len(s.tokens)))
		return
	}
	if s.firstToken.IsZero() {
		s.firstToken = now
		e.startSpan(s, "engine.decode", now)
	}
	known := len(s.tokens)
	finish := s.accept(token)
	s.output.put(s.news(), s.tokens[known:]...)
	if finish == "" {
		return
	}
	e.end(s, now)
	s.output.finish(s.last(finish, now))
	s.logger.Debug("finished", "finish", finish, "tokens", len(s.generated()))
}

// rollBack drops what an interrupted step may have written.
func (e *Engine) rollBack(plan *plan) {
	for _, span := range plan.spans {
		s := e.loop.planned[span.sequence]
		if err := e.backend.Remove(s.slot, int32(s.resident)); err != nil {
			e.breakDown(err)
			return
		}
	}
}

// squeeze makes room when the backend has less than its own count promised.
func (e *Engine) squeeze(err error) {
	l := &e.loop
	last := l.running[len(l.running)-1]
	if len(l.running) == 1 {
		e.fail(last, err)
		return
	}
	e.logger.Warn("the backend has less room than it counts", "cells_used", e.backend.CellsUsed(), "cells", e.limits.Cells)
	e.preempt(last)
}

// refused ends the sequences of a step that the backend did not accept: the
// others can go on.
func (e *Engine) refused(plan *plan, err error) {
	e.logger.Error("step refused", "error", err)
	for _, span := range plan.spans {
		e.fail(e.loop.planned[span.sequence], err)
	}
}

// breakDown notes that the backend cannot be used again; everything ends before
// another step.
func (e *Engine) breakDown(err error) {
	if e.loop.broken {
		return
	}
	e.loop.broken = true
	e.logger.Error("backend failed", "error", err)
	if !errors.Is(err, ErrBackend) {
		err = fmt.Errorf("%w: %w", ErrBackend, err)
	}
	e.mu.Lock()
	e.broken = err
	e.mu.Unlock()
	e.signal()
}

// failAll ends every sequence.
func (e *Engine) failAll(err error) {
	for _, sequences := range [...][]*Sequence{e.loop.running, e.loop.waiting} {
		for _, s := range slices.Backward(sequences) {
			e.fail(s, err)
		}
	}
}

// fail ends a sequence with an error.
func (e *Engine) fail(s *Sequence, err error) {
	if errors.Is(err, ErrDrained) {
		e.mu.Lock()
		e.unfinished = append(e.unfinished, Unfinished{ID: s.request.ID, Phase: s.phase(), Generated: slices.Clone(s.generated())})
		e.mu.Unlock()
	}
	if s.span != nil {
		s.span.RecordError(err)
	}
	e.end(s, time.Now())
	s.output.fail(err)
	s.logger.Debug("ended", "error", err)
}

// end takes a sequence out of the engine.
func (e *Engine) end(s *Sequence, now time.Time) {
	e.release(s)
	e.loop.waiting = slices.DeleteFunc(e.loop.waiting, func(o *Sequence) bool { return o == s })
	e.endSpan(s, now)
	s.start()

	e.mu.Lock()
	e.tracked = slices.DeleteFunc(e.tracked, func(o *Sequence) bool { return o == s })
	e.totals.CellsUsed = e.backend.CellsUsed()
	if len(e.tracked) == 0 {
		for _, idle := range e.idle {
			close(idle)
		}
		e.idle = nil
	}
	e.mu.Unlock()
	select {
	case e.changed <- struct{}{}:
	default:
	}
}

// publish lets others see where the sequences are.
func (e *Engine) publish() {
	used := e.backend.CellsUsed()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.totals.CellsUsed = used
	for _, s := range e.tracked {
		s.report()
	}
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
