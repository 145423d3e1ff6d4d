package queue_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// gate is a connection to the broker that can be held up: what is sent meanwhile
// arrives late.
type gate struct {
	listener net.Listener
	mu       sync.Mutex
	held     chan struct{} // closed while open
	conns    []net.Conn
	copies   sync.WaitGroup
}

func newGate(t testing.TB, srv *queuetest.Server) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	close(open)
	g := &gate{listener: l, held: open}
	target := strings.TrimPrefix(srv.ClientURL(), "nats://")
	g.copies.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, client, server)
			g.mu.Unlock()
			g.copies.Go(func() { g.copy(client, server) })
			g.copies.Go(func() { g.copy(server, client) })
		}
	})
	t.Cleanup(func() {
		g.open()
		_ = l.Close()
		g.mu.Lock()
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.mu.Unlock()
		g.copies.Wait()
	})
	return g
}

func (g *gate) copy(to, from net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		g.mu.Lock()
		held := g.held
		g.mu.Unlock()
		<-held
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close()
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.held:
	default:
		close(g.held)
	}
}

func through(g *gate) func(*queue.Options) {
	return func(o *queue.Options) { o.URL = "nats://" + g.listener.Addr().String() }
}

// leads reports whether the process of the registry is the leader.
func leads(t testing.TB, registry *prometheus.Registry) bool {
	t.Helper()
	return metric(t, registry, "semantic_queue_leader", "") == 1
}

// holders watches who holds the reconciler's lease, as the broker stores it, and
// returns how many have had it, one after the other. Nobody may take it from a holder
// who has not given it back before its time is over: that is counted from when a write
// of the holder was seen, which is later than it was stored.
func holders(t *testing.T, srv *queuetest.Server, ttl time.Duration) (count func() int) {
	t.Helper()
	_, js := stranger(t, srv)
	kv, err := js.KeyValue(t.Context(), "leases")
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := kv.Watch(t.Context(), "reconciler")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	var watching sync.WaitGroup
	watching.Go(func() {
		var last jetstream.KeyValueEntry
		var holder []byte
		for e := range watcher.Updates() {
			if e == nil || e.Operation() != jetstream.KeyValuePut {
				continue
			}
			if !bytes.Equal(e.Value(), holder) {
				holder = e.Value()
				n.Add(1)
				// Only the last entry is kept: others may never come here.
				if last != nil && e.Revision() == last.Revision()+1 && e.Created().Sub(last.Created()) < ttl {
					t.Errorf("taken over after %v, in the other's time", e.Created().Sub(last.Created()))
				}
			}
			last = e
		}
	})
	t.Cleanup(func() {
		_ = watcher.Stop()
		watching.Wait()
	})
	return func() int { return int(n.Load()) }
}

// One leads. When it ends in order the next follows at once; when it is cut off, it
// stops by itself, and the next follows after its time.
func TestLeadership(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	const ttl = 3 * time.Second
	settings := func(o *queue.Options) {
		patient(o)
		o.Config.LeaseTTL = ttl
	}
	g := newGate(t, srv)
	first, firstMetrics := watched(t, srv, settings)
	second, secondMetrics := watched(t, srv, settings, through(g), func(o *queue.Options) {
		// Its metrics are read while it gets no answers.
		o.Config.SubmitTimeout, o.Config.RequestTimeout = time.Second, time.Second
	})
	third, thirdMetrics := watched(t, srv, settings)
	count := holders(t, srv, ttl)
	stop := reconcile(t, first)
	waitFor(t, func() bool { return leads(t, firstMetrics) })
	reconcile(t, second)
	begin := time.Now()
	stop()
	eventually(t, "the second leads", func() bool { return leads(t, secondMetrics) })
	t.Logf("%v after an orderly end", time.Since(begin))
	reconcile(t, third)
	g.shut()
	begin = time.Now()
	eventually(t, "the third leads", func() bool { return leads(t, thirdMetrics) })
	t.Logf("%v after a cut", time.Since(begin))
	eventually(t, "the second stops by itself", func() bool { return !leads(t, secondMetrics) })
	eventually(t, "all three have led", func() bool { return count() >= 3 })
	before := count()
	// Back again: it sees that another leads, and waits, unless that one is held up
	// for its whole time.
	g.open()
	serves(t, third, model)()
	for range 3 {
		ends(t, third, "", submit(t, third, queue.Submission{Job: urgent(100)}).JobID)
	}
	eventually(t, "the third leads alone, or its time was over", func() bool {
		return leads(t, thirdMetrics) && !leads(t, secondMetrics) || count() > before
	})
}

// Two leaders at once, each sure of itself: every job has one end all the same, and
// none of it is an anomaly. And a leader that is killed in the middle leaves nothing
// that the next cannot finish.
func TestLeadersAtOnce(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient)
	_, js := stranger(t, srv)
	serves(t, q, model)()
	const jobs = 1500
	text := strings.Replace(string(encoded(t, body("x"))), `"v":1`, `"v":1,"deadline_ms":1`, 1)
	for i := range jobs {
		if _, err := js.PublishAsync(queue.JobSubject(model, schemas.ClassNormal, i%queue.Flows, "ada"), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	q2, registry2 := watched(t, srv, patient)
	// Some go in the middle, at random moments.
	for range 3 {
		killed, _ := watched(t, srv, patient)
		ctx, kill := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = killed.ReconcileAlone(ctx)
		}()
		before, _ := stored(t, q)
		eventually(t, "it has begun", func() bool { queued, _ := stored(t, q); return queued < before || queued == 0 })
		kill()
		<-done
	}
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() { _ = q.ReconcileAlone(ctx) })
	both.Go(func() { _ = q2.ReconcileAlone(ctx) })
	emptied(t, q)
	cancel()
	both.Wait()
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if n := events.CachedInfo().State.Msgs; n != jobs {
		t.Errorf("%d events of %d jobs", n, jobs)
	}
	for i := range jobs {
		if i%50 != 0 {
			continue
		}
		if end, log := ends(t, q, "ada", fmt.Sprintf("sn-%d", i+1)); end.Expired == nil || len(log) != 1 {
			t.Errorf("job %d: %+v", i, log)
		}
	}
	noAnomalies(t, registry)
	noAnomalies(t, registry2)
}

// The broker is started again and again while the leader works through a backlog.
func TestReconcileBrokerRestart(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient)
	_, js := stranger(t, srv)
	serves(t, q, model)()
	const jobs = 1200
	text := strings.Replace(string(encoded(t, body("x"))), `"v":1`, `"v":1,"deadline_ms":1`, 1)
	for i := range jobs {
		if _, err := js.PublishAsync(queue.JobSubject(model, schemas.ClassNormal, i%queue.Flows, "ada"), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	reconcile(t, q)
	last := int64(jobs)
	for range 3 {
		eventually(t, "it works", func() bool {
			depth, err := q.Depth(t.Context())
			if err != nil {
				return false
			}
			var queued int64
			for _, d := range depth {
				queued += d.Queued
			}
			now := queued < last || queued == 0
			last = queued
			return now
		})
		srv.Restart(t)
	}
	emptied(t, q)
	fresh := queuetest.Open(t, srv)
	for i := 0; i < jobs; i += 40 {
		if end, log := ends(t, fresh, "ada", fmt.Sprintf("sn-%d", i+1)); end.Expired == nil || len(log) != 1 {
			t.Errorf("job %d: %+v", i, log)
		}
	}
	noAnomalies(t, registry)
}
