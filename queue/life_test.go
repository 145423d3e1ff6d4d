package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestLife is one job from submit to ack, with everything a reader sees.
func TestLife(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), unhurried)
	c := claimer(t, q, "w")
	ticket := submit(t, q, queue.Submission{Job: body("hello"), RequestID: "r-1", Owner: "ada/α"})
	f := follow(t, q, "ada/α", ticket.JobID, 0)
	d := claim(t, c)
	if d.JobID != ticket.JobID || d.Owner != "ada/α" || d.Model != model || d.RequestID != "r-1" ||
		d.Class != schemas.ClassNormal || d.Flow != ticket.Flow || d.Sequence != ticket.Sequence || d.Deliveries != 1 {
		t.Fatalf("delivery %+v does not match ticket %+v", d, ticket)
	}
	if age := time.Since(d.StoredAt); age < 0 || age > time.Minute {
		t.Fatalf("stored %v ago", age)
	}
	job, err := d.Job()
	if err != nil || job.Messages[0].Content != "hello" {
		t.Fatalf("job %+v, %v", job, err)
	}
	if log := d.Log(); len(log) != 1 || log[0].Submitted == nil || log[0].Submitted.Subject != ticket.Subject {
		t.Fatalf("log at the claim: %+v", log)
	}
	if err := d.Ack(t.Context()); !errors.Is(err, queue.ErrNotTerminal) {
		t.Fatalf("ack before the end: %v", err)
	}
	add(t, d, started("w", "w-1", 1), delta("a"), delta("b"), done())
	if err := d.Append(t.Context(), delta("late")); !errors.Is(err, queue.ErrTerminal) {
		t.Fatalf("append after the end: %v", err)
	}
	expect(t, f, 1, schemas.EventSubmitted, schemas.EventStarted, schemas.EventDelta, schemas.EventDelta, schemas.EventDone)
	expectEOF(t, f)
	late := follow(t, q, "ada/α", ticket.JobID, 3)
	expect(t, late, 4, schemas.EventDelta, schemas.EventDone)
	expectEOF(t, late)
	if _, err := q.Follow(t.Context(), "ada/α", ticket.JobID, 9); !errors.Is(err, queue.ErrLogRewound) {
		t.Fatalf("follow past the end: %v", err)
	}
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	depth, err := q.Depth(t.Context())
	if err != nil || len(depth) != 1 || depth[0] != (queue.Depth{Model: model, Class: schemas.ClassNormal}) {
		t.Fatalf("depth after ack: %v, %v", depth, err)
	}
	log, err := q.Log(t.Context(), "ada/α", ticket.JobID)
	if err != nil || len(log) != 5 {
		t.Fatalf("log %v, %v", log, err)
	}
}
