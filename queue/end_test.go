package queue_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

func stored(t *testing.T, q *queue.Queue) (queued, running int64) {
	t.Helper()
	depth, err := q.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range depth {
		queued, running = queued+d.Queued, running+d.Running
	}
	return queued, running
}

func TestCancelWaiting(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	ticket := submit(t, q, queue.Submission{Job: body("x")})
	kept := submit(t, q, queue.Submission{Job: body("x")})
	// Any gateway may cancel; this one does not know where the job is.
	other := queuetest.Open(t, srv)
	for range 2 {
		if err := other.Cancel(t.Context(), "", ticket.JobID, "requested"); err != nil {
			t.Fatal(err)
		}
	}
	f := follow(t, q, "", ticket.JobID, 1)
	if e := next(t, f); e.Cancelled == nil || e.Cancelled.Reason != "requested" || e.Cancelled.Usage != nil {
		t.Fatalf("event %+v", e)
	}
	expectEOF(t, f)
	if queued, _ := stored(t, q); queued != 1 {
		t.Errorf("%d jobs stored, want the other one", queued)
	}
	if d := claim(t, claimer(t, q, "w")); d.JobID != kept.JobID {
		t.Errorf("claimed %s", d.JobID)
	}
}

// TestCancelDirect: a stranger's job has no event before its end.
func TestCancelDirect(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	if _, err := js.Publish(t.Context(), queue.JobSubject(model, schemas.ClassNormal, 4, "ada"), encoded(t, body("x"))); err != nil {
		t.Fatal(err)
	}
	// Somebody else's job of that number is not touched.
	if err := q.Cancel(t.Context(), "bob", "sn-1", "requested"); err != nil {
		t.Fatal(err)
	}
	if queued, _ := stored(t, q); queued != 1 {
		t.Fatalf("%d stored", queued)
	}
	if err := q.Cancel(t.Context(), "ada", "sn-1", "requested"); err != nil {
		t.Fatal(err)
	}
	if queued, _ := stored(t, q); queued != 0 {
		t.Fatalf("%d stored after cancel", queued)
	}
	if err := q.Cancel(t.Context(), "ada", "s.n", "requested"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("bad id: %v", err)
	}
}

// TestCancelClaimed: the claimer of a cancelled job finds the end and acks.
func TestCancelClaimed(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), fast)
	d := claimed(t, q)
	if err := q.Cancel(t.Context(), "", d.JobID, "requested"); err != nil {
		t.Fatal(err)
	}
	if err := d.Append(t.Context(), started("w", "w-1", 1)); !errors.Is(err, queue.ErrFenced) {
		t.Fatalf("start of a cancelled job: %v", err)
	}
}

// TestCancelRunning: the worker is told, and ends the job itself.
func TestCancelRunning(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), func(o *queue.Options) { o.Config.CancelGrace = time.Minute })
	d := claimed(t, q)
	feed, err := q.Control(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	add(t, d, started("w", "w-1", 1), delta("a"))
	cancelled := make(chan error, 1)
	go func() { cancelled <- q.Cancel(t.Context(), "", d.JobID, "client_disconnected") }()
	for range 2 { // it is repeated until the end is seen
		m, err := feed.Next(within(t, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		want := queue.ControlMessage{Kind: queue.ControlCancel, Owner: queue.OwnerLocal, JobID: d.JobID, Reason: "client_disconnected"}
		if m != want {
			t.Fatalf("message %+v", m)
		}
	}
	add(t, d, schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: "client_disconnected"}})
	if err := <-cancelled; err != nil {
		t.Fatal(err)
	}
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCancelDeafWorker: after the grace the canceller ends the job, with what
// was used so far, and the worker is fenced.
func TestCancelDeafWorker(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), fast)
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1), delta("a"), delta("b"))
	begin := time.Now()
	if err := q.Cancel(t.Context(), "", d.JobID, "requested"); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(begin); waited < q.Config().CancelGrace {
		t.Errorf("the worker had only %v", waited)
	}
	if err := d.Append(t.Context(), delta("c")); !errors.Is(err, queue.ErrFenced) {
		t.Fatalf("append after cancel: %v", err)
	}
	log, err := q.Log(t.Context(), "", d.JobID)
	if err != nil {
		t.Fatal(err)
	}
	end := log[len(log)-1].Cancelled
	if end == nil || end.Usage == nil || end.Usage.PromptTokens != 3 || end.Usage.CompletionTokens != 2 {
		t.Fatalf("end %+v", log[len(log)-1])
	}
}

