package engine

import (
	"context"
	"slices"
	"time"
)

// Drained says what became of the requests that were tracked when Drain was
// called first.
type Drained struct {
	// Finished are the IDs of those that ended by themselves.
	Finished []string
	// Unfinished are all others.
	Unfinished []Unfinished
}

// Unfinished is a request that did not come to its end.
type Unfinished struct {
	ID    string
	Class int
	// Phase is where it was.
	Phase Phase
	// Err is what Next returns at last: ErrDrained, where the drain ended it.
	Err error
	// Generated are all tokens so far, Request.Emitted included: what another
	// engine needs as Emitted to continue at the same token.
	Generated []Token
	// Bytes is the length of their text as far as it was released: what
	// ReplayText gives for Generated.
	Bytes int
}

// note takes in the end of a sequence.
func (d *Drained) note(s *Sequence, phase Phase, err error) {
	if err == nil {
		d.Finished = append(d.Finished, s.request.ID)
		return
	}
	d.Unfinished = append(d.Unfinished, Unfinished{
		ID: s.request.ID, Class: s.request.Class, Phase: phase, Err: err,
		Generated: slices.Clone(s.generated()), Bytes: s.shown,
	})
}

// Drain refuses new requests from now on and waits until those that are tracked
// have ended: for timeout, or until ctx ends. Then the rest ends with ErrDrained
// from Next. It may be called more than once and from several goroutines, the
// shortest timeout counts; each call returns what all became. It does not wait
// for readers.
func (e *Engine) Drain(ctx context.Context, timeout time.Duration) Drained {
	e.mu.Lock()
	e.draining = true
	idle := make(chan struct{})
	if len(e.tracked) == 0 {
		close(idle)
	} else {
		e.idle = append(e.idle, idle)
	}
	e.mu.Unlock()
	// Nobody comes for whom an idle engine could wait.
	e.signal()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-idle:
	case <-ctx.Done():
		e.force(idle)
	case <-timer.C:
		e.force(idle)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return Drained{Finished: slices.Clone(e.drained.Finished), Unfinished: slices.Clone(e.drained.Unfinished)}
}

// force ends what is tracked, and waits until that is done.
func (e *Engine) force(idle <-chan struct{}) {
	e.mu.Lock()
	e.forced = true
	e.mu.Unlock()
	e.interrupt()
	e.signal()
	<-idle
}

// Close ends what is running (Next returns ErrClosed), joins the loop and closes
// the backend. It may be called more than once; later calls return the same.
func (e *Engine) Close() error {
	e.mu.Lock()
	first := !e.closing
	e.closing = true
	e.mu.Unlock()
	if first {
		e.interrupt()
		e.signal()
	}
	<-e.joined
	return e.closeErr
}
