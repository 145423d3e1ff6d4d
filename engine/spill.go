package engine

import "time"

// kept is the state of a preempted sequence in RAM: of its first cells
// positions.
type kept struct {
	state []byte
	cells int
}

// spill learns what keeping states costs, and how much is kept.
type spill struct {
	// bytes are kept now; perCell is the size of a state by its cells.
	bytes   int64
	perCell float64
	// save and restore have seconds per byte.
	save, restore samples
}

// worth reports whether a state of so many cells fits beside what is kept and
// comes back sooner than it is computed again, as far as both are known.
func (k *spill) worth(cells int, most int64, recompute float64, known bool) bool {
	bytes := float64(cells) * k.perCell
	if k.bytes >= most || float64(k.bytes)+bytes > float64(most) {
		return false
	}
	save, saved := k.save.median()
	restore, restored := k.restore.median()
	if !restored {
		restore = save
	}
	return !known || !saved || (save+restore)*bytes < recompute
}

// preempt takes a sequence's place away; it waits, and its cells come back or
// are computed again.
func (e *Engine) preempt(s *Sequence) {
	state := e.keep(s)
	tokens, blocks := s.resident, e.loop.pool.blocks
	e.release(s)
	blocks -= e.loop.pool.blocks
	s.kept = state
	e.loop.spill.bytes += int64(len(state.state))
	s.times.preempted(time.Now())
	e.loop.waiting = insert(e.loop.waiting, s, compareWaiting)
	e.metrics.preempted(state.state != nil, blocks)
	s.logger.Debug("preempted", keyEvent, eventCacheEvict, keyTier, tierKV, keyTokens, tokens, keyBlocks, blocks,
		keyKept, len(state.state))
	e.mu.Lock()
	e.totals.Preemptions++
	e.mu.Unlock()
	e.publish()
}

// keep saves the cells of a sequence where that is worth it. Cells that others
// use too stay anyway: with a state of its own the sequence would come back to
// twice as many.
func (e *Engine) keep(s *Sequence) kept {
	l := &e.loop
	n := s.resident
	if n == 0 || freed(l.pool.held[s.slot], s.slot, nil) < n {
		return kept{}
	}
	prompt := min(n, len(s.request.Prompt))
	again, known := l.pace.recompute(prompt, n-prompt, stepQuantum(e.limits.Batch))
	if !l.spill.worth(n, e.config.SpillBytes, again, known) {
		return kept{}
	}
	began := time.Now()
	state, err := e.backend.Save(s.slot, int32(n))
	if err != nil {
		e.setback(s, "save", err)
		return kept{}
	}
	l.spill.perCell = float64(len(state)) / float64(n)
	l.spill.save.add(time.Since(began).Seconds() / float64(max(len(state), 1)))
	if l.spill.bytes+int64(len(state)) > e.config.SpillBytes {
		return kept{}
	}
	return kept{state, n}
}

// restore brings the kept cells back into the place that the sequence has now.
func (e *Engine) restore(s *Sequence) {
	began := time.Now()
	state := s.kept
	e.forget(s)
	if err := e.backend.Restore(s.slot, state.state); err != nil {
		e.setback(s, "restore", err)
		return
	}
	e.loop.spill.restore.add(time.Since(began).Seconds() / float64(len(state.state)))
	e.advance(s, state.cells)
}

// forget lets go of what was kept of a sequence.
func (e *Engine) forget(s *Sequence) {
	e.loop.spill.bytes -= int64(len(s.kept.state))
	s.kept = kept{}
}

// drop makes a sequence that has a place hold no cells.
func (e *Engine) drop(s *Sequence) {
	e.loop.pool.release(s.slot)
	e.loop.index.remove(s)
	s.resident = 0
	if err := e.backend.Remove(s.slot, 0); err != nil {
		e.breakDown(err)
	}
}

// release gives a sequence's place and cells back.
func (e *Engine) release(s *Sequence) {
	l := &e.loop
	if !s.admitted {
		return
	}
	for i, o := range l.running {
		if o == s {
			l.running = append(l.running[:i], l.running[i+1:]...)
			break
		}
	}
	l.places = append(l.places, s.slot)
	s.admitted = false
	e.drop(s)
}

// squeeze makes room when the backend has less than its own count promised.
func (e *Engine) squeeze(err error) {
	l := &e.loop
	last := l.running[len(l.running)-1]
	for _, s := range l.running {
		if s.resident > 0 {
			last = s
		}
	}
	if len(l.running) == 1 {
		e.fail(last, err)
		return
	}
	e.logger.Warn("the backend has less room than it counts", keyCellsUsed, e.backend.CellsUsed(), keyCells, e.limits.Cells)
	e.preempt(last)
}

// refused finds out which sequence's rows a backend does not accept, and ends
// it: the others make their steps alone, once.
func (e *Engine) refused(plan *plan, err error) {
	if len(plan.spans) == 1 {
		s := e.loop.planned[plan.spans[0].sequence]
		s.logger.Error("rows refused", keyError, err)
		e.fail(s, err)
		return
	}
	for _, part := range plan.parts() {
		s := e.loop.planned[part.spans[0].sequence]
		if e.loop.broken {
			return
		}
		if s.admitted && s.resident == int(part.rows[0].Pos) {
			e.attempt(part)
		}
	}
}

// parts are steps of one sequence each.
func (p *plan) parts() []*plan {
	parts := make([]*plan, len(p.spans))
	for i, sp := range p.spans {
		parts[i] = &plan{
			rows:  p.rows[sp.first : sp.first+sp.count],
			spans: []span{{sequence: sp.sequence, count: sp.count, sample: sp.sample}},
		}
	}
	return parts
}
