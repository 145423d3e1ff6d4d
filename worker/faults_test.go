package worker_test

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/worker"
)

// proxy is a wire between a worker and its broker that a test can cut.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
	stuck chan struct{} // while set, nothing passes; closed by cut
}

// slot is what a proxy reads from one side.
type slot struct {
	net.Conn
	p *proxy
}

// Read keeps what it has read while the wire is frozen.
func (s slot) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.p.mu.Lock()
	stuck := s.p.stuck
	s.p.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	return n, err
}

// freeze makes the broker hang: connections stay open, nothing passes.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stuck = make(chan struct{})
}

func newProxy(t *testing.T, url string) *proxy {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	requireNoError(t, err)
	p := &proxy{listener: listener, target: strings.TrimPrefix(url, "nats://"), conns: make(map[net.Conn]struct{})}
	p.running.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

// between makes a worker connect through the proxy.
func (p *proxy) between(s *setup) {
	s.queue = func(o *queue.Options) { o.URL = "nats://" + p.listener.Addr().String() }
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			continue
		}
		p.running.Go(func() { _, _ = io.Copy(server, slot{client, p}); _ = server.Close() })
		p.running.Go(func() { _, _ = io.Copy(client, slot{server, p}); _ = client.Close() })
	}
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.down {
			_ = c.Close()
		}
		p.conns[c] = struct{}{}
	}
	return !p.down
}

// cut ends all connections and every new one.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	if p.stuck != nil {
		close(p.stuck)
		p.stuck = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// A worker that was cut off while another took its job has its appends refused
// and drops the sequence; the stream is whole.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	h := newHouse(t, forgetful)
	wire := newProxy(t, h.srv.ClientURL())
	g := newGate(t)
	zombie := h.start(named("w1"), gated(g), wire.between)
	job := prompt("words=60")
	text, _ := reference(t, job)
	ticket := h.submit(job)
	follower := h.follow(ticket)
	g.step(t, 10)
	r := h.until(follower, 2)
	wire.cut()
	h.start(named("w2"))
	r = h.rest(follower, r)
	if r.done(); r.text() != text || len(r.started()) != 2 || r.started()[1].Worker != "w2" {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	g.open()
	wire.mend()
	eventually(t, "the zombie drops the job", func() bool {
		return zombie.metric("semantic_worker_jobs_total", "fenced")+zombie.metric("semantic_worker_jobs_total", "ended_before") > 0
	})
	zombie.freed()
	h.emptied()
	again, err := h.queue.Log(t.Context(), ticket.Owner, ticket.JobID)
	requireNoError(t, err)
	if len(again) != len(r.events) {
		t.Errorf("the log grew from %d to %d events after its end", len(r.events), len(again))
	}
}

// A job that was given away while its worker was cut off, and comes back to that
// worker untouched, goes on there without a new start.
func TestOwnJobIsAdopted(t *testing.T) {
	t.Parallel()
	h := newHouse(t, forgetful)
	wire := newProxy(t, h.srv.ClientURL())
	g := newGate(t)
	w := h.start(gated(g), wire.between)
	job := prompt("words=60")
	text, _ := reference(t, job)
	ticket := h.submit(job)
	follower := h.follow(ticket)
	g.step(t, 10)
	r := h.until(follower, 2)
	wire.cut()
	m := h.mortal("passing by")
	d := m.claim()
	wire.mend()
	requireNoError(t, d.HandBack(t.Context()))
	eventually(t, "adopted", func() bool { return w.metric("semantic_worker_adopted_total") >= 1 })
	g.open()
	r = h.rest(follower, r)
	if r.done(); r.text() != text || len(r.started()) != 1 {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	h.emptied()
}

// The broker is away in the middle of a stream: it goes on by itself.
func TestBrokerRestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, forgetful)
	g := newGate(t)
	w := h.start(gated(g))
	jobs := make([]schemas.Job, 3)
	followers := make([]*queue.Follower, 3)
	begun := make([]record, 3)
	for i := range jobs {
		jobs[i] = prompt(fmt.Sprintf("stream %d words=200", i))
		followers[i] = h.follow(h.submit(jobs[i]))
	}
	g.generating(t, w, len(jobs))
	for i, follower := range followers {
		begun[i] = h.until(follower, 1)
	}
	h.srv.Stop()
	g.step(t, 10)
	h.srv.Resume(t)
	g.open()
	for i, follower := range followers {
		r := h.rest(follower, begun[i])
		text, _ := reference(t, jobs[i])
		if r.done(); r.text() != text {
			t.Errorf("stream %d: %s: %q, want %q", i, r.types(), r.text(), text)
		}
	}
	h.emptied()
	h.result(h.submit(prompt("words=3"))).done()
}

