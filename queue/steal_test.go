package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// peer is a worker: registered, with a claimer.
type peer struct {
	t       testing.TB
	id      string
	q       *queue.Queue
	c       *queue.Claimer
	entry   *queue.Registration
	metrics *prometheus.Registry
}

// stealing makes what is left waiting another's after d.
func stealing(d time.Duration) func(*queue.Config) {
	return func(c *queue.Config) { c.StealAfter = d }
}

// join starts a worker, that lives and keeps what it claims as long as the test lasts,
// unless tune says otherwise.
func join(
	t testing.TB, srv *queuetest.Server, id string, tune func(*queue.Config), change ...func(*schemas.WorkerStatus),
) *peer {
	t.Helper()
	p := &peer{t: t, id: id, metrics: prometheus.NewRegistry()}
	p.q = queuetest.Open(t, srv, unhurried, lasting, func(o *queue.Options) {
		tune(&o.Config)
		o.Registerer = p.metrics
	})
	s := status(id, id+"-1", "f")
	for _, f := range change {
		f(&s)
	}
	p.entry = register(t, p.q, s)
	var err error
	p.c, err = p.q.NewClaimer(within(t, time.Minute), queue.ClaimOptions{
		Model: model, WorkerID: id, Incarnation: id + "-1", Context: s.Context,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.c.Close)
	return p
}

// company joins several workers, and waits until they know each other.
func company(t testing.TB, srv *queuetest.Server, steal time.Duration, n int) []*peer {
	t.Helper()
	peers := make([]*peer, n)
	for i := range peers {
		peers[i] = join(t, srv, "w"+strconv.Itoa(i), stealing(steal))
	}
	acquainted(t, peers...)
	return peers
}

// acquainted waits until the workers know exactly each other.
func acquainted(t testing.TB, peers ...*peer) {
	t.Helper()
	var want []string
	for _, p := range peers {
		want = append(want, p.id+" "+p.id+"-1")
	}
	for _, p := range peers {
		waitWorkers(t, p.q, want...)
	}
}

// serve claims and ends jobs until ctx ends, and says which.
func (p *peer) serve(ctx context.Context, all *sync.WaitGroup, claims chan<- *queue.Delivery) {
	all.Go(func() {
		for {
			d, err := p.c.Next(ctx)
			if err != nil {
				return
			}
			if err := errors.Join(d.Append(ctx, started(p.id, p.id+"-1", 1)), d.Append(ctx, done()), d.Ack(ctx)); err != nil {
				p.t.Errorf("%s: %v", d.JobID, err)
			}
			claims <- d
		}
	})
}

// stop leaves the registry.
func (p *peer) stop() {
	p.t.Helper()
	p.c.Close()
	if err := p.entry.Close(within(p.t, time.Minute)); err != nil {
		p.t.Fatal(err)
	}
}

// claims is how many claims have a label.
func (p *peer) claims(from string) int { return p.counter("semantic_queue_claims_total", from) }

// counter sums up the series of a counter that have a label value, if one is given.
func (p *peer) counter(name, label string) (n int) {
	p.t.Helper()
	families, err := p.metrics.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			has := func(l *dto.LabelPair) bool { return l.GetValue() == label }
			if family.GetName() == name && (label == "" || slices.ContainsFunc(m.GetLabel(), has)) {
				n += int(m.GetCounter().GetValue())
			}
		}
	}
	return n
}

// agentIn names an agent whose jobs are in a flow.
func agentIn(flow int) string {
	for i := 0; ; i++ {
		job := body("x")
		job.Agent = fmt.Sprintf("agent-%d", i)
		if queue.Flow(queue.OwnerLocal, job) == flow {
			return job.Agent
		}
	}
}

// put stores a job of a flow.
func put(t testing.TB, q *queue.Queue, flow int) {
	t.Helper()
	job := body("x")
	job.Agent = agentIn(flow)
	submit(t, q, queue.Submission{Job: job})
}

// flowOf is a flow whose home is a worker, once there is one: a worker of which
// there was no news for a while is nobody's home.
func flowOf(t testing.TB, q *queue.Queue, worker string) (flow int) {
	t.Helper()
	waitFor(t, func() bool {
		for flow = range queue.Flows {
			if q.HomeOf(model, flow) == worker {
				return true
			}
		}
		return false
	})
	return flow
}

