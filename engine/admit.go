package engine

import (
	"errors"
	"slices"
	"time"
)

// admit gives places to waiting sequences, in the order of their rank. Nobody
// overtakes one that needs more room than there is; who waits for another to
// read their common beginning, or was preempted while it was blocked and still is,
// stands in nobody's way.
func (e *Engine) admit() {
	l := &e.loop
	for i := 0; i < len(l.waiting); {
		s := l.waiting[i]
		src, cells, follows := e.begins(s)
		switch {
		case follows || !s.since.IsZero():
			i++
		case len(l.places) > 0 && e.place(s, src, cells):
		case !e.displace(s, src, cells):
			return
		}
	}
}

// displace makes room for a sequence that can begin with so many cells of src: it
// takes the place of the last one that is blocked, or else of the last
// of a worse class, if s has room once all of these are gone. It returns false if
// there is none.
func (e *Engine) displace(s, src *Sequence, cells int) bool {
	for _, r := range slices.Backward(e.loop.running) {
		if r.phase() == PhaseBlocked {
			e.preempt(r)
			return true
		}
	}
	if src != nil && src.yields(s.request.Class) {
		cells = 0
	}
	last := -1
	free, promised, staying := e.freeCells(), 0, 0
	var gone []SeqID
	for i, r := range e.loop.running {
		if !r.yields(s.request.Class) {
			promised += len(r.tokens) - r.resident
			staying++
			continue
		}
		last = i
		free += freed(e.loop.pool.held[r.slot], r.slot, gone)
		gone = append(gone, r.slot)
	}
	if last < 0 || !admits(len(s.tokens)-cells, free, promised, staying, e.config.AdmitReserve) {
		return false
	}
	e.preempt(e.loop.running[last])
	return true
}

// yields reports whether a sequence gives its place to one of a class: to a
// better one, until it was overtaken often enough.
func (s *Sequence) yields(class int) bool {
	return s.request.Class > class && s.overtaken < patience
}

// admitFollowers gives places to those that waited for what is resident now,
// before who has it may be gone.
func (e *Engine) admitFollowers() {
	l := &e.loop
	for i := 0; i < len(l.waiting) && len(l.places) > 0; {
		s := l.waiting[i]
		if s.leader != nil && s.since.IsZero() {
			if src, cells, follows := e.begins(s); !follows && e.place(s, src, cells) {
				continue
			}
		}
		i++
	}
}

// begins says with which cells of whom a sequence can begin now, or that it
// follows: another is reading what both have in common.
func (e *Engine) begins(s *Sequence) (src *Sequence, cells int, follows bool) {
	if s.kept.state != nil {
		return nil, 0, false
	}
	if s.leader != nil && s.leader.admitted && s.leader.resident < s.leaderAt {
		return nil, 0, true
	}
	src, cells = e.source(s)
	s.leader, s.leaderAt = e.leader(s, cells)
	return src, cells, s.leader != nil
}

// place admits a sequence if there is room for it.
func (e *Engine) place(s, src *Sequence, cells int) bool {
	l := &e.loop
	promised := 0
	for _, r := range l.running {
		promised += len(r.tokens) - r.resident
	}
	if !admits(len(s.tokens)-cells, e.freeCells(), promised, len(l.running), e.config.AdmitReserve) {
		return false
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(o *Sequence) bool { return o == s })
	l.running = insert(l.running, s, compareRank)
	e.overtake(s)
	s.slot, l.places = l.places[len(l.places)-1], l.places[:len(l.places)-1]
	s.admitted, s.missed, s.leader = true, 0, nil
	switch {
	case s.kept.state != nil:
		e.restore(s)
	case src != nil:
		e.share(s, src, cells)
	}
	s.times.admitted(time.Now(), s.resident)
	s.logger.Debug("admitted", keyEvent, eventAdmitted, keyPromptTokens, len(s.request.Prompt),
		keyCachedTokens, s.times.Cached, keyRunning, len(l.running), keyWaiting, len(l.waiting))
	e.publish()
	return true
}

// overtake notes that a sequence was admitted before others that wait.
func (e *Engine) overtake(s *Sequence) {
	for _, o := range slices.Clone(e.loop.waiting) {
		if o.request.Class <= s.request.Class {
			continue
		}
		if o.overtaken++; o.overtaken == patience {
			e.loop.waiting = slices.DeleteFunc(e.loop.waiting, func(w *Sequence) bool { return w == o })
			e.loop.waiting = insert(e.loop.waiting, o, compareWaiting)
		}
	}
}

// share makes a sequence begin with another's cells.
func (e *Engine) share(s, src *Sequence, cells int) {
	if err := e.backend.Share(s.slot, src.slot, int32(cells)); err != nil {
		e.setback(s, "share", err)
		return
	}
	e.loop.pool.share(s.slot, src.slot, cells)
	s.resident = cells
	e.loop.index.add(s)
	s.logger.Debug("begins with another's cells", keyEvent, eventCacheHit, keyTier, tierKV, keyTokens, cells, keySource, src.request.ID)
}

// setback notes that cells could not be brought back, and have to be computed.
func (e *Engine) setback(s *Sequence, what string, err error) {
	if errors.Is(err, ErrBackend) {
		e.breakDown(err)
		return
	}
	s.logger.Warn("cells are computed again", keyCall, what, keyError, err)
}

// advance takes the next n tokens of a sequence as resident, in cells of its
// own.
func (e *Engine) advance(s *Sequence, n int) {
	s.resident += n
	e.loop.pool.grow(s.slot, n)
	e.loop.index.add(s)
}

// insert keeps an order.
func insert(sequences []*Sequence, s *Sequence, order func(a, b *Sequence) int) []*Sequence {
	at, _ := slices.BinarySearchFunc(sequences, s, order)
	return slices.Insert(sequences, at, s)
}

// gathers reports whether an idle engine still waits for company: at most
// Config.BatchWindow, and not when there is no place for more.
func (e *Engine) gathers(now time.Time, draining bool) bool {
	l := &e.loop
	if len(l.running) > 0 || len(l.waiting) == 0 {
		l.gathering = time.Time{}
		return false
	}
	if l.gathering.IsZero() {
		l.gathering = now
	}
	return !draining && len(l.waiting) < e.limits.Sequences && now.Sub(l.gathering) < e.window()
}

func (e *Engine) window() time.Duration { return time.Duration(e.batchWindow.Load()) }
