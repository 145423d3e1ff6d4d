package natsinit_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

func status(id string) schemas.WorkerStatus {
	return schemas.WorkerStatus{
		Version: schemas.Version, ID: id, Incarnation: id + "-i", Model: model, Fingerprint: "f", Backend: "sim",
		Context: 100, Capacity: 1, StartedAt: time.Now(), UpdatedAt: time.Now(),
	}
}

// read follows a job to its end and returns its text.
func read(t *testing.T, q *queue.Queue, owner, id string) (text string, end schemas.EventType) {
	t.Helper()
	f, err := q.Follow(within(t), owner, id, 0)
	if err != nil {
		t.Fatalf("follow: %v", err)
	}
	defer f.Close()
	for {
		e, err := f.Next(within(t))
		if errors.Is(err, io.EOF) {
			return text, end
		}
		if err != nil {
			t.Fatalf("follow: %v", err)
		}
		if e.Delta != nil {
			text += e.Delta.Text
		}
		end = e.Type
	}
}

// TestRolesWork: every role does all of its work with its own credentials,
// through the packages that do it in earnest, over TLS.
func TestRolesWork(t *testing.T) {
	c := start(t, natsinit.Options{Publishers: []string{"alice"}, Workers: []string{"studio"}})
	gateway := c.open(t, "gateway")
	if err := gateway.Ensure(within(t)); err != nil {
		t.Fatalf("gateway ensures: %v", err)
	}
	worker := c.open(t, "worker")
	if err := worker.Ensure(within(t)); err != nil {
		t.Fatalf("worker looks at the streams: %v", err)
	}
	second := c.open(t, "worker-studio")
	for _, w := range []struct {
		q  *queue.Queue
		id string
	}{{worker, machine}, {worker, machine + "-1"}, {worker, machine + "-7"}, {second, "studio"}} {
		r, err := w.q.Register(within(t), status(w.id))
		if err != nil {
			t.Fatalf("worker %s registers: %v", w.id, err)
		}
		defer func() {
			if err := r.Close(within(t)); err != nil {
				t.Errorf("worker %s leaves: %v", w.id, err)
			}
		}()
	}
	observer := c.open(t, "observer")
	for name, q := range map[string]*queue.Queue{"gateway": gateway, "worker": worker, "observer": observer} {
		if workers, err := q.Workers(within(t)); err != nil || len(workers) != 4 {
			t.Errorf("%s sees the workers %v, %v", name, workers, err)
		}
		if models, err := q.Models(within(t)); err != nil || len(models) != 1 {
			t.Errorf("%s sees the models %v, %v", name, models, err)
		}
	}
	claimer, err := worker.NewClaimer(within(t), queue.ClaimOptions{Model: model, WorkerID: machine, Incarnation: machine + "-i"})
	if err != nil {
		t.Fatalf("claimer: %v", err)
	}
	defer claimer.Close()
	claim := func() *queue.Delivery {
		t.Helper()
		d, err := claimer.Next(within(t))
		if err != nil {
			t.Fatalf("claim: %v", err)
		}
		return d
	}
	add := func(d *queue.Delivery, events ...schemas.Event) {
		t.Helper()
		for _, e := range events {
			if err := d.Append(within(t), e); err != nil {
				t.Fatalf("append: %v", err)
			}
		}
	}
	for _, class := range schemas.Classes() {
		ticket, err := gateway.Submit(within(t), queue.Submission{Owner: "key", Class: class, Job: job("x")})
		if err != nil {
			t.Fatalf("submit: %v", err)
		}
		d := claim()
		add(d, started(machine), delta("a"))
		// Once given back.
		add(d, schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
			Worker: machine, Incarnation: machine + "-i", Reason: "draining",
		}})
		if err := d.HandBack(within(t)); err != nil {
			t.Fatalf("hand back: %v", err)
		}
		d = claim()
		add(d, started(machine), delta("b"))
		if depth, err := observer.Depth(within(t)); err != nil || len(depth) != 3 {
			t.Errorf("observer sees the depth %v, %v", depth, err)
		}
		add(d, done())
		if err := d.Ack(within(t)); err != nil {
			t.Fatalf("ack: %v", err)
		}
		for name, q := range map[string]*queue.Queue{"gateway": gateway, "observer": observer} {
			if text, end := read(t, q, "key", ticket.JobID); text != "ab" || end != schemas.EventDone {
				t.Errorf("%s reads %q, %s", name, text, end)
			}
		}
	}
	if depth, err := gateway.Depth(within(t)); err != nil || depth[0].Queued+depth[0].Running != 0 {
		t.Errorf("gateway sees the depth %v, %v", depth, err)
	}
	t.Run("readers", func(t *testing.T) {
		another := c.open(t, "gateway")
		reading, err := another.Attend("key", "j")
		if err != nil {
			t.Fatal(err)
		}
		for name, q := range map[string]*queue.Queue{"the reader": another, "another gateway": gateway} {
			if is, err := q.Attended(within(t), "key", "j"); !is || err != nil {
				t.Errorf("attended, as %s sees it: %v, %v", name, is, err)
			}
		}
		if came, err := gateway.AwaitReader(within(t), "key", "j", time.Hour); !came || err != nil {
			t.Errorf("waiting for a reader: %v, %v", came, err)
		}
		reading.Close()
		if is, err := another.Attended(within(t), "key", "j"); is || err != nil {
			t.Errorf("attended by nobody: %v, %v", is, err)
		}
		one, err := gateway.Secret(within(t))
		two, errTwo := another.Secret(within(t))
		if err != nil || errTwo != nil || !slices.Equal(one, two) {
			t.Errorf("the gateways' secrets differ, or %v, %v", err, errTwo)
		}
		for _, name := range []string{"worker", "observer"} {
			if secret, err := c.open(t, name, silent).Secret(within(t)); !errors.Is(err, queue.ErrForbidden) {
				t.Errorf("%s reads the secret: %d bytes, %v", name, len(secret), err)
			}
		}
	})
	t.Run("cancel", func(t *testing.T) {
		ticket, err := gateway.Submit(within(t), queue.Submission{Owner: "key", Job: job("x")})
		if err != nil {
			t.Fatal(err)
		}
		d := claim()
		add(d, started(machine))
		feed, err := worker.Control(within(t), machine)
		if err != nil {
			t.Fatal(err)
		}
		defer feed.Close()
		cancelled := make(chan error, 1)
		go func() { cancelled <- gateway.Cancel(within(t), "key", ticket.JobID, "requested") }()
		if m, err := feed.Next(within(t)); err != nil || m.JobID != ticket.JobID {
			t.Errorf("the worker hears %+v, %v", m, err)
		}
		if err := <-cancelled; err != nil {
			t.Errorf("cancel: %v", err)
		}
		if err := d.Append(within(t), delta("late")); !errors.Is(err, queue.ErrTerminal) && !errors.Is(err, queue.ErrFenced) {
			t.Errorf("append after the end: %v", err)
		}
	})
	t.Run("publisher", func(t *testing.T) {
		nc, violations := c.plain(t, "publisher-alice")
		live, err := nc.SubscribeSync("semantic.reply.alice.*")
		if err != nil {
			t.Fatal(err)
		}
		inbox, err := nc.SubscribeSync("_INBOX.alice.mine")
		if err != nil {
			t.Fatal(err)
		}
		body, err := schemas.EncodeJob(job("hello"))
		if err != nil {
			t.Fatal(err)
		}
		ack, err := nc.RequestMsgWithContext(within(t), &nats.Msg{
			Subject: queue.JobSubject(model, schemas.ClassNormal, 3, "alice"), Data: body,
			Header: nats.Header{schemas.HeaderJobID: {"one"}, schemas.HeaderReplyTo: {"_INBOX.alice.mine"}},
		})
		if err != nil || !strings.Contains(string(ack.Data), `"stream":"JOBS_NORMAL"`) {
			t.Fatalf("stored: %s, %v", ack.Data, err)
		}
		d := claim()
		if d.Owner != "alice" || d.JobID != "one" {
			t.Fatalf("claimed %s of %s", d.JobID, d.Owner)
		}
		add(d, started(machine), delta("hi"), done())
		if err := d.Ack(within(t)); err != nil {
			t.Fatal(err)
		}
		for name, sub := range map[string]*nats.Subscription{"live feed": live, "inbox": inbox} {
			for _, want := range []schemas.EventType{schemas.EventStarted, schemas.EventDelta, schemas.EventDone} {
				m, err := sub.NextMsgWithContext(within(t))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if e, err := schemas.DecodeEvent(m.Data); err != nil || e.Type != want || e.Job != "one" {
					t.Errorf("%s: %s, %v; want %s", name, m.Data, err, want)
				}
			}
		}
		end, err := nc.RequestWithContext(within(t), "$JS.API.DIRECT.GET.EVENTS.semantic.events.alice.one", nil)
		if err != nil || !strings.Contains(string(end.Data), `"done"`) {
			t.Errorf("the job's last event: %s %v, %v", end.Data, end.Header, err)
		}
		noViolation(t, nc, violations)
	})
	t.Run("reports", func(t *testing.T) {
		feed, err := worker.Control(within(t), machine)
		if err != nil {
			t.Fatal(err)
		}
		answering := make(chan struct{})
		go func() {
			defer close(answering)
			for { // a question may come again before its answer has
				m, err := feed.Next(t.Context())
				if err != nil {
					if !errors.Is(err, queue.ErrClosed) {
						t.Errorf("control: %v", err)
					}
					return
				}
				feed.Answer(m, queue.WorkerReport{Worker: machine, Incarnation: machine + "-i"})
			}
		}()
		for name, q := range map[string]*queue.Queue{"gateway": gateway, "observer": observer} {
			err := answered(t, func(ctx context.Context) error {
				r, err := q.Report(ctx, machine)
				if err == nil && r.Worker != machine {
					t.Errorf("%s asks for a report: %+v", name, r)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s asks for a report: %v", name, err)
			}
			if jobs, err := q.Jobs(within(t), queue.JobFilter{Queued: true, Running: true, Ended: true, Limit: 10}); err != nil {
				t.Errorf("%s lists the jobs: %+v, %v", name, jobs, err)
			}
		}
		err = answered(t, func(ctx context.Context) error {
			d, _, err := gateway.Drain(ctx, machine, nil)
			if err == nil {
				d.Close()
			}
			return err
		})
		if err != nil {
			t.Errorf("gateway drains: %v", err)
		}
		feed.Close()
		<-answering
	})
	// Buckets that gateways use as any client does.
	t.Run("buckets", func(t *testing.T) {
		g, violations := c.plain(t, "gateway")
		for _, bucket := range []string{"keys", "leases"} {
			kv, err := js(t, g).KeyValue(within(t), bucket)
			if errors.Is(err, jetstream.ErrBucketNotFound) {
				kv, err = js(t, g).CreateKeyValue(within(t), jetstream.KeyValueConfig{Bucket: bucket})
			}
			if err != nil {
				t.Fatalf("gateway makes %s: %v", bucket, err)
			}
			if _, err := kv.Put(within(t), "k", []byte("v")); err != nil {
				t.Errorf("gateway writes %s: %v", bucket, err)
			}
			if _, err := kv.Get(within(t), "k"); err != nil {
				t.Errorf("gateway reads %s: %v", bucket, err)
			}
			watch, err := kv.WatchAll(within(t))
			if err != nil {
				t.Fatalf("gateway watches %s: %v", bucket, err)
			}
			if e := <-watch.Updates(); e == nil || e.Key() != "k" {
				t.Errorf("gateway sees %v in %s", e, bucket)
			}
			if err := watch.Stop(); err != nil {
				t.Error(err)
			}
		}
		noViolation(t, g, violations)
		if _, err := gateway.Secret(within(t)); err != nil {
			t.Errorf("gateway reads the deployment's secret: %v", err)
		}
	})
	// The gateway that leads ends what no worker does, and tells the publisher.
	t.Run("reconcile", func(t *testing.T) {
		nc, violations := c.plain(t, "publisher-alice")
		inbox, err := nc.SubscribeSync("_INBOX.alice.ghost")
		if err != nil {
			t.Fatal(err)
		}
		body, err := schemas.EncodeJob(schemas.Job{
			Version: schemas.Version, Model: "ghost", DeadlineMS: 1, Messages: []schemas.Message{{Role: schemas.RoleUser, Content: "x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.RequestMsgWithContext(within(t), &nats.Msg{
			Subject: queue.JobSubject("ghost", schemas.ClassBatch, 3, "alice"), Data: body,
			Header: nats.Header{schemas.HeaderReplyTo: {"_INBOX.alice.ghost"}},
		}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- gateway.Reconcile(ctx, nil) }()
		m, err := inbox.NextMsgWithContext(within(t))
		if err != nil {
			t.Fatalf("inbox: %v", err)
		}
		if e, err := schemas.DecodeEvent(m.Data); err != nil || e.Expired == nil {
			t.Errorf("inbox: %s, %v", m.Data, err)
		}
		for {
			depth, err := gateway.Depth(within(t))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(depth, func(d queue.Depth) bool { return d.Model == "ghost" && d.Queued > 0 }) {
				break
			}
		}
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("reconcile: %v", err)
		}
		noViolation(t, nc, violations)
	})
}

func js(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// refused flushes and returns the acts that the server refused so far.
func refused(t *testing.T, nc *nats.Conn, violations <-chan string) map[string]bool {
	t.Helper()
	// Refusals come in order: after this one there are no earlier ones.
	const sentinel = "nobody.may.do.this"
	if err := nc.Publish(sentinel, nil); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	acts := make(map[string]bool)
	for {
		select {
		case v := <-violations:
			if strings.Contains(v, sentinel) {
				return acts
			}
			acts[v] = true
		case <-time.After(patience):
			t.Fatal("the server refuses nothing")
		}
	}
}

func noViolation(t *testing.T, nc *nats.Conn, violations <-chan string) {
	t.Helper()
	for act := range refused(t, nc, violations) {
		t.Errorf("refused: %s", act)
	}
}
