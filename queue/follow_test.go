package queue_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// claimed is a submitted job in a worker's hand.
func claimed(t testing.TB, q *queue.Queue) *queue.Delivery {
	t.Helper()
	submit(t, q, queue.Submission{Job: body("x")})
	return claim(t, claimer(t, q, "w"))
}

// TestFollowerSlowReader: far more events than the live feed holds.
func TestFollowerSlowReader(t *testing.T) {
	const deltas = 3000
	q := queuetest.Open(t, queuetest.Start(t))
	d := claimed(t, q)
	f := follow(t, q, "", d.JobID, 0)
	add(t, d, started("w", "w-1", 1))
	for i := range deltas {
		add(t, d, delta(strconv.Itoa(i)))
	}
	add(t, d, done())
	expect(t, f, 1, schemas.EventSubmitted, schemas.EventStarted)
	for i := range deltas {
		if e := next(t, f); e.N != int64(i+3) || e.Delta == nil || e.Delta.Text != strconv.Itoa(i) {
			t.Fatalf("event %d: %+v", i+3, e)
		}
	}
	expect(t, f, deltas+3, schemas.EventDone)
	expectEOF(t, f)
	// A late reader gets the same in several batches.
	late := follow(t, q, "", d.JobID, deltas)
	expect(t, late, deltas+1, schemas.EventDelta, schemas.EventDelta, schemas.EventDone)
}

// TestFollowerSilence: the live feed is gone altogether.
func TestFollowerSilence(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	_, js := stranger(t, srv)
	mute := streamConfig(t, js, "EVENTS")
	mute.RePublish = nil
	if _, err := js.UpdateStream(t.Context(), mute); err != nil {
		t.Fatal(err)
	}
	d := claimed(t, q)
	f := follow(t, q, "", d.JobID, 0)
	add(t, d, started("w", "w-1", 1), delta("a"))
	expect(t, f, 1, schemas.EventSubmitted, schemas.EventStarted, schemas.EventDelta)
	add(t, d, done())
	expect(t, f, 4, schemas.EventDone)
	expectEOF(t, f)
}

