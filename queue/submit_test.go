package queue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

func TestSubmitAttaches(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, unhurried)
	first := submit(t, q, queue.Submission{JobID: "k1", Job: body("a")})
	again := submit(t, q, queue.Submission{JobID: "k1", Job: body("a"), Class: schemas.ClassBatch})
	if !again.Attached || first.Attached || again.Subject != first.Subject || again.Class != first.Class || again.Sequence != first.Sequence {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	// Another gateway does not remember the job's place; it finds it.
	other := submit(t, queuetest.Open(t, srv), queue.Submission{JobID: "k1", Job: body("a")})
	if !other.Attached || other.Sequence != first.Sequence {
		t.Fatalf("from elsewhere %+v", other)
	}
	if _, err := q.Submit(t.Context(), queue.Submission{JobID: "k1", Job: body("b")}); !errors.Is(err, queue.ErrConflict) {
		t.Fatalf("another body: %v", err)
	}
	// One owner's id never reaches another's job.
	if foreign := submit(t, q, queue.Submission{JobID: "k1", Owner: "bob", Job: body("b")}); foreign.Attached {
		t.Fatalf("another owner attached: %+v", foreign)
	}
	c := claimer(t, q, "w")
	d := claim(t, c)
	if d.Owner != queue.OwnerLocal {
		d = claim(t, c)
	}
	add(t, d, started("w", "w-1", 1), done())
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := submit(t, q, queue.Submission{JobID: "k1", Job: body("a")})
	if !ended.Attached {
		t.Fatalf("after the end %+v", ended)
	}
	expect(t, follow(t, q, "", "k1", 0), 1, schemas.EventSubmitted, schemas.EventStarted, schemas.EventDone)
}

// TestSubmitFinishesWhatAnotherBegan: a gateway died between the event and the
// job. The same submission again publishes the job.
func TestSubmitFinishesWhatAnotherBegan(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	first := submit(t, q, queue.Submission{JobID: "half", Job: body("a")})
	_, js := stranger(t, srv)
	s, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	// As if it had never been stored: also the server's own memory of the id.
	if err := js.DeleteStream(t.Context(), "JOBS_NORMAL"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	other := queuetest.Open(t, srv)
	again := submit(t, other, queue.Submission{JobID: "half", Job: body("a")})
	if !again.Attached || again.Sequence == 0 {
		t.Fatalf("%+v", again)
	}
	if d := claim(t, claimer(t, other, "w")); d.JobID != first.JobID || len(d.Log()) != 1 {
		t.Fatalf("claimed %+v", d)
	}
}

func TestSubmitRefusals(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, func(o *queue.Options) {
		o.Config.Bounds[schemas.ClassInteractive] = queue.Bounds{MaxJobs: 3, MaxBytes: 1 << 20, MaxJobsPerFlow: 2}
		o.Config.Bounds[schemas.ClassBatch] = queue.Bounds{MaxJobs: 100, MaxBytes: 64 << 10, MaxJobsPerFlow: 100}
		o.Config.StorageHighWater = 1
		o.Config.MaxJobBytes = 8 << 20
	})
	agent := func(name string) schemas.Job {
		job := body("x")
		job.Agent = name
		return job
	}
	flowOf := func(name string) int { return queue.Flow(queue.OwnerLocal, schemas.Job{Agent: name}) }
	refuse := func(s queue.Submission, want error, text string) {
		t.Helper()
		s.JobID = queue.NewJobID()
		_, err := q.Submit(t.Context(), s)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Fatalf("error %v, want %v with %q", err, want, text)
		}
		if log, err := q.Log(t.Context(), s.Owner, s.JobID); err != nil || len(log) != 0 {
			t.Fatalf("a refused job left %v, %v", log, err)
		}
	}
	interactive := func(name string) queue.Submission {
		return queue.Submission{Class: schemas.ClassInteractive, Job: agent(name)}
	}
	submit(t, q, interactive("a"))
	submit(t, q, interactive("a"))
	refuse(interactive("a"), queue.ErrQueueFull, "in flow")
	other := "b"
	for flowOf(other) == flowOf("a") {
		other += "b"
	}
	submit(t, q, interactive(other))
	refuse(interactive(other), queue.ErrQueueFull, "of class interactive")

	big := queue.Submission{Class: schemas.ClassBatch, Job: body(strings.Repeat("x", 40<<10))}
	submit(t, q, big)
	refuse(big, queue.ErrStorageFull, "bytes")

	// A field at fault is named, and nothing is sent.
	var field *schemas.FieldError
	if _, err := q.Submit(t.Context(), queue.Submission{Job: schemas.Job{Model: "m"}}); !errors.As(err, &field) {
		t.Errorf("no messages: %v", err)
	}
	for _, bad := range []queue.Submission{
		{JobID: "a.b", Job: body("x")}, {JobID: "sn-4", Job: body("x")}, {Class: "urgent", Job: body("x")},
	} {
		if _, err := q.Submit(t.Context(), bad); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := q.Submit(t.Context(), queue.Submission{Job: body(strings.Repeat("x", 9<<20))}); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("9 MiB: %v", err)
	}
}