// worker is who started a job.
func worker(t testing.TB, q *queue.Queue, d *queue.Delivery) string {
	t.Helper()
	log, err := q.Log(within(t, time.Minute), d.Owner, d.JobID)
	if err != nil || len(log) < 2 || log[1].Started == nil {
		t.Fatalf("log %+v, %v", log, err)
	}
	return log[1].Started.Worker
}

// TestAgentsComeHome: sixteen flows and three workers, each flow served by its
// home, again and again; one that joins takes its share and moves no other; the
// flows of one that leaves are served by others at once.
func TestAgentsComeHome(t *testing.T) {
	srv := queuetest.Start(t)
	const never = time.Hour
	peers := company(t, srv, never, 3)
	q := queuetest.Open(t, srv)
	claims := make(chan *queue.Delivery, 1)
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer all.Wait()
	defer cancel()
	for _, p := range peers {
		p.serve(ctx, &all, claims)
	}
	served := func() (by [queue.Flows]string) {
		t.Helper()
		for flow := range queue.Flows {
			put(t, q, flow)
			select {
			case d := <-claims:
				by[flow] = worker(t, q, d)
			case <-time.After(time.Minute):
				t.Fatalf("nobody serves flow %d", flow)
			}
		}
		return by
	}
	first := served()
	for flow, who := range first {
		if want := peers[0].q.HomeOf(model, flow); who != want {
			t.Errorf("flow %d was served by %s, its home is %s", flow, who, want)
		}
	}
	if again := served(); again != first {
		t.Errorf("served by %v, then by %v", first, again)
	}

	joiner := join(t, srv, "w3", stealing(never))
	acquainted(t, append(peers, joiner)...)
	joiner.serve(ctx, &all, claims)
	second, moved := served(), 0
	for flow := range queue.Flows {
		if second[flow] != first[flow] {
			moved++
			if second[flow] != "w3" {
				t.Errorf("flow %d moved from %s to %s when w3 joined", flow, first[flow], second[flow])
			}
		}
	}
	t.Logf("%v; %d flows moved to the joiner", first, moved)

	leaver := peers[0]
	leaver.stop()
	acquainted(t, peers[1], peers[2], joiner)
	for flow, who := range served() {
		if (who == second[flow]) == (second[flow] == leaver.id) {
			t.Errorf("flow %d is served by %s, before %s left by %s", flow, who, leaver.id, second[flow])
		}
	}
	for _, p := range append(peers, joiner) {
		if n := p.claims("home_busy") + p.claims("home_gone") + p.claims("home_draining"); n != 0 {
			t.Errorf("%s has %d claims that are not its own", p.id, n)
		}
	}
	if n := peers[1].claims("home"); n == 0 {
		t.Error("no claim at home is counted")
	}
}

// TestBusyHome: what a busy home does not take is another's after StealAfter, and
// not before; and then as fast as that one can.
func TestBusyHome(t *testing.T) {
	const steal, jobs = time.Second, 20
	srv := queuetest.Start(t)
	peers := company(t, srv, steal, 2)
	q := queuetest.Open(t, srv)
	flow := flowOf(t, peers[0].q, peers[0].id)
	for range jobs {
		put(t, q, flow)
	}
	quickest := time.Hour
	for range jobs {
		begin := time.Now()
		d := claim(t, peers[1].c)
		if waited := time.Since(d.StoredAt); waited < steal {
			t.Errorf("claimed after %v", waited)
		}
		quickest = min(quickest, time.Since(begin))
	}
	if quickest >= steal {
		t.Errorf("the quickest of %d jobs took %v: not only the first had to wait", jobs, quickest)
	}
	if n := peers[1].claims("home_busy"); n != jobs {
		t.Errorf("%d claims from the busy home, want %d", n, jobs)
	}
	// A job that its home has is not another's.
	put(t, q, flow)
	claim(t, peers[0].c)
	noClaim(t, peers[1].c, 2*steal)
}