func TestExpire(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	waiting := submit(t, q, queue.Submission{Job: body("x")})
	for range 2 {
		if err := q.Expire(t.Context(), "", waiting.JobID, 3*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	f := follow(t, q, "", waiting.JobID, 1)
	if e := next(t, f); e.Expired == nil || e.Expired.DeadlineMS != 3000 || e.Expired.Started {
		t.Fatalf("event %+v", e)
	}
	expectEOF(t, f)
	if queued, running := stored(t, q); queued+running != 0 {
		t.Errorf("%d+%d jobs stored", queued, running)
	}
	d := claimed(t, q)
	feed, err := q.Control(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	add(t, d, started("w", "w-1", 1), delta("a"))
	if err := q.Expire(t.Context(), "", d.JobID, time.Second); err != nil {
		t.Fatal(err)
	}
	if m, err := feed.Next(within(t, time.Minute)); err != nil || m.Reason != "deadline" {
		t.Fatalf("the worker is told %+v, %v", m, err)
	}
	feed.Close()
	if _, err := feed.Next(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("closed feed: %v", err)
	}
	log, err := q.Log(t.Context(), "", d.JobID)
	if err != nil {
		t.Fatal(err)
	}
	if end := log[len(log)-1].Expired; end == nil || !end.Started || end.Usage.CompletionTokens != 1 {
		t.Fatalf("end %+v", log[len(log)-1])
	}
	// A job that ended otherwise stays as it is.
	d = claimed(t, q)
	add(t, d, started("w", "w-1", 1), done())
	if err := q.Expire(t.Context(), "", d.JobID, time.Second); err != nil {
		t.Fatal(err)
	}
	if log, _ := q.Log(t.Context(), "", d.JobID); log[len(log)-1].Done == nil {
		t.Errorf("end %+v", log[len(log)-1])
	}
}

func TestControlJunk(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	nc, _ := stranger(t, srv)
	feed, err := q.Control(t.Context(), "a b")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for _, text := range []string{"junk", `{"kind":"later"}`} {
		if err := nc.Publish("semantic.control.a=20b", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if m, err := feed.Next(within(t, time.Minute)); err != nil || m.Kind != "later" {
		t.Fatalf("message %+v, %v", m, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := feed.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestCancelAfterLoss: a broker that comes back without a job gives its place to
// another one, which must outlive a cancel of the first.
func TestCancelAfterLoss(t *testing.T) {
	store := t.TempDir()
	srv := queuetest.Start(t, func(o *embedded.Options) { o.StoreDir = store })
	q := queuetest.Open(t, srv, fast)
	srv.Stop()
	jobs, err := filepath.Glob(filepath.Join(store, "jetstream", "*", "streams", "JOBS_NORMAL"))
	if err != nil || len(jobs) != 1 {
		t.Fatalf("the stream's folders: %v, %v", jobs, err)
	}
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(jobs[0])); err != nil {
		t.Fatal(err)
	}
	srv.Resume(t)
	eventually(t, "the connection is back", func() bool { return q.Healthy() == nil })
	lost := submit(t, q, queue.Submission{Job: body("x")})
	srv.Stop()
	if err := os.RemoveAll(jobs[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(jobs[0], os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	srv.Resume(t)
	other := submit(t, queuetest.Open(t, srv, fast), queue.Submission{Job: body("y")})
	if other.Sequence != lost.Sequence {
		t.Fatalf("the other job is at %d, the lost one was at %d", other.Sequence, lost.Sequence)
	}
	if err := q.Cancel(within(t, time.Minute), "", lost.JobID, "requested"); err != nil {
		t.Fatal(err)
	}
	if queued, running := stored(t, q); queued+running != 1 {
		t.Errorf("%d queued, %d running, want the other job", queued, running)
	}
}
