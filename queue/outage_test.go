package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestBrokerRestart: the broker dies under running streams and comes back on
// the same store. Appends and followers go on, and every worker keeps its job.
func TestBrokerRestart(t *testing.T) {
	const jobs, before, after = 6, 20, 20
	srv := queuetest.Start(t)
	// Heartbeats that are held up do not cost a worker its job.
	calm := func(o *queue.Options) { o.Config.AckWait = 15 * time.Second }
	gateway := queuetest.Open(t, srv, fast, calm)
	type run struct {
		d *queue.Delivery
		f *queue.Follower
	}
	var runs []run
	beating, stop := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	var claimers []*queue.Claimer
	for w := range 2 {
		name := fmt.Sprintf("w%d", w)
		c := claimer(t, queuetest.Open(t, srv, fast, calm), name)
		claimers = append(claimers, c)
		for range jobs / 2 {
			ticket := submit(t, gateway, queue.Submission{Job: body("x")})
			d := claim(t, c)
			add(t, d, started(name, name+"-1", 1))
			runs = append(runs, run{d, follow(t, gateway, "", ticket.JobID, 0)})
			beats.Go(func() {
				if err := d.KeepAlive(beating); err != nil {
					t.Errorf("heartbeats: %v", err)
				}
			})
		}
	}
	// After the outage a claimer may be offered its own worker's jobs again, which
	// the worker adopts, but not another's that run.
	running := make(map[string]*queue.Delivery)
	for _, r := range runs {
		running[r.d.Key()] = r.d
	}
	looking, giveUp := context.WithCancel(t.Context())
	var idle sync.WaitGroup
	for w, c := range claimers {
		idle.Go(func() {
			for {
				again, err := c.Next(looking)
				if err != nil {
					return
				}
				if log := again.Log(); log[len(log)-1].Type.Terminal() {
					// It ended between the outage and its ack: whoever meets it acks.
					if err := again.Ack(looking); err != nil && looking.Err() == nil {
						t.Errorf("ack of an ended job: %v", err)
					}
					continue
				}
				if owner := again.Log()[1].Started.Worker; owner != fmt.Sprintf("w%d", w) {
					t.Errorf("worker %d claimed a job that runs on %s", w, owner)
				}
				if err := running[again.Key()].Adopt(again); err != nil {
					t.Errorf("adopt: %v", err)
				}
			}
		})
	}
	var all sync.WaitGroup
	half := make(chan struct{}, jobs)
	restarted := make(chan struct{})
	for _, r := range runs {
		all.Go(func() {
			for i := range before + after {
				if i == before {
					half <- struct{}{}
				}
				add(t, r.d, delta(strconv.Itoa(i)))
			}
			<-restarted
			add(t, r.d, done())
		})
		all.Go(func() {
			expect(t, r.f, 1, schemas.EventSubmitted, schemas.EventStarted)
			for i := range before + after {
				if e := next(t, r.f); e.Delta == nil || e.Delta.Text != strconv.Itoa(i) {
					t.Errorf("event %d is %+v", i, e)
					return
				}
			}
			expect(t, r.f, before+after+3, schemas.EventDone)
			expectEOF(t, r.f)
		})
	}
	for range jobs {
		<-half
	}
	srv.Restart(t)
	close(restarted)
	all.Wait()
	for _, r := range runs {
		if err := r.d.Ack(within(t, time.Minute)); err != nil {
			t.Errorf("ack: %v", err)
		}
	}
	stop()
	beats.Wait()
	giveUp()
	idle.Wait()
	waitFor(t, func() bool { return gateway.Healthy() == nil })
	if queued, claimed := stored(t, gateway); queued+claimed != 0 {
		t.Errorf("%d+%d jobs left", queued, claimed)
	}
	// And the queue works as before.
	submit(t, gateway, queue.Submission{Job: body("y")})
	add(t, claim(t, claimers[0]), started("w0", "w0-1", 1), done())
}

// TestTakeBack: after an outage longer than AckWait every claim has run out.
// The idle worker leaves a running job to its worker for one AckWait; when that
// one is gone, it takes it.
func TestTakeBack(t *testing.T) {
	t.Parallel() // it waits most of the time
	const tries = 8
	for range tries {
		if takeBack(t) {
			return
		}
		t.Log("heartbeats were held up: once more")
	}
	t.Errorf("heartbeats were held up %d times", tries)
}

