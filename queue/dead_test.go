package queue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

func failed() schemas.Failed {
	return schemas.Failed{Code: schemas.CodeWorkerLost, Message: "three died"}
}

// park gives a job up, as a worker does, without telling its client.
func park(t testing.TB, d *queue.Delivery) {
	t.Helper()
	ctx := within(t, time.Minute)
	if err := d.Park(ctx, d.Evidence(ctx), failed()); err != nil {
		t.Fatalf("park: %v", err)
	}
}

// bury gives a job up and tells its client.
func bury(t testing.TB, d *queue.Delivery) {
	t.Helper()
	park(t, d)
	f := failed()
	add(t, d, schemas.Event{Type: schemas.EventFailed, Failed: &f})
	if err := d.Ack(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func deadJobs(t testing.TB, q *queue.Queue, id string) []queue.DeadJob {
	t.Helper()
	list, err := q.DeadJobs(within(t, time.Minute), id)
	if err != nil {
		t.Fatalf("dead jobs: %v", err)
	}
	return list
}

// onlyDead is the one dead job that there is.
func onlyDead(t testing.TB, q *queue.Queue) queue.DeadJob {
	t.Helper()
	list := deadJobs(t, q, "")
	if len(list) != 1 || list[0].Fault != nil {
		t.Fatalf("dead jobs: %+v", list)
	}
	return list[0]
}

// TestParkAndDie: the worker that gives a job up dies after each step
// of it; the next one goes on, there is one entry and one end.
func TestParkAndDie(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	ticket := submit(t, q, queue.Submission{Job: body("poison"), RequestID: "req-7"})
	first := claim(t, claimer(t, q, "a"))
	add(t, first, started("a", "a-1", 1), delta("so far"))
	add(t, first, schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
		Attempt: 2, Worker: "b", Incarnation: "b-0", Fingerprint: "f", Seed: 1, Alone: true,
	}})
	if err := q.ReportExit(t.Context(), "b", "b-0", schemas.Exit{Status: "signal: killed", Code: -1, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}

	second := claim(t, claimer(t, q, "c"))
	if g := second.Guilt(); g.Deaths != 1 || g.Alone != 1 || g.Total != 2 || !g.Suspect {
		t.Errorf("guilt %+v", g)
	}
	park(t, second) // and it dies
	entry := onlyDead(t, q)
	next := claimer(t, q, "d")
	srv.Restart(t)

	third := claim(t, next)
	park(t, third)
	if again := onlyDead(t, q); again.StoredAt != entry.StoredAt {
		t.Errorf("parked again at %v, first at %v", again.StoredAt, entry.StoredAt)
	}
	f := failed()
	add(t, third, schemas.Event{Type: schemas.EventFailed, Failed: &f}) // and it dies
	fourth := claim(t, claimer(t, q, "e"))
	if err := fourth.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if queued, running := stored(t, q); queued+running != 0 {
		t.Errorf("%d queued, %d running", queued, running)
	}

	p := entry.Parked
	if p.Job != ticket.JobID || p.Owner != queue.OwnerLocal || p.Model != model || p.RequestID != "req-7" || p.Class != schemas.ClassNormal ||
		p.Subject != ticket.Subject || p.ParkedBy != "c" || p.Message != "three died" || p.Tokens != 1 || p.LastText != "so far" ||
		!slices.Equal(p.LastTokens, []int32{7}) || len(p.Log) != 4 || !strings.Contains(p.Log[3], `"b-0"`) ||
		p.Body != string(encoded(t, body("poison"))) {
		t.Errorf("entry %+v", p)
	}
	if len(p.Attempts) != 2 || p.Attempts[0].End != schemas.AttemptDied || p.Attempts[0].Counted || p.Attempts[0].Exit != nil ||
		!p.Attempts[1].Counted || !p.Attempts[1].Alone || p.Attempts[1].Exit == nil || p.Attempts[1].Exit.Status != "signal: killed" {
		t.Errorf("attempts %+v", p.Attempts)
	}
}

// TestParkTogether: several give up the same job at once, as after claims that ran
// out, and with the broker stopped in between.
func TestParkTogether(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	submit(t, q, queue.Submission{Job: body("poison")})
	var claims []*queue.Delivery
	for _, worker := range []string{"a", "b", "c"} {
		claims = append(claims, claim(t, claimer(t, q, worker)))
	}
	srv.Stop()
	errs := make(chan error, len(claims))
	ctx := within(t, 30*time.Second)
	for _, d := range claims {
		go func() { errs <- d.Park(ctx, queue.Evidence{}, failed()) }()
	}
	srv.Resume(t)
	for range claims {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	onlyDead(t, q)
}

// TestForgedDeadJobs: what strangers put among the dead jobs is told apart, does
// not keep a job from being parked, and can be dropped.
func TestForgedDeadJobs(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	nc, js := stranger(t, srv)
	ticket := submit(t, q, queue.Submission{Job: body("poison")})
	d := claim(t, claimer(t, q, "a"))
	subject := "semantic.dead." + queue.Slug(model) + ".local."
	// The server's acknowledgement, and a dead job of somebody else.
	if err := nc.PublishRequest(queue.JobSubject(model, schemas.ClassBatch, 0, "x"), subject+ticket.JobID, encoded(t, body("x"))); err != nil {
		t.Fatal(err)
	}
	other := schemas.Parked{
		Job: "other", Owner: "x", Model: model, Class: schemas.ClassBatch, Subject: "s", ParkedBy: "w", Code: "c", Message: "m", Body: "{}",
	}
	data, err := schemas.EncodeParked(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{subject + "forged", "semantic.dead.=zz.local.forged", "semantic.dead.m.o.=2A"} {
		if _, err := js.Publish(t.Context(), at, data); err != nil {
			t.Fatal(err)
		}
	}
	for len(deadJobs(t, q, "")) < 4 {
		if err := nc.FlushWithContext(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	bury(t, d)
	good := 0
	for _, j := range deadJobs(t, q, "") {
		if j.Fault == nil {
			if good++; j.JobID != ticket.JobID {
				t.Errorf("%+v is no dead job", j)
			}
			continue
		}
		if _, err := q.Replay(t.Context(), j, false); err == nil {
			t.Errorf("%s was submitted again", j.JobID)
		}
		if err := q.DropDead(t.Context(), j); err != nil {
			t.Errorf("drop %s: %v", j.JobID, err)
		}
	}
	if good != 1 || len(deadJobs(t, q, "")) != 1 {
		t.Errorf("%d good entries, %d left", good, len(deadJobs(t, q, "")))
	}
}

// TestDeadOfTwoOwners: two owners have dead jobs of one id.
func TestDeadOfTwoOwners(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t), fast)
	for i, owner := range []string{"ann", "b.o.b"} {
		submit(t, q, queue.Submission{JobID: "same", Owner: owner, Class: schemas.Classes()[i], Job: body("of " + owner)})
		bury(t, claim(t, claimer(t, q, "w")))
	}
	submit(t, q, queue.Submission{JobID: "another", Job: body("x")})
	bury(t, claim(t, claimer(t, q, "w")))
	list := deadJobs(t, q, "same")
	if len(list) != 2 || list[0].Owner != "b.o.b" || list[1].Owner != "ann" {
		t.Fatalf("%+v", list)
	}
	if all := deadJobs(t, q, ""); len(all) != 3 {
		t.Errorf("%d dead jobs", len(all))
	}
	if none := deadJobs(t, q, "none"); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if _, err := q.DeadJobs(t.Context(), "a.b"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("a.b: %v", err)
	}
}

// TestReplay: the new job is the old one in all but its id, its log says so, and
// the entry goes.
func TestReplay(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, func(o *queue.Options) { o.Registerer, o.Overview = registry, registry })
	job := body("poison")
	job.DeadlineMS = 60_000
	old := submit(t, q, queue.Submission{Owner: "ann", Class: schemas.ClassBatch, RequestID: "req-1", Job: job})
	bury(t, claim(t, claimer(t, q, "w")))
	entry := onlyDead(t, q)
	dead := func(n int) {
		t.Helper()
		want := fmt.Sprintf("# HELP semantic_queue_dead Dead jobs that wait for somebody to look at them.\n"+
			"# TYPE semantic_queue_dead gauge\nsemantic_queue_dead %d\n", n)
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "semantic_queue_dead"); err != nil {
			t.Error(err)
		}
	}
	dead(1)

	kept, err := q.Replay(t.Context(), entry, true)
	if err != nil {
		t.Fatal(err)
	}
	dead(1)
	first, err := q.Replay(t.Context(), entry, false)
	if err != nil {
		t.Fatal(err)
	}
	dead(0)
	if _, err := q.Replay(t.Context(), entry, false); !errors.Is(err, queue.ErrNotDead) {
		t.Errorf("replayed a second time: %v", err)
	}
	if err := q.DropDead(t.Context(), entry); !errors.Is(err, queue.ErrNotDead) {
		t.Errorf("dropped a second time: %v", err)
	}
	if kept.JobID == first.JobID || first.JobID == old.JobID || first.Owner != "ann" || first.Subject != old.Subject {
		t.Errorf("replayed as %+v and %+v", kept, first)
	}
	c := claimer(t, q, "w")
	for range 2 {
		d := claim(t, c)
		got, err := d.Job()
		submitted := d.Log()[0].Submitted
		if err != nil || d.Owner != "ann" || d.Class != schemas.ClassBatch || got.DeadlineMS != job.DeadlineMS || d.RequestID != "req-1" ||
			got.Messages[0].Content != "poison" || submitted == nil || submitted.ReplayOf != old.JobID {
			t.Errorf("claimed %+v: %+v, %v", got, d.Log(), err)
		}
		add(t, d, done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(counterOf(t, registry, "semantic_queue_replayed_total")); n != 2 {
		t.Errorf("%v replays counted", n)
	}
}

// counterOf reads a counter without labels.
func counterOf(t testing.TB, g prometheus.Gatherer, name string) prometheus.Collector {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	c := prometheus.NewGauge(prometheus.GaugeOpts{Name: "read"})
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				c.Add(m.GetCounter().GetValue())
			}
		}
	}
	return c
}

