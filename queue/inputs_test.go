package queue_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// thrifty makes jobs large from 1 KiB on.
func thrifty(o *queue.Options) {
	fast(o)
	o.Config.InlineBytes = 1 << 10
}

// long is a job that is large, in several chunks if it is over 128 KiB.
func long(n int) schemas.Job {
	job := body(strings.Repeat("long ", n/5))
	job.DeadlineMS, job.Agent = 90_000, "scribe"
	return job
}

// objects are the broker's large jobs, as any client sees them.
func objects(t testing.TB, srv *queuetest.Server, store string) jetstream.ObjectStore {
	t.Helper()
	_, js := stranger(t, srv)
	s, err := js.ObjectStore(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(t testing.TB, s jetstream.ObjectStore) []string {
	t.Helper()
	list, err := s.List(t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Fatal(err)
	}
	var out []string
	for _, info := range list {
		out = append(out, info.Name)
	}
	return out
}

// messages is how many messages a store takes, markers included.
func messages(t testing.TB, s jetstream.ObjectStore) uint64 {
	t.Helper()
	status, err := s.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status.(*jetstream.ObjectBucketStatus).StreamInfo().State.Msgs
}

// TestLargeJob: it is an object that any client can read; what a release without
// inputs sees is newer than it reads; the claimer gets the job.
func TestLargeJob(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty)
	job := long(400 << 10)
	ticket := submit(t, q, queue.Submission{Owner: "a.b", Job: job})
	store := objects(t, srv, "inputs")
	data, err := store.GetBytes(t.Context(), queue.Slug("a.b")+"."+ticket.JobID)
	if err != nil || string(data) != string(encoded(t, job)) {
		t.Fatalf("the object has %d bytes, %v", len(data), err)
	}
	_, js := stranger(t, srv)
	stream, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	message, err := stream.GetLastMsgForSubject(t.Context(), ticket.Subject)
	if err != nil || len(message.Data) > 1<<10 {
		t.Fatalf("the message has %d bytes, %v", len(message.Data), err)
	}
	if _, err := schemas.DecodeJob(message.Data); !errors.Is(err, schemas.ErrNewerVersion) {
		t.Errorf("an old worker reads it: %v", err)
	}

	d := claim(t, claimer(t, q, "w"))
	if d.PeekDeadline() != 90*time.Second || d.Agent() != "scribe" {
		t.Errorf("deadline %v, agent %q", d.PeekDeadline(), d.Agent())
	}
	if _, err := d.Job(); err == nil {
		t.Error("the job is there before it is loaded")
	}
	for range 2 {
		if err := d.Load(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := d.Job(); err != nil || got.Messages[0].Content != job.Messages[0].Content {
		t.Errorf("job %v", err)
	}
	// A small one needs no loading.
	submit(t, q, queue.Submission{Job: body("short")})
	small := claim(t, claimer(t, q, "w"))
	if err := small.Load(t.Context()); err != nil {
		t.Error(err)
	}
	if len(names(t, store)) != 1 {
		t.Errorf("objects %v", names(t, store))
	}
}

// TestLargeJobAgain: the same job under its id attaches, also where what is large
// has another limit, and after its first submitter died before the job's message;
// another job conflicts.
func TestLargeJobAgain(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty)
	generous := queuetest.Open(t, srv, fast)
	for i, first := range []*queue.Queue{q, generous} {
		second := []*queue.Queue{generous, q}[i]
		s := queue.Submission{JobID: fmt.Sprintf("again-%d", i), Job: long(10 << 10)}
		ticket := submit(t, first, s)
		if again := submit(t, second, s); !again.Attached || again.Subject != ticket.Subject {
			t.Errorf("%d: %+v", i, again)
		}
		other := s
		other.Job = long(11 << 10)
		if _, err := second.Submit(t.Context(), other); !errors.Is(err, queue.ErrConflict) {
			t.Errorf("%d: another job: %v", i, err)
		}
		// The message and the object are lost, the log is there.
		_, js := stranger(t, srv)
		stream, err := js.Stream(t.Context(), "JOBS_NORMAL")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		store := objects(t, srv, "inputs")
		_ = store.Delete(t.Context(), "local."+s.JobID) // where there is one
		fresh := queuetest.Open(t, srv, thrifty)
		if i == 1 {
			continue // its message is known to the server: nothing is stored twice
		}
		submit(t, fresh, s)
		if list := names(t, store); len(list) != 1 || list[0] != "local."+s.JobID {
			t.Errorf("%d: objects %v", i, list)
		}
	}
}

// TestLargeJobRepeated: a repeat that stores the job again leaves its object as it
// is: a worker may be reading it.
func TestLargeJobRepeated(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty)
	s := queue.Submission{JobID: "big", Job: long(4 << 10)}
	submit(t, q, s)
	store := objects(t, srv, "inputs")
	object := names(t, store)[0]
	before, err := store.GetInfo(t.Context(), object)
	if err != nil {
		t.Fatal(err)
	}
	_, js := stranger(t, srv)
	jobs, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err == nil {
		err = jobs.Purge(t.Context()) // as if the first submitter had died before it stored the job
	}
	if err != nil {
		t.Fatal(err)
	}
	if ticket := submit(t, q, s); !ticket.Attached {
		t.Error("not attached")
	}
	after, err := store.GetInfo(t.Context(), object)
	if err != nil || after.NUID != before.NUID {
		t.Errorf("the object is another one: %v, %v", after, err)
	}
}

// TestLargeJobRefused: what was refused leaves nothing behind.
func TestLargeJobRefused(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty, func(o *queue.Options) {
		o.Config.Bounds[schemas.ClassNormal] = queue.Bounds{MaxJobs: 1, MaxBytes: 1 << 20, MaxJobsPerFlow: 1}
		o.Config.InputsMaxBytes = 300 << 10
		o.Config.MaxJobBytes = 600 << 10
		o.Config.StorageHighWater = 1
	})
	store := objects(t, srv, "inputs")
	submit(t, q, queue.Submission{JobID: "first", Job: body("x")})
	if _, err := q.Submit(t.Context(), queue.Submission{JobID: "second", Job: long(200 << 10)}); !errors.Is(err, queue.ErrQueueFull) {
		t.Errorf("full queue: %v", err)
	}
	third := queue.Submission{JobID: "third", Class: schemas.ClassBatch, Job: long(500 << 10)}
	if _, err := q.Submit(t.Context(), third); !errors.Is(err, queue.ErrStorageFull) {
		t.Errorf("full store: %v", err)
	}
	if _, err := q.Submit(t.Context(), queue.Submission{JobID: "fourth", Job: long(700 << 10)}); !errors.Is(err, queue.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if n := messages(t, store); n != 0 {
		t.Errorf("%d messages are left of %v", n, names(t, store))
	}
	for _, id := range []string{"second", "third", "fourth"} {
		if log, err := q.Log(t.Context(), "", id); err != nil || len(log) != 0 {
			t.Errorf("%s: %d events, %v", id, len(log), err)
		}
	}
}

// TestLostInput: an object that is missing, damaged, or another than the message
// says is named.
func TestLostInput(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty)
	store := objects(t, srv, "inputs")
	nc, js := stranger(t, srv)
	stream, err := js.Stream(t.Context(), "OBJ_inputs")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(object string) error
		says  string
	}{
		"deleted": {func(o string) error { return store.Delete(t.Context(), o) }, "is missing"},
		"purged":  {func(string) error { return stream.Purge(t.Context()) }, "is missing"},
		"chunks gone": {
			func(o string) error {
				info, err := store.GetInfo(t.Context(), o)
				if err != nil {
					return err
				}
				return stream.Purge(t.Context(), jetstream.WithPurgeSubject("$O.inputs.C."+info.NUID))
			}, "is damaged: 0 of its ",
		},
		"another": {
			func(o string) error {
				_, err := store.PutString(t.Context(), o, strings.Repeat("y", len(encoded(t, long(300<<10)))))
				return err
			}, "is damaged: its SHA-256 is ",
		},
		"shorter": {func(o string) error { _, err := store.PutString(t.Context(), o, "short"); return err }, "has 5 bytes instead of "},
		"junk": {
			func(o string) error {
				info, err := store.GetInfo(t.Context(), o)
				if err != nil {
					return err
				}
				return nc.Publish("$O.inputs.C."+info.NUID, []byte("more"))
			}, "",
		},
	} {
		ticket := submit(t, q, queue.Submission{Job: long(300 << 10)})
		d := claim(t, claimer(t, q, "w"))
		object := "local." + ticket.JobID
		if err := c.spoil(object); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err := d.Load(within(t, time.Minute))
		var lost *queue.InputError
		switch {
		case c.says == "":
			if err != nil { // what comes behind its end is not read
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &lost) || lost.Object != object || lost.Store != "inputs" || !strings.HasPrefix(lost.Reason, c.says):
			t.Errorf("%s: %v", name, err)
		}
		add(t, d, schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: "test"}})
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDirectLargeJob: a plain client puts the object and publishes what stands for
// it, as docs/direct-nats.md says. One that lies about the model is named.
func TestDirectLargeJob(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	store := objects(t, srv, "inputs")
	_, js := stranger(t, srv)
	job := encoded(t, long(2<<20))
	sum := sha256.Sum256(job)
	c := claimer(t, q, "w")
	for _, said := range []string{model, "another"} {
		id := queue.NewJobID()
		if _, err := store.PutBytes(t.Context(), "local."+id, job); err != nil {
			t.Fatal(err)
		}
		_, err := js.PublishMsg(t.Context(), &nats.Msg{
			Subject: queue.JobSubject(model, schemas.ClassNormal, 0, queue.OwnerLocal), Header: nats.Header{schemas.HeaderJobID: {id}},
			Data: fmt.Appendf(nil, `{"v":2,"model":%q,"input":{"sha256":%q,"size":%d}}`, said, hex.EncodeToString(sum[:]), len(job)),
		})
		if err != nil {
			t.Fatal(err)
		}
		d := claim(t, c)
		if err := d.Load(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		got, err := d.Job()
		var field *schemas.FieldError
		switch {
		case said == model && (err != nil || got.Agent != "scribe"):
			t.Errorf("job of agent %q, %v", got.Agent, err)
		case said != model && (!errors.As(err, &field) || field.Field != "model"):
			t.Errorf("another model: %v", err)
		}
		add(t, d, done())
		if err := d.Ack(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeJobOverABrokerRestart: the object outlives the broker, and a claimer
// waits for it.
func TestLargeJobOverABrokerRestart(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty)
	submit(t, q, queue.Submission{Job: long(1 << 20)})
	d := claim(t, claimer(t, q, "w"))
	srv.Stop()
	loaded := make(chan error, 1)
	ctx := within(t, 30*time.Second)
	go func() { loaded <- d.Load(ctx) }()
	srv.Resume(t)
	if err := <-loaded; err != nil {
		t.Error(err)
	}
}

// TestDeadLargeJob: a large job that is given up keeps its input beyond its log,
// replay makes it a large job again, and then nothing is left of the old one.
func TestDeadLargeJob(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, thrifty)
	job := long(200 << 10)
	old := submit(t, q, queue.Submission{Job: job})
	d := claim(t, claimer(t, q, "w"))
	if err := d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	park(t, d)
	inputs, dead := objects(t, srv, "inputs"), objects(t, srv, "dead")
	before := messages(t, dead)
	bury(t, d)
	if after := messages(t, dead); after != before {
		t.Errorf("parked again: %d messages after %d", after, before)
	}
	if err := inputs.Delete(t.Context(), "local."+old.JobID); err != nil {
		t.Fatal(err)
	}
	entry := onlyDead(t, q)
	if text, err := q.DeadBody(t.Context(), entry); err != nil || string(text) != string(encoded(t, job)) || entry.Parked.Body != "" {
		t.Errorf("body of %d bytes, %v", len(text), err)
	}
	replayed, err := q.Replay(t.Context(), entry, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := messages(t, dead); n != 0 {
		t.Errorf("%d messages are left of the dead one", n)
	}
	if list := names(t, inputs); len(list) != 1 || list[0] != "local."+replayed.JobID {
		t.Errorf("objects %v", list)
	}
	again := claim(t, claimer(t, q, "w"))
	if err := again.Load(t.Context()); err != nil {
		t.Error(err)
	}
	// One whose input is gone cannot be replayed, and is named.
	bury(t, again)
	entry = onlyDead(t, q)
	if err := dead.Delete(t.Context(), queue.Slug(model)+".local."+replayed.JobID); err != nil {
		t.Fatal(err)
	}
	var lost *queue.InputError
	if _, err := q.Replay(t.Context(), entry, false); !errors.As(err, &lost) || lost.Store != "dead" {
		t.Errorf("replay without input: %v", err)
	}
	if err := q.DropDead(t.Context(), entry); err != nil {
		t.Error(err)
	}
}
