package queue_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

const model = "qwen/3:8b ü"

func body(text string) schemas.Job {
	return schemas.Job{
		Version: schemas.Version, Model: model,
		Messages: []schemas.Message{{Role: schemas.RoleUser, Content: text}},
	}
}

func started(worker, incarnation string, attempt int) schemas.Event {
	return schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
		Attempt: attempt, Worker: worker, Incarnation: incarnation, Fingerprint: "f", Seed: 1, PromptTokens: 3,
	}}
}

func delta(text string) schemas.Event {
	return schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: schemas.Output{Tokens: []int32{7}, Text: text}}}
}

func done() schemas.Event {
	return schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{FinishReason: schemas.FinishStop}}
}

func requeued(worker, incarnation string) schemas.Event {
	return schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
		Worker: worker, Incarnation: incarnation, Reason: "draining",
	}}
}

// fast makes everything that is waited for short.
func fast(o *queue.Options) {
	o.Config.AckWait = 2 * time.Second
	o.Config.PollInterval = 100 * time.Millisecond
	o.Config.FollowSilence = 150 * time.Millisecond
	o.Config.CancelGrace = time.Second
	o.Config.ReconnectWait = 20 * time.Millisecond
	o.Config.RegistryTTL = 2 * time.Second
}

// unhurried makes claims that do not run out while a test lasts: what is claimed next
// is another job, however long the machine was held up.
func unhurried(o *queue.Options) { o.Config.AckWait = 10 * time.Minute }

// within bounds a test's waiting.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func submit(t testing.TB, q *queue.Queue, s queue.Submission) queue.Ticket {
	t.Helper()
	ticket, err := q.Submit(within(t, time.Minute), s)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return ticket
}

func claimer(t testing.TB, q *queue.Queue, worker string) *queue.Claimer {
	t.Helper()
	c, err := q.NewClaimer(within(t, time.Minute), queue.ClaimOptions{Model: model, WorkerID: worker, Incarnation: worker + "-1"})
	if err != nil {
		t.Fatalf("claimer: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

func claim(t testing.TB, c *queue.Claimer) *queue.Delivery {
	t.Helper()
	d, err := c.Next(within(t, time.Minute))
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return d
}

func noClaim(t testing.TB, c *queue.Claimer, d time.Duration) {
	t.Helper()
	if got, err := c.Next(within(t, d)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("claimed %v, error %v; want nothing", got, err)
	}
}

func add(t testing.TB, d *queue.Delivery, events ...schemas.Event) {
	t.Helper()
	for _, e := range events {
		if err := d.Append(within(t, time.Minute), e); err != nil {
			t.Fatalf("append %s: %v", e.Type, err)
		}
	}
}

func follow(t testing.TB, q *queue.Queue, owner, job string, after int64) *queue.Follower {
	t.Helper()
	f, err := q.Follow(within(t, time.Minute), owner, job, after)
	if err != nil {
		t.Fatalf("follow: %v", err)
	}
	t.Cleanup(f.Close)
	return f
}

func next(t testing.TB, f *queue.Follower) schemas.Event {
	t.Helper()
	e, err := f.Next(within(t, time.Minute))
	if err != nil {
		t.Fatalf("follower: %v", err)
	}
	return e
}

// expect reads events of the given types, numbered on from first.
func expect(t testing.TB, f *queue.Follower, first int64, types ...schemas.EventType) {
	t.Helper()
	for i, want := range types {
		e := next(t, f)
		if e.Type != want || e.N != first+int64(i) {
			t.Fatalf("event %d is %s number %d, want %s number %d", i, e.Type, e.N, want, first+int64(i))
		}
	}
}

func expectEOF(t testing.TB, f *queue.Follower) {
	t.Helper()
	if e, err := f.Next(within(t, time.Minute)); !errors.Is(err, io.EOF) {
		t.Fatalf("after the end: %v, %v; want EOF", e, err)
	}
}

// stranger is a client that does not use this package.
func stranger(t testing.TB, srv *queuetest.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func encoded(t testing.TB, job schemas.Job) []byte {
	t.Helper()
	data, err := schemas.EncodeJob(job)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
