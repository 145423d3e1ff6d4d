package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestStrangersJobs: jobs of clients that know nothing of this package.
func TestStrangersJobs(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, func(o *queue.Options) { o.Config.AckWait = time.Minute })
	nc, js := stranger(t, srv)
	c := claimer(t, q, "w")
	subject := queue.JobSubject(model, schemas.ClassBatch, 7, "ada")
	take := func(want string) *queue.Delivery {
		t.Helper()
		d := claim(t, c)
		if d.JobID != want || d.Owner != "ada" || d.Flow != 7 || d.Class != schemas.ClassBatch || len(d.Log()) != 0 {
			t.Fatalf("claimed %+v, want job %s", d, want)
		}
		return d
	}
	// A core publish.
	if err := nc.Publish(subject, encoded(t, body("core"))); err != nil {
		t.Fatal(err)
	}
	f := follow(t, q, "ada", "sb-1", 0)
	d := take("sb-1")
	add(t, d, started("w", "w-1", 1), done())
	expect(t, f, 1, schemas.EventStarted, schemas.EventDone)
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A JetStream publish: the publisher knows the id from the acknowledgement.
	ack, err := js.Publish(t.Context(), subject, encoded(t, body("js")))
	if err != nil {
		t.Fatal(err)
	}
	take(fmt.Sprintf("sb-%d", ack.Sequence))
	// With an id of its own.
	for _, c := range []struct{ id, want string }{{"mine", "mine"}, {"not valid", "sb-4"}, {"sn-1", "sb-5"}} {
		m := &nats.Msg{Subject: subject, Data: encoded(t, body("x")), Header: nats.Header{"Nats-Msg-Id": {c.id}}}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		take(c.want)
	}
	// Not a job: the worker is told the field.
	if err := nc.Publish(subject, []byte(`{"v":1,"model":"m","messages":[],"nonsense":1}`)); err != nil {
		t.Fatal(err)
	}
	var field *schemas.FieldError
	if _, err := take("sb-6").Job(); !errors.As(err, &field) {
		t.Fatalf("error %v", err)
	}
	if err := nc.Publish(subject, []byte(`{"v":99}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := take("sb-7").Job(); !errors.Is(err, schemas.ErrNewerVersion) {
		t.Fatalf("error %v", err)
	}
	// Nothing, that looks like the server's word that there is no job.
	for _, status := range []string{"404", "408", "409", "100"} {
		if err := nc.PublishMsg(&nats.Msg{Subject: subject, Header: nats.Header{"Status": {status}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"sb-8", "sb-9", "sb-10", "sb-11"} {
		if _, err := take(id).Job(); !errors.As(err, &field) {
			t.Fatalf("%s: error %v", id, err)
		}
	}
}

// TestClaimerFindsOldJobs: jobs stored while nobody listened.
func TestClaimerFindsOldJobs(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	for _, class := range schemas.Classes() {
		submit(t, q, queue.Submission{Class: class, Job: body("x")})
	}
	c := claimer(t, q, "w")
	for _, class := range schemas.Classes() {
		if d := claim(t, c); d.Class != class {
			t.Fatalf("claimed %s before %s", d.Class, class)
		}
	}
	noClaim(t, c, 100*time.Millisecond)
}

func TestClaimersShareWithoutOverlap(t *testing.T) {
	const jobs = 200
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	var mu sync.Mutex
	seen := make(map[string]string)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	for i := range 2 {
		name := fmt.Sprintf("w%d", i)
		c := claimer(t, queuetest.Open(t, srv), name)
		all.Go(func() {
			for {
				d, err := c.Next(ctx)
				if err != nil {
					return
				}
				if err := errors.Join(d.Append(ctx, done()), d.Ack(ctx)); err != nil {
					t.Errorf("%s: %v", d.JobID, err)
				}
				mu.Lock()
				if other, twice := seen[d.JobID]; twice {
					t.Errorf("%s claimed by %s and %s", d.JobID, other, name)
				}
				seen[d.JobID] = name
				if len(seen) == jobs {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	for i := range jobs {
		job := body("x")
		job.Agent = strconv.Itoa(i)
		submit(t, q, queue.Submission{Job: job})
	}
	all.Wait()
	if len(seen) != jobs {
		t.Fatalf("%d of %d jobs claimed", len(seen), jobs)
	}
}

// TestClassWeightsAtTheBroker: of 16 claims with all classes waiting 12, 3, 1.
func TestClassWeightsAtTheBroker(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	for i := range 16 {
		for _, class := range schemas.Classes() {
			job := body("x")
			job.Agent = strconv.Itoa(i)
			submit(t, q, queue.Submission{Class: class, Job: job})
		}
	}
	c := claimer(t, q, "w")
	got := make(map[schemas.Class]int)
	for range 16 {
		got[claim(t, c).Class]++
	}
	if got[schemas.ClassInteractive] != 12 || got[schemas.ClassNormal] != 3 || got[schemas.ClassBatch] != 1 {
		t.Fatalf("claims by class: %v", got)
	}
}

// TestRedelivery: a worker that died silently loses its job after AckWait, one
// that beats keeps it.
func TestRedelivery(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	c := claimer(t, q, "w1")
	submit(t, q, queue.Submission{Job: body("x")})
	d := claim(t, c)
	other := claimer(t, queuetest.Open(t, srv, fast), "w2")

	beating, stop := context.WithCancel(t.Context())
	beats := make(chan error, 1)
	go func() { beats <- d.KeepAlive(beating) }()
	noClaim(t, other, 3*q.Config().AckWait)
	stop()
	if err := <-beats; err != nil {
		t.Fatalf("heartbeats: %v", err)
	}
	begin := time.Now()
	again := claim(t, other)
	if again.Key() != d.Key() || again.Deliveries != 2 {
		t.Fatalf("claimed %+v", again)
	}
	if waited, most := time.Since(begin), q.Config().AckWait+q.Config().PollInterval; waited > most+time.Second {
		t.Errorf("redelivered after %v, want about %v", waited, most)
	}
	// Who lost the job is told at the next append, and stops beating.
	add(t, again, started("w2", "w2-1", 1))
	go func() { beats <- d.KeepAlive(t.Context()) }()
	if err := d.Append(t.Context(), started("w1", "w1-1", 1)); !errors.Is(err, queue.ErrFenced) {
		t.Fatalf("the zombie's append: %v", err)
	}
	<-d.Lost()
	if err := <-beats; !errors.Is(err, queue.ErrFenced) {
		t.Fatalf("the zombie's heartbeats: %v", err)
	}
	if err := d.Append(t.Context(), delta("x")); !errors.Is(err, queue.ErrFenced) {
		t.Fatalf("the zombie again: %v", err)
	}
	add(t, again, delta("right"), done())
	log, err := q.Log(t.Context(), "", d.JobID)
	if err != nil || len(log) != 4 || log[2].Delta.Text != "right" {
		t.Fatalf("log %+v, %v", log, err)
	}
}

// TestHandBack: the next claimer has the job at once, not at the next poll.
func TestHandBack(t *testing.T) {
	srv := queuetest.Start(t)
	slowPoll := func(o *queue.Options) { o.Config.PollInterval = time.Minute }
	q := queuetest.Open(t, srv, slowPoll)
	c := claimer(t, q, "w1")
	submit(t, q, queue.Submission{Job: body("x")})
	d := claim(t, c)
	other := claimer(t, queuetest.Open(t, srv, slowPoll), "w2")
	noClaim(t, other, 50*time.Millisecond)
	add(t, d, started("w1", "w1-1", 1), requeued("w1", "w1-1"))
	c.Close()
	begin := time.Now()
	if err := d.HandBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := claim(t, other)
	if again.Key() != d.Key() || len(again.Log()) != 3 || again.Guilt().Deaths != 0 {
		t.Fatalf("claimed %+v with %d events, %d deaths", again, len(again.Log()), again.Guilt().Deaths)
	}
	if waited := time.Since(begin); waited > 5*time.Second {
		t.Errorf("handed over after %v", waited)
	}
	if _, err := c.Next(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("closed claimer: %v", err)
	}
}

// TestHandBackOutlivesTheBroker: a job that was handed back before the broker
// stopped need not wait until its claim has run out.
func TestHandBackOutlivesTheBroker(t *testing.T) {
	patient := func(o *queue.Options) { o.Config.AckWait = 10 * time.Minute }
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, patient)
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1), requeued("w", "w-1"))
	if err := d.HandBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Restart(t)
	again := claim(t, claimer(t, queuetest.Open(t, srv, patient), "w2"))
	if again.Key() != d.Key() {
		t.Fatalf("claimed %s", again.Key())
	}
}

// TestHandBackAfter: nobody is offered the job before the delay is over.
func TestHandBackAfter(t *testing.T) {
	const delay = 700 * time.Millisecond
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	d := claimed(t, q)
	begin := time.Now()
	if err := d.HandBackAfter(t.Context(), delay); err != nil {
		t.Fatal(err)
	}
	again := claim(t, claimer(t, q, "w2"))
	if waited := time.Since(begin); again.Key() != d.Key() || waited < delay {
		t.Fatalf("claimed %s after %v", again.Key(), waited)
	}
}

// TestAdopt: a worker is offered a job that it is running.
func TestAdopt(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), fast)
	c := claimer(t, q, "w")
	ticket := submit(t, q, queue.Submission{Job: body("x")})
	d := claim(t, c)
	add(t, d, started("w", "w-1", 1))
	again := claim(t, c) // its heartbeats failed
	if again.Key() != d.Key() || again.Guilt().Deaths != 0 {
		t.Fatalf("claimed %+v with %d deaths", again, again.Guilt().Deaths)
	}
	if err := d.Adopt(again); err != nil {
		t.Fatal(err)
	}
	if err := d.Adopt(d); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("adopts itself: %v", err)
	}
	add(t, d, delta("a"), done())
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	noClaim(t, c, 2*q.Config().AckWait)
	if log, _ := q.Log(t.Context(), "", ticket.JobID); len(log) != 4 {
		t.Errorf("log %+v", log)
	}
	submit(t, q, queue.Submission{Job: body("other")})
	if err := d.Adopt(claim(t, c)); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("adopts another job: %v", err)
	}
}

// TestAdoptDuplicate: the same id published twice, long apart, is one job.
func TestAdoptDuplicate(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	nc, _ := stranger(t, srv)
	c := claimer(t, q, "w")
	// Two classes do not know each other's ids, as one stream forgets after its window.
	for _, class := range []schemas.Class{schemas.ClassNormal, schemas.ClassBatch} {
		err := nc.PublishMsg(&nats.Msg{
			Subject: queue.JobSubject(model, class, 0, queue.OwnerLocal), Data: encoded(t, body("x")), Header: nats.Header{"Nats-Msg-Id": {"twin"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := claim(t, c), claim(t, c)
	if a.Key() != b.Key() {
		t.Fatalf("keys %s and %s", a.Key(), b.Key())
	}
	if err := a.Adopt(b); err != nil {
		t.Fatal(err)
	}
	add(t, a, started("w", "w-1", 1), done())
	if err := a.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	depth, err := q.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range depth {
		if d.Queued+d.Running != 0 {
			t.Errorf("left: %+v", d)
		}
	}
}

// TestClaimLatency: an idle claimer has a stranger's job about as fast as the
// bell rings, far from any poll.
func TestClaimLatency(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, func(o *queue.Options) { o.Config.PollInterval = time.Minute })
	c := claimer(t, q, "w")
	nc, _ := stranger(t, srv)
	best := time.Hour
	for range 20 {
		claimed := make(chan *queue.Delivery, 1)
		go func() {
			d, err := c.Next(t.Context())
			if err != nil {
				t.Error(err)
			}
			claimed <- d
		}()
		begin := time.Now()
		if err := nc.Publish(queue.JobSubject(model, schemas.ClassInteractive, 0, "x"), encoded(t, body("x"))); err != nil {
			t.Fatal(err)
		}
		d := <-claimed
		best = min(best, time.Since(begin))
		add(t, d, done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("best of 20: %v", best)
	if best > 100*time.Millisecond {
		t.Errorf("the bell is not answered: best of 20 is %v", best)
	}
}

func TestClaimerOptions(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	if _, err := q.NewClaimer(t.Context(), queue.ClaimOptions{Model: "m"}); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("error %v", err)
	}
}