// takeBack is false where heartbeats came so late that the other worker had to take
// the job.
func takeBack(t *testing.T) bool {
	t.Helper()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	other := claimer(t, queuetest.Open(t, srv, fast), "w2")
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1))
	srv.Stop()
	waitFor(t, func() bool { return errors.Is(q.Healthy(), queue.ErrUnavailable) })
	outage := time.NewTimer(2 * q.Config().AckWait)
	<-outage.C
	srv.Resume(t)
	waitFor(t, func() bool { return q.Healthy() == nil })
	nc, _ := stranger(t, srv)
	var mu sync.Mutex
	last, latest := time.Now(), time.Duration(0)
	beat := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		latest, last = max(latest, time.Since(last)), time.Now()
		return latest
	}
	if _, err := nc.Subscribe("$JS.ACK.>", func(m *nats.Msg) {
		if string(m.Data) == "+WPI" {
			beat()
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	beating, stop := context.WithCancel(t.Context())
	defer stop()
	beats := make(chan error, 1)
	go func() { beats <- d.KeepAlive(beating) }()
	if again, err := other.Next(within(t, 3*q.Config().AckWait)); !errors.Is(err, context.DeadlineExceeded) {
		latest := beat() // there was none up to now
		stop()
		if err := <-beats; err != nil {
			t.Logf("heartbeats: %v", err)
		}
		// What is left to its worker is offered again after half of AckWait.
		if latest < q.Config().AckWait*2/5 {
			t.Fatalf("claimed %v, error %v, with heartbeats at least every %v", again, err, latest)
		}
		return false
	}
	add(t, d, delta("mine"))
	stop()
	if err := <-beats; err != nil {
		t.Errorf("heartbeats: %v", err)
	}
	again := claim(t, other)
	if again.Key() != d.Key() {
		t.Fatalf("claimed %s", again.Key())
	}
	// It had brought the job forward: that is no death.
	if n := again.Guilt().Deaths; n != 0 {
		t.Errorf("%d deaths", n)
	}
	return true
}

func TestAppendWhileAway(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1))
	srv.Stop()
	waitFor(t, func() bool { return errors.Is(q.Healthy(), queue.ErrUnavailable) })
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := d.Append(short, delta("lost?")); !errors.Is(err, queue.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("append while away: %v", err)
	}
	if err := q.Cancel(short, "", d.JobID, "requested"); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("cancel while away: %v", err)
	}
	if _, err := q.Depth(short); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("depth while away: %v", err)
	}
	srv.Resume(t)
	add(t, d, delta("kept"), done())
	log, err := q.Log(within(t, time.Minute), "", d.JobID)
	if err != nil || len(log) != 4 || log[2].Delta.Text != "kept" {
		t.Fatalf("log %+v, %v", log, err)
	}
}

// proxy is a connection to the broker that can lose the broker's answers.
type proxy struct {
	l  net.Listener
	to string
	// losing says that what is sent is looked at: an event is the last thing that is
	// answered for; swallow, that nothing is answered any more.
	losing, swallow atomic.Bool
	mu              sync.Mutex
	conns           []net.Conn
	all             sync.WaitGroup
}

func newProxy(t *testing.T, url string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, to: strings.TrimPrefix(url, "nats://")}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.all.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.all.Go(func() {
			defer func() { _ = server.Close() }()
			buffer := make([]byte, 64<<10)
			for {
				n, err := client.Read(buffer)
				if err != nil {
					return
				}
				if p.losing.Load() && bytes.Contains(buffer[:n], []byte("HPUB semantic.events.")) {
					p.swallow.Store(true)
				}
				if _, err := server.Write(buffer[:n]); err != nil {
					return
				}
			}
		})
		p.all.Go(func() {
			defer func() { _ = client.Close() }()
			buffer := make([]byte, 64<<10)
			for {
				n, err := server.Read(buffer)
				if err != nil {
					return
				}
				if p.swallow.Load() {
					continue
				}
				if _, err := client.Write(buffer[:n]); err != nil {
					return
				}
			}
		})
	}
}

// restore makes a new connection, over which answers come.
func (p *proxy) restore() {
	p.losing.Store(false)
	p.swallow.Store(false)
	p.cut()
}

// cut closes every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// TestUncertainAppend: the broker stored the event, its answer was lost.
func TestUncertainAppend(t *testing.T) {
	srv := queuetest.Start(t)
	p := newProxy(t, srv.ClientURL())
	q := queuetest.Open(t, srv, fast, unhurried, func(o *queue.Options) { o.URL = p.url() })
	honest := queuetest.Open(t, srv)
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1))
	landed := func(n int) func() bool {
		return func() bool {
			log, err := honest.Log(t.Context(), "", d.JobID)
			return err == nil && len(log) == n
		}
	}

	// Within one call: it reads back and finds its own event.
	p.losing.Store(true)
	appended := make(chan error, 1)
	go func() { appended <- d.Append(within(t, time.Minute), delta("a")) }()
	waitFor(t, landed(3))
	p.restore()
	if err := <-appended; err != nil {
		t.Fatalf("append: %v", err)
	}

	// Given up by the caller: the next call finds it.
	p.losing.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { appended <- d.Append(ctx, delta("b")) }()
	waitFor(t, landed(4))
	cancel()
	if err := <-appended; !errors.Is(err, queue.ErrUnavailable) {
		t.Fatalf("given up: %v", err)
	}
	p.restore()
	add(t, d, delta("c"))

	// The same for a submission: it is stored once.
	p.losing.Store(true)
	submitted := make(chan queue.Ticket, 1)
	go func() {
		ticket, err := q.Submit(within(t, time.Minute), queue.Submission{JobID: "once", Job: body("once")})
		if err != nil {
			t.Errorf("submit: %v", err)
		}
		submitted <- ticket
	}()
	waitFor(t, func() bool {
		log, err := honest.Log(t.Context(), "", "once")
		return err == nil && len(log) == 1
	})
	p.restore()
	if ticket := <-submitted; ticket.Attached {
		t.Errorf("its own event looks like another's: %+v", ticket)
	}

	add(t, d, done())
	log, err := honest.Log(t.Context(), "", d.JobID)
	if err != nil || len(log) != 6 {
		t.Fatalf("log %+v, %v", log, err)
	}
	for i, want := range []string{"a", "b", "c"} {
		if log[i+2].Delta.Text != want {
			t.Errorf("event %d: %+v", i+3, log[i+2])
		}
	}
	if queued, running := stored(t, honest); queued != 1 || running != 1 {
		t.Errorf("queued %d, running %d", queued, running)
	}
}
