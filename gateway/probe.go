package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

const (
	// probeEvery is how often the broker is asked, however often health is.
	probeEvery = time.Second
	// probeBound is how long one asking, and so an answer about health, may take.
	probeBound = time.Second
	// probeAge is how old the last good answer may be: a broker that is slow once
	// is not one that is gone.
	probeAge = 3 * time.Second
	// doubtBytes are tried to be stored after a request's were not: more than fits
	// into what a full disk still has.
	doubtBytes = 64 << 10
)

// probe knows whether the broker would store a job now. It is asked by whoever
// asks for health, and told by requests: what they meet is true at once. Safe for
// concurrent use.
type probe struct {
	// ask asks the broker, and makes sure that it stores so many bytes; it returns
	// within its context.
	ask func(ctx context.Context, bytes int) error
	now func() time.Time

	mu sync.Mutex
	// asking is closed at the end of the asking under way; nil: none is.
	asking chan struct{}
	// asked is when the last one began.
	asked time.Time
	// answered is when the broker last did what it was asked for; zero: never.
	answered time.Time
	// err is why the last asking or request got nothing stored; nil since one did.
	err error
	// refused: err is the broker's word, or a request's experience, and not one
	// answer that is late.
	refused bool
	// doubt is set by a request that got nothing stored, until as much was stored.
	doubt bool
}

func newProbe(ask func(ctx context.Context, bytes int) error) *probe {
	return &probe{ask: ask, now: time.Now}
}

// look asks if it is time, waits for an asking under way, and returns how old the
// last good answer is, negative where there was none, and why the broker is not to
// be counted on, or nil. It takes no longer than probeBound.
func (p *probe) look(ctx context.Context) (age time.Duration, err error) {
	p.mu.Lock()
	if p.asking == nil && p.now().Sub(p.asked) >= probeEvery {
		p.askNow(ctx)
	} else if asking := p.asking; asking != nil {
		p.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
		}
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	age = -1
	if !p.answered.IsZero() {
		age = p.now().Sub(p.answered)
	}
	if p.err != nil && (p.refused || age < 0 || age > probeAge) {
		return age, p.err
	}
	return age, nil
}

// askNow asks on this goroutine, also for others; mu is held before and after.
func (p *probe) askNow(ctx context.Context) {
	p.asking, p.asked = make(chan struct{}), p.now()
	bytes := 0
	if p.doubt {
		bytes = doubtBytes
	}
	p.mu.Unlock()
	// A poller that hangs up would spoil the answer of the others.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeBound)
	err := p.ask(bounded, bytes)
	cancel()
	p.mu.Lock()
	if err != nil || !p.doubt || bytes > 0 { // no request failed meanwhile
		p.note(err, err != nil && !errors.Is(err, queue.ErrUnavailable))
	}
	close(p.asking)
	p.asking = nil
}

// tell takes what a request met that wanted a job stored. Only an unavailable
// queue is everybody's trouble.
func (p *probe) tell(err error) {
	if err != nil && !errors.Is(err, queue.ErrUnavailable) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(err, err != nil)
	p.doubt = err != nil
}

// note runs with mu held.
func (p *probe) note(err error, refused bool) {
	if err == nil {
		p.answered, p.err, p.refused, p.doubt = p.now(), nil, false, false
		return
	}
	// A late answer does not take back what was said before.
	p.err, p.refused = err, refused || p.refused
}

// storing asks the broker whether it has room for a job, and makes sure that it
// can store anything at all: one that cannot any more still answers questions.
func (g *Gateway) storing(ctx context.Context, bytes int) error {
	if err := g.queue.Accepting(ctx, schemas.ClassNormal); err != nil {
		return fmt.Errorf("no request would be stored: %w", err)
	}
	switch err := g.queue.TryStore(ctx, bytes); {
	case errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrNoQuorum):
		// A broker in another process cannot tell that its disk is full.
		return fmt.Errorf("no request would be stored: the broker answers questions, but stores nothing (is its disk full?): %w", err)
	case err != nil:
		return fmt.Errorf("no request would be stored: %w", err)
	}
	return nil
}
