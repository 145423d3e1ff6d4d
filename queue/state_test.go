package queue_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

func state(t testing.TB, q *queue.Queue, owner, job string) queue.JobState {
	t.Helper()
	s, err := q.State(within(t, time.Minute), owner, job)
	if err != nil {
		t.Fatalf("state: %v", err)
	}
	return s
}

// TestState: every step of a job's life shows in its state.
func TestState(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), fast)
	job := body("hello")
	job.API = &schemas.API{Format: schemas.FormatOpenAIChat, Stream: true}
	ticket := submit(t, q, queue.Submission{Owner: "ann", Class: schemas.ClassInteractive, Job: job})
	check := func(status queue.JobStatus, attempts int, worker string, n int64) queue.JobState {
		t.Helper()
		s := state(t, q, "ann", ticket.JobID)
		if s.Status != status || s.Attempts != attempts || s.Worker != worker || s.N() != n {
			t.Fatalf("%s, attempt %d on %q, event %d; want %s, %d on %q, %d",
				s.Status, s.Attempts, s.Worker, s.N(), status, attempts, worker, n)
		}
		if s.Model != model || s.Class != schemas.ClassInteractive || s.Flow != ticket.Flow || s.API == nil || *s.API != *job.API ||
			s.Deadline != 10*time.Minute || time.Since(s.StoredAt).Abs() > time.Hour ||
			s.Status.Ended() != (s.End() != nil) || s.EndedAt.IsZero() == s.Status.Ended() {
			t.Fatalf("state %+v", s)
		}
		return s
	}
	if s := check(queue.StatusQueued, 0, "", 1); s.Usage != nil || !s.StartedAt.IsZero() {
		t.Errorf("waiting: %+v", s)
	}
	d := claim(t, claimer(t, q, "w"))
	add(t, d, started("w", "w-1", 1), delta("a"))
	if s := check(queue.StatusRunning, 1, "w", 3); s.Usage == nil || s.Usage.PromptTokens != 3 || s.Usage.CompletionTokens != 1 {
		t.Errorf("running: usage %+v", s.Usage)
	}
	add(t, d, requeued("w", "w-1"))
	check(queue.StatusQueued, 1, "w", 4)
	add(t, d, started("w2", "w2-1", 2))
	check(queue.StatusRunning, 2, "w2", 5)
	end := done()
	end.Done.Usage = schemas.Usage{PromptTokens: 3, CompletionTokens: 1, CachedTokens: 2}
	add(t, d, end)
	if s := check(queue.StatusDone, 2, "w2", 6); *s.Usage != end.Done.Usage || s.End().Done == nil {
		t.Errorf("done: usage %+v, end %+v", s.Usage, s.End())
	}
}

func TestStateOfEnds(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), fast, unhurried)
	usage := &schemas.Usage{PromptTokens: 3, CompletionTokens: 9, CachedTokens: 3}
	for status, end := range map[queue.JobStatus]schemas.Event{
		queue.StatusFailed: {Type: schemas.EventFailed, Failed: &schemas.Failed{
			Code: schemas.CodeEngineFailed, Message: "no", Usage: usage}},
		queue.StatusCancelled: {Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: "requested", Usage: usage}},
		queue.StatusExpired:   {Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 1, Started: true, Usage: usage}},
	} {
		d := claimed(t, q)
		add(t, d, started("w", "w-1", 1), end)
		s := state(t, q, "", d.JobID)
		if s.Status != status || !s.Status.Ended() || s.End() == nil || s.End().Type != end.Type || s.EndedAt.IsZero() || *s.Usage != *usage {
			t.Errorf("%s: %+v", status, s)
		}
	}
}

// TestStateOfStrangers: a job that was published without a gateway has a state
// as far as its message or its log tell.
func TestStateOfStrangers(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	_, js := stranger(t, srv)
	data, err := schemas.EncodeJob(body("hello"))
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id string) uint64 {
		t.Helper()
		ack, err := js.PublishMsg(t.Context(), &nats.Msg{
			Subject: queue.JobSubject(model, schemas.ClassBatch, 3, "bob"), Data: data,
			Header: nats.Header{schemas.HeaderJobID: {id}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return ack.Sequence
	}
	named := publish("their-own")
	unnamed := fmt.Sprintf("sb-%d", publish("not a valid id"))
	s := state(t, q, "bob", unnamed)
	if s.Status != queue.StatusQueued || s.Model != model || s.Class != schemas.ClassBatch || s.Flow != 3 || s.StoredAt.IsZero() ||
		s.API != nil || s.N() != 0 || s.End() != nil {
		t.Errorf("state %+v", s)
	}

	none := func(owner, job string) {
		t.Helper()
		if s, err := q.State(within(t, time.Minute), owner, job); !errors.Is(err, queue.ErrNoJob) {
			t.Errorf("%s of %s: %+v, error %v; want ErrNoJob", job, owner, s, err)
		}
	}
	none("bob", "never-was")
	none("bob", "their-own")
	none("ann", unnamed)
	none("bob", fmt.Sprintf("sb-%d", named)) // has an id of its own
	none("bob", "sb-99")
	none("bob", "sn-1")
	if _, err := q.State(within(t, time.Minute), "bob", "no id"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("an id that cannot be: %v", err)
	}

	if err := q.Cancel(within(t, time.Minute), "bob", "their-own", "requested"); err != nil {
		t.Fatal(err)
	}
	if s := state(t, q, "bob", "their-own"); s.Status != queue.StatusCancelled || s.Model != "" {
		t.Errorf("state %+v", s)
	}
}