// TestReplayTogether: several replay one entry at once, as one that was cut off
// before it dropped the entry and comes again: one new job.
func TestReplayTogether(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t), fast)
	submit(t, q, queue.Submission{Job: body("poison")})
	bury(t, claim(t, claimer(t, q, "w")))
	entry := onlyDead(t, q)
	var mu sync.Mutex
	ids := make(map[string]int)
	var all sync.WaitGroup
	ctx := within(t, 30*time.Second)
	for range 4 {
		all.Go(func() {
			ticket, err := q.Replay(ctx, entry, false)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ids[ticket.JobID]++
			case !errors.Is(err, queue.ErrNotDead):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if queued, running := stored(t, q); len(ids) != 1 || queued+running != 1 {
		t.Errorf("new jobs %v, %d queued, %d running", ids, queued, running)
	}
}

// TestNoRoomForTheDead: a full store of dead jobs is told, and the job can end.
func TestNoRoomForTheDead(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	_, js := stranger(t, srv)
	stream, err := js.Stream(t.Context(), "DEAD")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	config.MaxBytes = 100
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	submit(t, q, queue.Submission{Job: body("poison")})
	d := claim(t, claimer(t, q, "w"))
	if err := d.Park(t.Context(), d.Evidence(t.Context()), failed()); !errors.Is(err, queue.ErrStorageFull) {
		t.Errorf("parked: %v", err)
	}
	f := failed()
	add(t, d, schemas.Event{Type: schemas.EventFailed, Failed: &f})
}

// TestEvidenceIsBounded: a job with a long life has an entry that fits.
func TestEvidenceIsBounded(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t), fast)
	submit(t, q, queue.Submission{Job: body("poison")})
	d := claim(t, claimer(t, q, "w"))
	for i := range 100 {
		add(t, d, started("w", "w-"+string(rune('A'+i%26))+strings.Repeat("x", i), i+1), delta(strings.Repeat("ü", 4000)))
	}
	bury(t, d)
	p := onlyDead(t, q).Parked
	if len(p.Attempts) != schemas.MaxAttempts || len(p.LastText) > 1024 || !strings.HasPrefix(p.LastText, "ü") ||
		len(p.LastTokens) != schemas.MaxLastTokens || p.Tokens != 100 || len(p.Log) == 0 || len(p.Log) > schemas.MaxParkedLog {
		t.Errorf("%d attempts, text of %d, %d tokens of %d, %d events",
			len(p.Attempts), len(p.LastText), len(p.LastTokens), p.Tokens, len(p.Log))
	}
}

// TestDeadWhileTheBrokerIsAway: who looks at dead jobs is told in time.
func TestDeadWhileTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	srv.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := q.DeadJobs(ctx, ""); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("list: %v", err)
	}
	if err := q.ReportExit(ctx, "w", "w-1", schemas.Exit{Status: "exit status 2", Code: 2}); !errors.Is(err, queue.ErrUnavailable) {
		t.Errorf("report: %v", err)
	}
	if err := q.ReportExit(t.Context(), "w", "w-1", schemas.Exit{}); err == nil {
		t.Error("an exit without a status was taken")
	}
}
