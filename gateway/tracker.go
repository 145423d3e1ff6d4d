package gateway

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// cutWriteTimeout is how long a write may still block once a stream is being
// cut: enough for a reader that reads, no more.
const cutWriteTimeout = time.Second

// tracker knows every open API request, so that stopping can refuse new ones,
// wait for the open ones and, in the end, cut them. Safe for concurrent use.
//
// Lock order: tracker.mu before tracked.mu.
type tracker struct {
	mu       sync.Mutex
	open     map[*tracked]struct{}
	stopping bool
	// stopped is closed by the first stop.
	stopped chan struct{}
	// idle is closed when the tracker is stopping and nothing is open.
	idle chan struct{}
	// cutTimeout is cutWriteTimeout, but in tests of clients that do read. Fixed.
	cutTimeout time.Duration
}

func newTracker() *tracker {
	return &tracker{
		open: map[*tracked]struct{}{}, stopped: make(chan struct{}), idle: make(chan struct{}), cutTimeout: cutWriteTimeout,
	}
}

// begin admits a request of an API that arrived at a time; false once stopping.
// The caller calls end when the handler returns.
func (t *tracker) begin(w http.ResponseWriter, timeout time.Duration, api string, arrived time.Time) (*tracked, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopping {
		return nil, false
	}
	a := &tracked{
		timeout: timeout, cutTimeout: t.cutTimeout, conn: http.NewResponseController(w), cut: make(chan struct{}),
		api: api, arrived: arrived,
	}
	t.open[a] = struct{}{}
	return a, true
}

func (t *tracker) end(a *tracked) {
	a.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, a)
	t.closeIfIdle()
}

// stop refuses every later begin. Idempotent. It returns how many are open.
func (t *tracker) stop() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopping {
		t.stopping = true
		close(t.stopped)
		t.closeIfIdle()
	}
	return len(t.open)
}

// closeIfIdle runs with mu held. After stop, the number of open requests only
// falls, so it meets zero once.
func (t *tracker) closeIfIdle() {
	if !t.stopping || len(t.open) > 0 {
		return
	}
	select {
	case <-t.idle:
	default:
		close(t.idle)
	}
}

// openRequests are those of one API: how many, and when the oldest arrived.
type openRequests struct {
	count  int
	oldest time.Time
}

// openByAPI counts what is open.
func (t *tracker) openByAPI() map[string]openRequests {
	t.mu.Lock()
	defer t.mu.Unlock()
	open := make(map[string]openRequests)
	for a := range t.open {
		o := open[a.api]
		if o.count == 0 || a.arrived.Before(o.oldest) {
			o.oldest = a.arrived
		}
		o.count++
		open[a.api] = o
	}
	return open
}

func (t *tracker) isStopping() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stopping
}

// wait reports whether everything ended before ctx did.
func (t *tracker) wait(ctx context.Context) bool {
	select {
	case <-t.idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// cutAll tells every open request to end now and returns how many there were.
func (t *tracker) cutAll() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	for a := range t.open {
		a.cutNow()
	}
	return len(t.open)
}

// tracked is one open request. Its handler arms a deadline before each read of
// the body and each write; cutNow shortens whichever is pending, so a handler
// that is blocked on its client comes back.
type tracked struct {
	// cut is closed by cutNow.
	cut chan struct{}
	// timeout bounds each write, cutTimeout those after the cut.
	timeout, cutTimeout time.Duration
	// api and arrived are the request's; they do not change.
	api     string
	arrived time.Time

	mu sync.Mutex
	// conn is nil after release: it must not be used once the handler returned.
	conn    *http.ResponseController
	reading bool
	isCut   bool
}

// Errors of setting deadlines are ignored below: a response writer without
// deadlines (a test recorder) has no client to wait for.

// armRead bounds the reading of the body; disarmRead ends that bound, since the
// server goes on reading the connection to notice a client that leaves.
func (a *tracked) armRead(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isCut {
		d = 0
	}
	a.reading = true
	_ = a.conn.SetReadDeadline(time.Now().Add(d))
}

func (a *tracked) disarmRead() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reading = false
	_ = a.conn.SetReadDeadline(time.Time{})
}

// armWrite bounds the next write; disarmWrite ends that bound, since HTTP/2
// resets a stream whose deadline passes between writes, too.
func (a *tracked) armWrite() {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := a.timeout
	if a.isCut {
		d = min(d, a.cutTimeout)
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(d))
}

func (a *tracked) disarmWrite() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.isCut {
		_ = a.conn.SetWriteDeadline(time.Time{})
	}
}

func (a *tracked) cutNow() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isCut {
		return
	}
	a.isCut = true
	close(a.cut)
	if a.conn == nil {
		return
	}
	_ = a.conn.SetWriteDeadline(time.Now().Add(a.cutTimeout))
	if a.reading {
		_ = a.conn.SetReadDeadline(time.Now())
	}
}

// release forgets the connection. What the server still has to flush after the
// handler is bounded too; it lifts that deadline before the next request.
func (a *tracked) release() {
	a.armWrite()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conn = nil
}