// The log takes nothing for longer than the engine waits for a reader: the job
// goes on from the log once the broker is back, and it costs no attempt.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	h := newHouse(t, forgetful)
	wire := newProxy(t, h.srv.ClientURL())
	g := newGate(t)
	w := h.start(gated(g), wire.between, func(s *setup) {
		s.engine.BufferTokens = 4
		s.engine.SlowConsumerTimeout = 300 * time.Millisecond
	})
	job := prompt("words=100")
	text, _ := reference(t, job)
	follower := h.follow(h.submit(job))
	g.step(t, 8)
	r := h.until(follower, 1)
	wire.cut()
	g.open()
	w.freed()
	wire.mend()
	r = h.rest(follower, r)
	if r.done(); r.text() != text || len(r.started()) < 2 {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	reasons := make(map[string]int)
	for _, event := range r.events {
		if event.Requeued != nil && event.Requeued.Reason != schemas.ReasonPreparing {
			reasons[event.Requeued.Reason]++
		}
	}
	if len(reasons) != 1 || reasons["slow_consumer"] != len(r.started())-1 {
		t.Errorf("requeued for %v in %s", reasons, r.types())
	}
	h.emptied()
}

// A broker that hangs without closing costs a stop the flush timeouts and no
// more.
func TestStopWhileTheBrokerHangs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *queue.Options) { o.Config.RequestTimeout = 2 * time.Second })
	wire := newProxy(t, h.srv.ClientURL())
	g := newGate(t)
	w := h.start(gated(g), wire.between, func(s *setup) {
		s.config.DrainTimeout, s.config.FlushTimeout = 20*time.Millisecond, 300*time.Millisecond
	})
	follower := h.follow(h.submit(prompt("words=60")))
	g.step(t, 8)
	h.until(follower, 1)
	wire.freeze()
	g.open()
	start := time.Now()
	w.stop()
	requireNoError(t, w.join()) // while the broker still hangs
	t.Logf("the stop took %v", time.Since(start))
	wire.cut()
}

// mine is a backend that fails once it is told to.
type mine struct {
	engine.Backend
	armed *atomic.Bool
}

func (m mine) Step(rows []engine.Row) error {
	if m.armed.Load() {
		return fmt.Errorf("%w: out of memory", engine.ErrBackend)
	}
	return m.Backend.Step(rows)
}

// A failed backend ends the worker; the job goes on elsewhere, as after a death.
func TestEngineFailure(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var armed atomic.Bool
	armed.Store(true)
	fails := func(s *setup) { s.backend = func(b engine.Backend) engine.Backend { return mine{b, &armed} } }
	job := prompt("words=30")
	text, _ := reference(t, job)
	ticket := h.submit(job)
	for i := range 2 {
		w := h.launch(named(fmt.Sprintf("w%d", i)), fails)
		requireError(t, w.join(), worker.ErrEngineLost, "out of memory")
	}
	h.start(named("healthy"))
	r := h.result(ticket)
	if r.done(); r.text() != text || len(r.started()) != 3 {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
}

// A job under which three engines failed is not tried on a fourth.
func TestThirdEngineFailureEndsTheJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var armed atomic.Bool
	armed.Store(true)
	ticket := h.submit(prompt("words=30"))
	for i := range 3 {
		w := h.launch(named(fmt.Sprintf("w%d", i)), func(s *setup) {
			s.backend = func(b engine.Backend) engine.Backend { return mine{b, &armed} }
		})
		requireError(t, w.join(), worker.ErrEngineLost, "out of memory")
	}
	r := h.result(ticket)
	if failed := r.failed(schemas.CodeEngineFailed); !strings.Contains(failed.Message, "out of memory") {
		t.Errorf("failed %+v", failed)
	}
	dead, err := h.queue.DeadJobs(t.Context(), ticket.JobID)
	requireNoError(t, err)
	if len(dead) != 1 || len(dead[0].Parked.Attempts) != 3 || !strings.Contains(dead[0].Parked.Attempts[2].Reason, "out of memory") ||
		dead[0].Parked.Code != schemas.CodeEngineFailed {
		t.Errorf("dead jobs: %+v", dead)
	}
	h.emptied()
}