// TestIdleHomeWins: however many jobs a flow has, what its home could take at once
// is not taken by others.
func TestIdleHomeWins(t *testing.T) {
	const steal = 200 * time.Millisecond
	srv := queuetest.Start(t)
	peers := company(t, srv, steal, 2)
	q := queuetest.Open(t, srv)
	flow := flowOf(t, peers[0].q, peers[0].id)
	claims := make(chan *queue.Delivery, 1)
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer all.Wait()
	defer cancel()
	for _, p := range peers {
		p.serve(ctx, &all, claims)
	}
	jobs := 0
	for begin := time.Now(); time.Since(begin) < 4*steal; jobs++ {
		put(t, q, flow)
		d := <-claims
		if who := worker(t, q, d); who != peers[0].id && time.Since(d.StoredAt) < steal {
			t.Errorf("%s took a job after %v", who, time.Since(d.StoredAt))
		}
	}
	t.Logf("%d of %d jobs at home", peers[0].claims("home"), jobs)
}

// TestHandedBackInTime: a job that was handed back, in mid-stream perhaps, is not
// left to a busy home for long, nor to a poll.
func TestHandedBackInTime(t *testing.T) {
	srv := queuetest.Start(t)
	tune := func(c *queue.Config) { c.StealAfter, c.PollInterval = time.Hour, time.Hour }
	peers := []*peer{join(t, srv, "w0", tune), join(t, srv, "w1", tune)}
	acquainted(t, peers...)
	flow := flowOf(t, peers[0].q, peers[0].id)
	const jobs = 40 // more calls than are remembered
	held := make([]*queue.Delivery, jobs)
	for i := range held {
		put(t, peers[0].q, flow)
		held[i] = claim(t, peers[0].c)
	}
	for _, d := range held {
		if err := d.HandBack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 16 {
		claim(t, peers[1].c)
	}
	for range jobs - 16 { // its home is idle again
		claim(t, peers[0].c)
	}
}

// TestDrainingHome: the flows of a worker that drains are the next one's at once.
func TestDrainingHome(t *testing.T) {
	srv := queuetest.Start(t)
	peers := company(t, srv, time.Hour, 2)
	flow := flowOf(t, peers[0].q, peers[0].id)
	s := status(peers[0].id, peers[0].id+"-1", "f")
	s.Draining = true
	if err := peers[0].entry.Update(within(t, time.Minute), s); err != nil {
		t.Fatal(err)
	}
	put(t, peers[0].q, flow)
	claim(t, peers[1].c)
	if n := peers[1].claims("home_draining"); n != 1 {
		t.Errorf("%d claims from the draining home", n)
	}
}

// TestSilentHome: the flows of a worker that died are the next one's before its
// entry runs out.
func TestSilentHome(t *testing.T) {
	srv := queuetest.Start(t)
	tune := func(c *queue.Config) { c.StealAfter, c.RegistryTTL = time.Hour, time.Second }
	peers := []*peer{join(t, srv, "w0", tune), join(t, srv, "w1", tune)}
	acquainted(t, peers...)
	q := peers[1].q
	flow := flowOf(t, q, peers[0].id)
	peers[0].c.Close()
	if err := peers[0].q.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, q, flow)
	claim(t, peers[1].c)
	if n := peers[1].claims("home_gone") + peers[1].claims("home"); n != 1 {
		t.Errorf("%d claims", n)
	}
}

// TestPassOn: a job that is too big for its home goes to a worker that can hold
// it, at once if that is idle, and does not come back as long as there is one.
func TestPassOn(t *testing.T) {
	const needs = 500
	srv := queuetest.Start(t)
	// The bell for a job that is passed on can be earlier than the job, by more than
	// it is tried again for; then it is found as any that its home leaves.
	const steal = 10 * time.Second
	small := join(t, srv, "small", stealing(steal))
	big := join(t, srv, "big", stealing(steal), func(s *schemas.WorkerStatus) { s.Context = 1000 })
	acquainted(t, big, small)
	flow := flowOf(t, small.q, small.id)

	put(t, small.q, flow)
	d := claim(t, small.c)
	if err := d.PassOn(t.Context(), needs); err != nil {
		t.Fatal(err)
	}
	again := claim(t, big.c)
	if again.Key() != d.Key() || big.claims("home_small") != 1 {
		t.Fatalf("claimed %s, %d for being too big", again.Key(), big.claims("home_small"))
	}
	add(t, again, done())
	if err := again.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}

	// The other is busy: it has the job when it asks, and the small one serves
	// the flow's other jobs meanwhile.
	put(t, small.q, flow)
	d = claim(t, small.c)
	if err := d.PassOn(t.Context(), needs); err != nil {
		t.Fatal(err)
	}
	noClaim(t, small.c, 400*time.Millisecond)
	put(t, small.q, flow)
	if other := claim(t, small.c); other.Key() == d.Key() {
		t.Fatal("the small worker has the job again")
	}
	if again := claim(t, big.c); again.Key() != d.Key() {
		t.Fatalf("the big one claimed %s", again.Key())
	}

	// The other leaves: now it is for the small one to say that nobody can.
	put(t, small.q, flow)
	d = claim(t, small.c)
	if err := d.PassOn(t.Context(), needs); err != nil {
		t.Fatal(err)
	}
	noClaim(t, small.c, 100*time.Millisecond)
	big.stop()
	if again := claim(t, small.c); again.Key() != d.Key() {
		t.Fatalf("claimed %s", again.Key())
	}
}

