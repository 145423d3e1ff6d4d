package queue_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// listed runs a listing and returns it as "id status" each.
func listed(t testing.TB, q *queue.Queue, f queue.JobFilter) (jobs []string, more bool) {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = 100
	}
	list, err := q.Jobs(within(t, time.Minute), f)
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, j := range list.Jobs {
		jobs = append(jobs, j.JobID+" "+string(j.Status))
	}
	return jobs, list.More
}

// Jobs are listed in every state, running ones first, ended ones last, whoever
// published them, and filtered by what their subjects say.
func TestJobs(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, unhurried)
	nc, _ := stranger(t, srv)
	expect := func(f queue.JobFilter, want ...string) {
		t.Helper()
		if got, more := listed(t, q, f); !slices.Equal(got, want) || more {
			t.Errorf("%+v: %q (more: %v), want %q", f, got, more, want)
		}
	}
	expect(queue.JobFilter{})

	put := func(id, owner string, class schemas.Class) {
		t.Helper()
		submit(t, q, queue.Submission{JobID: id, Owner: owner, Class: class, Job: body(id)})
	}
	work := claimer(t, q, "w")
	put("j-done", "ann", schemas.ClassNormal)
	add(t, claim(t, work), started("w", "w-1", 1), delta("a"), done()) // its message is not acknowledged
	put("j-failed", "ann", schemas.ClassNormal)
	failed := claim(t, work)
	add(t, failed, schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{Code: schemas.CodeInternal, Message: "no"}})
	if err := failed.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	put("j-run", "bob", schemas.ClassNormal)
	add(t, claim(t, work), started("w", "w-1", 1), delta("a"))
	put("j-back", "bob", schemas.ClassNormal)
	back := claim(t, work)
	add(t, back, started("w", "w-1", 1), requeued("w", "w-1"))
	put("j-wait", "ann", schemas.ClassBatch)
	// Their acknowledgements say that the stream has them.
	eve := queue.JobSubject("m2", schemas.ClassInteractive, 3, "eve")
	for _, header := range []nats.Header{{schemas.HeaderJobID: {"j-own"}}, nil} {
		if _, err := nc.RequestMsg(&nats.Msg{Subject: eve, Data: []byte("?"), Header: header}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}

	expect(queue.JobFilter{}, "j-run running", "j-back queued", "j-wait queued", "j-own queued", "si-2 queued",
		"j-failed failed", "j-done done")
	expect(queue.JobFilter{Running: true}, "j-run running")
	expect(queue.JobFilter{Ended: true}, "j-failed failed", "j-done done")
	expect(queue.JobFilter{Queued: true, Class: schemas.ClassNormal}, "j-back queued")
	expect(queue.JobFilter{Class: schemas.ClassBatch}, "j-wait queued")
	expect(queue.JobFilter{Owner: "ann"}, "j-wait queued", "j-failed failed", "j-done done")
	expect(queue.JobFilter{Model: "m2"}, "j-own queued", "si-2 queued")
	expect(queue.JobFilter{Model: "m2", Ended: true})
	expect(queue.JobFilter{Owner: "eve", Class: schemas.ClassBatch})

	for limit, want := range map[int]string{1: "j-run running", 5: "si-2 queued", 6: "j-failed failed"} {
		if got, more := listed(t, q, queue.JobFilter{Limit: limit}); len(got) != limit || got[limit-1] != want || !more {
			t.Errorf("limit %d: %q, more: %v", limit, got, more)
		}
	}
	if _, err := q.Jobs(t.Context(), queue.JobFilter{}); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("without a limit: %v", err)
	}
}