// TestStorageHighWater: well before the limit new jobs are refused, and the
// jobs that run can still log.
func TestStorageHighWater(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), func(o *queue.Options) { o.Config.EventsMaxBytes = 64 << 10 })
	c := claimer(t, q, "w")
	submit(t, q, queue.Submission{Job: body("x")})
	d := claim(t, c)
	add(t, d, started("w", "w-1", 1), delta(strings.Repeat("x", 60<<10)))
	ctx := within(t, time.Minute)
	// It looks once a second. Submit would fill up what is left meanwhile.
	eventually(t, "it has looked", func() bool { return errors.Is(q.Accepting(ctx, schemas.ClassBatch), queue.ErrStorageFull) })
	if _, err := q.Submit(ctx, queue.Submission{Class: schemas.ClassBatch, Job: body("y")}); !errors.Is(err, queue.ErrStorageFull) {
		t.Fatalf("submit: %v", err)
	}
	add(t, d, done())
	// Past the limit itself an append is refused, and says so.
	submitted := queue.Submission{Job: body("z")}
	if _, err := q.Submit(ctx, submitted); err != nil && !errors.Is(err, queue.ErrStorageFull) {
		t.Fatal(err)
	}
}

func TestAppendStorageFull(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), func(o *queue.Options) { o.Config.EventsMaxBytes = 64 << 10 })
	c := claimer(t, q, "w")
	submit(t, q, queue.Submission{Job: body("x")})
	d := claim(t, c)
	add(t, d, started("w", "w-1", 1))
	if err := d.Append(t.Context(), delta(strings.Repeat("x", 70<<10))); !errors.Is(err, queue.ErrStorageFull) {
		t.Fatalf("over the limit: %v", err)
	}
	add(t, d, done()) // what fits, fits
}

func TestSubmitCarriesDeadlineAndTrace(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	job := body("x")
	job.DeadlineMS = 90_000
	ticket := submit(t, q, queue.Submission{Job: job, RequestID: "req"})
	_, js := stranger(t, srv)
	s, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(t.Context(), ticket.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Header.Get(jetstream.MsgTTLHeader); got != "1h1m30s" {
		t.Errorf("TTL %q: want the deadline and the margin", got)
	}
	if m.Header.Get(schemas.HeaderJobID) != ticket.JobID || m.Header.Get(schemas.HeaderRequestID) != "req" {
		t.Errorf("header %v", m.Header)
	}
	if d := q.Deadline(body("x"), schemas.ClassBatch); d != 24*time.Hour {
		t.Errorf("batch deadline %v", d)
	}
	if d := q.Deadline(job, ""); d != 90*time.Second {
		t.Errorf("own deadline %v", d)
	}
}

func TestSubmitUnavailable(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, func(o *queue.Options) {
		o.Config.RequestTimeout, o.Config.SubmitTimeout = 2*time.Second, 2*time.Second
	})
	srv.Stop()
	// It says so by itself, long before this context ends.
	ctx := within(t, time.Minute)
	_, err := q.Submit(ctx, queue.Submission{Job: body("x")})
	if !errors.Is(err, queue.ErrUnavailable) || ctx.Err() != nil {
		t.Fatalf("error %v", err)
	}
}

// TestDeadlineBeyondTheLog: a log must not lose its head while its job lives.
func TestDeadlineBeyondTheLog(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t))
	job := body("patient")
	job.DeadlineMS = (24 * time.Hour).Milliseconds()
	submit(t, q, queue.Submission{Job: job})
	job.DeadlineMS++
	var field *schemas.FieldError
	if _, err := q.Submit(t.Context(), queue.Submission{Job: job}); !errors.As(err, &field) || field.Field != "deadline_ms" {
		t.Fatalf("error %v", err)
	}
}
