package engine

import (
	"context"
	"slices"
)

// Drain refuses new requests from now on and waits until those that are tracked
// have ended. When ctx ends first, the rest ends with ErrDrained from Next, and
// is returned. It may be called more than once and from several goroutines;
// each call returns all that did not finish. It does not wait for readers.
func (e *Engine) Drain(ctx context.Context) []Unfinished {
	e.mu.Lock()
	e.draining = true
	idle := make(chan struct{})
	if len(e.tracked) == 0 {
		close(idle)
	} else {
		e.idle = append(e.idle, idle)
	}
	e.mu.Unlock()

	select {
	case <-idle:
	case <-ctx.Done():
		e.mu.Lock()
		e.forced = true
		e.mu.Unlock()
		e.interrupt()
		e.signal()
		<-idle
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.unfinished)
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