// A listing goes over the pages of the server, in both directions, and is cut
// where there is more.
func TestJobsPages(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	_, js := stranger(t, srv)
	const stored, ended = 1500, 700
	for i := range ended {
		id := fmt.Sprintf("e%04d", i)
		for n, e := range []schemas.Event{started("w", "w-1", 1), delta("a"), done()} {
			e.Version, e.Job, e.N, e.Time = schemas.Version, id, int64(n+1), time.Now()
			data, err := schemas.EncodeEvent(e)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.PublishAsync(queue.EventSubject("ann", id), data); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range stored {
		if _, err := js.PublishMsgAsync(&nats.Msg{
			Subject: queue.JobSubject(model, schemas.ClassBatch, i%queue.Flows, "ann"), Data: []byte("?"),
			Header: nats.Header{schemas.HeaderJobID: {fmt.Sprintf("w%04d", i)}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-within(t, 60*time.Second).Done():
		t.Fatal("not stored")
	}
	all, more := listed(t, q, queue.JobFilter{Limit: stored + ended})
	if len(all) != stored+ended || more {
		t.Fatalf("%d jobs, more: %v", len(all), more)
	}
	for i, text := range all {
		want := fmt.Sprintf("w%04d queued", i)
		if i >= stored {
			want = fmt.Sprintf("e%04d done", ended-1-(i-stored))
		}
		if text != want {
			t.Fatalf("job %d is %s, want %s", i, text, want)
		}
	}
	some, more := listed(t, q, queue.JobFilter{Ended: true, Limit: 600})
	if len(some) != 600 || !more || some[599] != "e0100 done" {
		t.Errorf("%d ended ones, the last is %s, more: %v", len(some), some[len(some)-1], more)
	}
}

// A job is found by its id alone, in every state; one that is not there is told.
func TestFind(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	nc, _ := stranger(t, srv)
	find := func(owner, id string) ([]queue.JobState, error) {
		t.Helper()
		return q.Find(within(t, time.Minute), owner, id)
	}
	one := func(owner, id, wantOwner string, status queue.JobStatus) {
		t.Helper()
		states, err := find(owner, id)
		if err != nil || len(states) != 1 || states[0].Owner != wantOwner || states[0].Status != status || states[0].JobID != id {
			t.Errorf("%s: %+v, %v; want one %s of %s", id, states, err, status, wantOwner)
		}
	}
	none := func(owner, id string) {
		t.Helper()
		if states, err := find(owner, id); !errors.Is(err, queue.ErrNoJob) || !strings.Contains(err.Error(), id) {
			t.Errorf("%s: %+v, %v", id, states, err)
		}
	}
	none("", "j1")
	submit(t, q, queue.Submission{JobID: "j1", Owner: "ann", Job: body("x")})
	one("", "j1", "ann", queue.StatusQueued)
	one("ann", "j1", "ann", queue.StatusQueued)
	none("bob", "j1")
	submit(t, q, queue.Submission{JobID: "j1", Owner: "bob", Job: body("y")})
	if states, err := find("", "j1"); err != nil || len(states) != 2 {
		t.Errorf("two owners: %+v, %v", states, err)
	}
	one("bob", "j1", "bob", queue.StatusQueued)

	for _, header := range []nats.Header{{schemas.HeaderJobID: {"own"}}, nil} {
		subject := queue.JobSubject(model, schemas.ClassBatch, 3, "eve")
		if _, err := nc.RequestMsg(&nats.Msg{Subject: subject, Data: encoded(t, body("z")), Header: header}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	one("", "own", "eve", queue.StatusQueued)
	one("", "sb-2", "eve", queue.StatusQueued)
	none("", "sb-1") // it has an id of its own
	none("", "sb-9")
	if _, err := find("", "no.id"); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("an id that is none: %v", err)
	}
}

// Where nothing of semantic ever was, looking says so and makes nothing.
func TestLookingWithoutTopology(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := open(t, srv, fast)
	_, jobs := q.Jobs(t.Context(), queue.JobFilter{Limit: 1})
	_, ended := q.Jobs(t.Context(), queue.JobFilter{Limit: 1, Ended: true})
	_, find := q.Find(t.Context(), "", "j1")
	_, reports := q.Reports(t.Context())
	_, depth := q.Depth(t.Context())
	for name, err := range map[string]error{"jobs": jobs, "ended": ended, "find": find, "reports": reports, "depth": depth} {
		if !errors.Is(err, queue.ErrNoTopology) {
			t.Errorf("%s: %v, want ErrNoTopology", name, err)
		}
	}
	_, js := stranger(t, srv)
	if _, err := js.Stream(t.Context(), "EVENTS"); err == nil {
		t.Error("looking made a stream")
	}
}