// TestFollowerForgedFeed: whatever is published on the live feed, only what
// the log accepted is read.
func TestFollowerForgedFeed(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	nc, _ := stranger(t, srv)
	d := claimed(t, q)
	f := follow(t, q, "", d.JobID, 0)
	expect(t, f, 1, schemas.EventSubmitted)
	forged := delta("forged")
	forged.Version, forged.Job, forged.N, forged.Time = 1, d.JobID, 9, time.Now()
	data, err := schemas.EncodeEvent(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*nats.Msg{
		{Data: []byte("junk")},
		{Data: []byte("junk"), Header: nats.Header{"Nats-Sequence": {"99999"}}},
		{Data: data, Header: nats.Header{"Nats-Sequence": {"99999"}, "Nats-Last-Sequence": {"1"}}},
		{Data: data, Header: nats.Header{"Nats-Sequence": {"99999"}, "Nats-Last-Sequence": {"88888"}}},
	} {
		m.Subject = queue.ReplySubject(queue.OwnerLocal, d.JobID)
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	add(t, d, started("w", "w-1", 1), done())
	expect(t, f, 2, schemas.EventStarted, schemas.EventDone)
	expectEOF(t, f)
}

// TestPubAckAttack: a publisher names a job's log as the reply subject of its
// publish, and the server's acknowledgement is stored there. In one account
// that cannot be prevented; readers and the fence live with it.
func TestPubAckAttack(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	nc, js := stranger(t, srv)
	d := claimed(t, q)
	f := follow(t, q, "", d.JobID, 0)
	add(t, d, started("w", "w-1", 1))
	subject, log := queue.JobSubject("other", schemas.ClassBatch, 0, "eve"), queue.EventSubject(queue.OwnerLocal, d.JobID)
	err := nc.PublishRequest(subject, log, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		s, err := js.Stream(t.Context(), "EVENTS")
		return err == nil && s.CachedInfo().State.Msgs == 3
	})
	// The writer's next append meets the fence, sees that nobody overtook it, and
	// goes on.
	add(t, d, delta("a"), done())
	expect(t, f, 1, schemas.EventSubmitted, schemas.EventStarted, schemas.EventDelta, schemas.EventDone)
	expectEOF(t, f)
	events, err := q.Log(t.Context(), "", d.JobID)
	if err != nil || len(events) != 4 {
		t.Fatalf("log %+v, %v", events, err)
	}
}

// TestJunkInLog: entries that are no events, also with headers that look like
// the server's.
func TestJunkInLog(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	store := func(data []byte, header nats.Header) {
		t.Helper()
		m := &nats.Msg{Subject: queue.EventSubject(queue.OwnerLocal, "j"), Data: data, Header: header}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	event := func(n int64, e schemas.Event) []byte {
		t.Helper()
		e.Version, e.Job, e.N, e.Time = 1, "j", n, time.Now()
		data, err := schemas.EncodeEvent(e)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	store([]byte("junk"), nil)
	store(event(1, started("w", "i", 1)), nil)
	store(event(1, started("again", "i", 1)), nil)
	store(nil, nats.Header{"Status": {"204"}, "Nats-Sequence": {"1"}})
	store(nil, nats.Header{"Nats-Sequence": {"77777"}})
	store(event(2, delta("a")), nats.Header{"Nats-Sequence": {"1"}})
	store(event(7, delta("leap")), nil)
	store(event(3, done()), nil)
	store(event(4, delta("after the end")), nil)
	log, err := q.Log(t.Context(), "", "j")
	if err != nil || len(log) != 3 || log[0].Started.Worker != "w" || log[1].Delta.Text != "a" || log[2].Done == nil {
		t.Fatalf("log %+v, %v", log, err)
	}
	f := follow(t, q, "", "j", 0)
	expect(t, f, 1, schemas.EventStarted, schemas.EventDelta, schemas.EventDone)
	expectEOF(t, f)
}

// TestNewerEvent: a log that a newer release writes is handed on, not misread.
func TestNewerEvent(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	ticket := submit(t, q, queue.Submission{Job: body("x")})
	if _, err := js.Publish(t.Context(), queue.EventSubject(queue.OwnerLocal, ticket.JobID), []byte(`{"v":99,"later":true}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(t, claimer(t, q, "w")).Job(); !errors.Is(err, schemas.ErrNewerVersion) {
		t.Errorf("job: %v", err)
	}
	f := follow(t, q, "", ticket.JobID, 0)
	expect(t, f, 1, schemas.EventSubmitted)
	if _, err := f.Next(t.Context()); !errors.Is(err, schemas.ErrNewerVersion) {
		t.Errorf("follower: %v", err)
	}
}

func TestFollowerClose(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	f := follow(t, q, "", "nobody", 0)
	ended := make(chan error, 1)
	go func() {
		_, err := f.Next(t.Context())
		ended <- err
	}()
	f.Close()
	f.Close()
	if err := <-ended; !errors.Is(err, queue.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if _, err := q.Follow(t.Context(), "", "no.id", 0); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("bad id: %v", err)
	}
	if _, err := q.Log(t.Context(), "", ""); !errors.Is(err, queue.ErrInvalid) {
		t.Errorf("no id: %v", err)
	}
}

// waitFor polls for a state that no event announces.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("it does not come to pass")
		}
	}
}

// TestReplyTo: accepted events go to the publisher's inbox, numbered; the last
// one again after a takeover.
func TestReplyTo(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	nc, js := stranger(t, srv)
	inbox := nc.NewInbox()
	replies := make(chan *nats.Msg, 16)
	if _, err := nc.ChanSubscribe(inbox, replies); err != nil {
		t.Fatal(err)
	}
	publish := func(owner, replyTo string) {
		t.Helper()
		m := &nats.Msg{
			Subject: queue.JobSubject(model, schemas.ClassNormal, 0, owner), Data: encoded(t, body("x")),
			Header: nats.Header{schemas.HeaderReplyTo: {replyTo}},
		}
		if _, err := js.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	type reply struct {
		n        int64
		kind     schemas.EventType
		sequence string
	}
	receive := func() reply {
		t.Helper()
		select {
		case m := <-replies:
			e, err := schemas.DecodeEvent(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			return reply{e.N, e.Type, m.Header.Get("Nats-Sequence")}
		case <-within(t, time.Minute).Done():
			t.Fatal("no reply")
			return reply{}
		}
	}
	publish(queue.OwnerLocal, inbox)
	c := claimer(t, q, "w1")
	d := claim(t, c)
	add(t, d, started("w1", "w1-1", 1))
	if got := receive(); got != (reply{1, schemas.EventStarted, "1"}) {
		t.Fatalf("reply %+v", got)
	}
	again := claim(t, claimer(t, q, "w2"))
	if got := receive(); got != (reply{1, schemas.EventStarted, "1"}) {
		t.Fatalf("after the takeover %+v", got)
	}
	add(t, again, started("w2", "w2-1", 2), done())
	if err := d.Append(t.Context(), delta("zombie")); !errors.Is(err, queue.ErrFenced) {
		t.Fatal(err)
	}
	for i, want := range []reply{{2, schemas.EventStarted, "2"}, {3, schemas.EventDone, "3"}} {
		if got := receive(); got != want {
			t.Fatalf("reply %d: %+v, want %+v", i, got, want)
		}
	}
	if err := again.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Not under the owner's inbox: the job runs, the subject is not used.
	for _, c2 := range []struct{ owner, replyTo string }{
		{"ada", inbox}, {queue.OwnerLocal, "semantic.events.local.victim"}, {queue.OwnerLocal, "$JS.API.STREAM.PURGE.EVENTS"},
	} {
		publish(c2.owner, c2.replyTo)
		d := claim(t, c)
		if d.ReplyTo != "" {
			t.Fatalf("reply_to %q of %s is honoured", d.ReplyTo, c2.owner)
		}
		add(t, d, done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if len(replies) != 0 {
		t.Errorf("an unwanted reply: %+v", receive())
	}
	if log, err := q.Log(t.Context(), "", "victim"); err != nil || len(log) != 0 {
		t.Errorf("the victim's log: %v, %v", log, err)
	}
}