// TestBellsOfStrangers: what a job's publisher writes into its headers is not
// taken for a worker's bell, and garbage in a bell does no harm.
func TestBellsOfStrangers(t *testing.T) {
	srv := queuetest.Start(t)
	p := join(t, srv, "w", stealing(time.Minute))
	nc, _ := stranger(t, srv)
	subject := queue.JobSubject(model, schemas.ClassNormal, 3, "ada")
	m := &nats.Msg{Subject: subject, Data: encoded(t, body("x")), Header: nats.Header{"Semantic-Needs-Context": {"9999999"}}}
	if err := nc.PublishMsg(m); err != nil {
		t.Fatal(err)
	}
	claim(t, p.c)
	wake := strings.Replace(subject, ".jobs.", ".wake.", 1)
	for _, header := range []nats.Header{
		{"Semantic-Needs-Context": {"-1"}}, {"Semantic-Needs-Context": {"10"}, "Semantic-After": {"9223372036854775807"}},
		{"Semantic-Needs-Context": {"x"}, "Semantic-After": {"-5"}}, {"Semantic-Needs-Context": {"99999999999999999999"}},
	} {
		if err := nc.PublishMsg(&nats.Msg{Subject: wake, Header: header}); err != nil {
			t.Fatal(err)
		}
	}
	put(t, p.q, 3)
	claim(t, p.c)
}

// TestClosedClasses: jobs of a class that is closed wait, also while others are
// claimed, until it is open and somebody says so.
func TestClosedClasses(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), unhurried)
	c := claimer(t, q, "w")
	for _, class := range schemas.Classes() {
		submit(t, q, queue.Submission{Class: class, Job: body("x")})
	}
	var mu sync.Mutex
	least := schemas.ClassInteractive
	open := func(class schemas.Class) bool {
		mu.Lock()
		defer mu.Unlock()
		return class == least
	}
	for _, class := range []schemas.Class{schemas.ClassBatch, schemas.ClassInteractive} {
		mu.Lock()
		least = class
		mu.Unlock()
		d, err := c.NextOf(within(t, time.Minute), open)
		if err != nil || d.Class != class {
			t.Fatalf("claimed %+v, %v", d, err)
		}
	}
	if d, err := c.NextOf(within(t, 50*time.Millisecond), open); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("claimed %+v, %v", d, err)
	}
	claimed := make(chan error, 1)
	go func() {
		d, err := c.NextOf(within(t, time.Minute), open)
		if err == nil && d.Class != schemas.ClassNormal {
			err = fmt.Errorf("claimed %s", d.Class)
		}
		claimed <- err
	}()
	mu.Lock()
	least = schemas.ClassNormal
	mu.Unlock()
	c.Wake()
	if err := <-claimed; err != nil {
		t.Fatal(err)
	}
}

// TestOneAgentsManyJobs: five hundred jobs of one agent, and one of another: that
// one is the next to be claimed.
func TestOneAgentsManyJobs(t *testing.T) {
	const many = 500
	p := join(t, queuetest.Start(t), "w", stealing(time.Minute))
	for range many {
		put(t, p.q, 4)
	}
	for range 5 {
		claim(t, p.c).Charge(5000)
	}
	put(t, p.q, 11)
	waitFor(t, func() bool { return p.counter("semantic_queue_doorbells_total", "") == many+1 })
	for _, flow := range []int{11, 4} {
		if d := claim(t, p.c); d.Flow != flow {
			t.Errorf("claimed a job of flow %d, want %d", d.Flow, flow)
		}
	}
}
