package queue_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestImpostor: another job, published straight to NATS under the id that a
// gateway's job has. It is dropped; the gateway's job and its log are not touched.
func TestImpostor(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, unhurried)
	_, js := stranger(t, srv)
	ticket := submit(t, q, queue.Submission{JobID: "taken", Job: body("the gateway's")})
	publish := func(job schemas.Job) {
		t.Helper()
		_, err := js.PublishMsg(t.Context(), &nats.Msg{
			Subject: queue.JobSubject(model, schemas.ClassInteractive, 3, queue.OwnerLocal),
			Data:    encoded(t, job), Header: nats.Header{schemas.HeaderJobID: {"taken"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	publish(body("the impostor's")) // more urgent, so it is met first
	c := claimer(t, q, "w")
	d := claim(t, c)
	if job, err := d.Job(); err != nil || job.Messages[0].Content != "the gateway's" || d.Sequence != ticket.Sequence {
		t.Fatalf("claimed %+v, %v", job, err)
	}
	eventually(t, "the gateway's job is there alone", func() bool {
		queued, running := stored(t, q)
		return queued+running == 1
	})
	if len(d.Log()) != 1 {
		t.Errorf("log %+v", d.Log())
	}
}

// TestLeftToItsWorker: a job that a worker has is left to it while there is news
// of the worker, although its claim ran out, and taken when there is none.
func TestLeftToItsWorker(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	// The worker is heard of every 2 s: it may be held up for as long as is left of the
	// entry's life, and of two thirds of AckWait.
	calm := func(o *queue.Options) { o.Config.AckWait, o.Config.RegistryTTL = 9*time.Second, 6*time.Second }
	q := queuetest.Open(t, srv, fast, calm)
	d := claimed(t, q)
	add(t, d, started("busy", "busy-1", 1))
	r := register(t, q, status("busy", "busy-1", "f"))
	c := claimer(t, queuetest.Open(t, srv, fast, calm), "w2")
	noClaim(t, c, q.Config().AckWait*5/4)
	add(t, d, delta("still mine"))
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := claim(t, c); again.Key() != d.Key() || again.Deliveries < 2 {
		t.Fatalf("claimed %+v", again)
	}
}

// TestPeekDeadline reads what it can of jobs that this release cannot read.
func TestPeekDeadline(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, unhurried)
	_, js := stranger(t, srv)
	c := claimer(t, q, "w")
	const otherwise, longest = 10 * time.Minute, 24 * time.Hour
	for text, want := range map[string]time.Duration{
		`{"v":99,"deadline_ms":1500}`:              1500 * time.Millisecond,
		`{"v":99,"deadline_ms":2e3,"x":{"y":[1]}}`: 2 * time.Second,
		`{"v":99,"deadline_ms":1e300}`:             longest,
		`{"v":99,"deadline_ms":0}`:                 otherwise,
		`{"v":99,"deadline_ms":-1}`:                otherwise,
		`{"v":99,"deadline_ms":"soon"}`:            otherwise,
		`{"v":99,"deadline_ms":null}`:              otherwise,
		`{"v":99,"Deadline_MS":5}`:                 otherwise,
		`{"v":99,"messages":[],"deadline":"2s"}`:   otherwise,
	} {
		if _, err := js.Publish(t.Context(), queue.JobSubject(model, schemas.ClassNormal, 0, "ada"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		d := claim(t, c)
		if _, err := d.Job(); !errors.Is(err, schemas.ErrNewerVersion) {
			t.Errorf("%s: %v", text, err)
		}
		if got := d.PeekDeadline(); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		add(t, d, done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
