package engine

import (
	"log/slog"
	"slices"
	"time"
)

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
	e.end(s, time.Now(), err)
	s.output.fail(err)
	s.finished(slog.Any(keyError, err))
}

// end takes a sequence out of the engine; err is nil if it ended by itself.
func (e *Engine) end(s *Sequence, now time.Time, err error) {
	phase := s.phase()
	e.release(s)
	e.forget(s)
	e.loop.waiting = slices.DeleteFunc(e.loop.waiting, func(o *Sequence) bool { return o == s })
	s.times.ended(now)
	e.metrics.ended(s, now)
	s.start()

	e.mu.Lock()
	e.tracked = slices.DeleteFunc(e.tracked, func(o *Sequence) bool { return o == s })
	e.account()
	if e.draining {
		e.drained.note(s, phase, err)
	}
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
	e.mu.Lock()
	defer e.mu.Unlock()
	e.account()
	for _, s := range e.tracked {
		s.report()
	}
}

// account publishes what of the pool is in use. mu is held, or nobody else has the
// engine yet.
func (e *Engine) account() {
	l := &e.loop
	e.totals.CellsUsed = e.backend.CellsUsed()
	e.totals.BlocksUsed = l.pool.blocks
	e.totals.BlocksFree = (e.limits.Cells - e.totals.CellsUsed) / blockCells
	e.totals.KeptBytes = l.spill.bytes
}
