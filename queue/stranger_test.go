package queue_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestOwnerTokenThatIsNoSlug: nobody can take such a job; it ends, with a reason
// where its publisher looks, and is gone.
func TestOwnerTokenThatIsNoSlug(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, unhurried)
	_, js := stranger(t, srv)
	publish := func(owner, id string) {
		t.Helper()
		_, err := js.PublishMsg(t.Context(), &nats.Msg{
			Subject: "semantic.jobs." + queue.Slug(model) + ".normal.05." + owner,
			Data:    encoded(t, body(id)), Header: nats.Header{schemas.HeaderJobID: {id}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	publish("a@b", "job-polled") // nobody hears its bell
	c := claimer(t, q, "w")
	noClaim(t, c, 300*time.Millisecond)
	publish("x=zz", "job-rung")
	publish("ada", "job-good")
	if d := claim(t, c); d.JobID != "job-good" || d.Owner != "ada" {
		t.Fatalf("claimed %s of %s", d.JobID, d.Owner)
	}
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	for owner, id := range map[string]string{"a@b": "job-polled", "x=zz": "job-rung"} {
		m, err := events.GetLastMsgForSubject(t.Context(), "semantic.events."+owner+"."+id)
		if err != nil {
			t.Fatal(err)
		}
		e, err := schemas.DecodeEvent(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e.Job != id || e.N != 1 || e.Failed == nil || e.Failed.Code != schemas.CodeInvalidRequest || e.Failed.Param != "subject.owner" {
			t.Errorf("the log of %s ends in %+v", id, e)
		}
	}
	jobs, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t, time.Minute); ; {
		info, err := jobs.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 1 {
			return // the good one, which is claimed
		}
		<-tick.C
	}
}
