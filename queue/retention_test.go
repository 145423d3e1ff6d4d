package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// A job's log goes a while after its end, with what the job had in the object store;
// the log of one that goes on stays, however old it is, and so does a new job under
// an old id.
func TestRetention(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient, unhurried, func(o *queue.Options) {
		o.Config.EventRetention = 2 * time.Second
		o.Config.InlineBytes, o.Config.MaxJobBytes = 1<<10, 1<<20
	})
	_, js := stranger(t, srv)
	serves(t, q, model)
	c := claimer(t, q, "w")
	run := func(job schemas.Job, id string, events ...schemas.Event) *queue.Delivery {
		t.Helper()
		submit(t, q, queue.Submission{JobID: id, Job: job})
		d := claim(t, c)
		add(t, d, append([]schemas.Event{started("w", "w-1", 1), delta("a")}, events...)...)
		return d
	}
	goesOn := run(body("x"), "goes-on")
	large := run(body(strings.Repeat("x", 4<<10)), "large", delta("b"), done())
	small := run(body("x"), "small", done())
	for _, d := range []*queue.Delivery{large, small} {
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// Somebody's junk after the end of a log does not keep it.
	junk, err := js.Publish(t.Context(), queue.EventSubject("local", "small"), []byte(`{"stream":"EVENTS","seq":1}`))
	if err != nil {
		t.Fatal(err)
	}
	inputs := func() uint64 {
		t.Helper()
		s, err := js.Stream(t.Context(), "OBJ_inputs")
		if err != nil {
			t.Fatal(err)
		}
		return s.CachedInfo().State.Msgs
	}
	if inputs() == 0 {
		t.Fatal("the large job is in its message")
	}
	waiting := submit(t, q, queue.Submission{Job: body("x")})
	stop := reconcile(t, q)
	gone := func(id string) func() bool {
		return func() bool {
			_, err := q.State(t.Context(), "", id)
			return errors.Is(err, queue.ErrNoJob)
		}
	}
	eventually(t, "the small job is forgotten", gone("small"))
	eventually(t, "the large job is forgotten", gone("large"))
	if n := inputs(); n != 0 {
		t.Errorf("%d messages of the large job's object are left", n)
	}
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := events.GetLastMsgForSubject(t.Context(), queue.EventSubject("local", "small")); err == nil && m.Sequence != junk.Sequence {
		t.Errorf("an event of the small job is left: %s", m.Data)
	}
	// The id is free, and the new job's log is not the old one's.
	if again := submit(t, q, queue.Submission{JobID: "large", Job: body("other")}); again.Attached {
		t.Error("attached to a job that is forgotten")
	}
	// Those that go on are old by now; another leader begins anew.
	stop()
	add(t, goesOn, delta("c"), done())
	if err := goesOn.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	reconcile(t, q)
	eventually(t, "the long job is forgotten", gone("goes-on"))
	for _, id := range []string{waiting.JobID, "large"} {
		if log, err := q.Log(t.Context(), "", id); err != nil || len(log) != 1 {
			t.Errorf("log of %s: %+v, %v", id, log, err)
		}
	}
	eventually(t, "all are counted", func() bool {
		return metric(t, registry, "semantic_queue_logs_purged_total", "") == 3
	})
	noAnomalies(t, registry)
}

// What could not be purged in one pass is purged in the next.
func TestRetentionAfterFailure(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t), patient, func(o *queue.Options) { o.Config.EventRetention = time.Second })
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1), done())
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := q.PassAgain(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if log, err := q.Log(t.Context(), "", d.JobID); err != nil || len(log) > 0 {
		t.Errorf("the log is still there: %d events, %v", len(log), err)
	}
}

// The log of a job stays as long as the job's message: a claimer that meets one
// without the other would run the job again.
func TestRetentionOfStored(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t), patient, func(o *queue.Options) {
		o.Config.EventRetention, o.Config.AckWait = time.Second, time.Second
	})
	serves(t, q, model)
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1), done()) // its worker dies before it acknowledges
	reconcile(t, q)
	eventually(t, "the job is removed", func() bool {
		log, err := q.Log(t.Context(), "", d.JobID)
		queued, running := stored(t, q) // after that: both may go in between
		if err == nil && len(log) == 0 && queued+running > 0 {
			t.Fatal("the log went before the job")
		}
		return queued+running == 0
	})
	eventually(t, "the log is forgotten", func() bool {
		log, err := q.Log(t.Context(), "", d.JobID)
		return err == nil && len(log) == 0
	})
}

// lines collects what is logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// A stream that fills up is warned of once, and again when it had room meanwhile.
func TestStorageAlarm(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	var log lines
	q, registry := watched(t, srv, patient, func(o *queue.Options) {
		o.Config.EventsMaxBytes = 64 << 10
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	_, js := stranger(t, srv)
	reconcile(t, q)
	fill := func() {
		t.Helper()
		for {
			_, err := js.Publish(t.Context(), "semantic.events.a.b", make([]byte, 4<<10))
			var full *jetstream.APIError
			if errors.As(err, &full) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	const full, room = "nearly full", "has room again"
	for n := 1; n <= 2; n++ {
		fill()
		eventually(t, "a warning", func() bool { return log.count(full) == n })
		if used := metric(t, registry, "semantic_queue_storage_bytes", "EVENTS"); used < 0.85*65536 {
			t.Errorf("%v bytes used", used)
		}
		events, err := js.Stream(t.Context(), "EVENTS")
		if err != nil {
			t.Fatal(err)
		}
		if err := events.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it has room", func() bool { return log.count(room) == n })
	}
	if limit := metric(t, registry, "semantic_queue_storage_limit_bytes", "EVENTS"); limit != 64<<10 {
		t.Errorf("limit %v", limit)
	}
	if n := log.count(full); n != 2 {
		t.Errorf("%d warnings", n)
	}
}

// BenchmarkRestart measures what a start with b.N finished jobs costs, and what it
// costs to purge them: go test -run - -bench Restart -benchtime 100000x ./queue
func BenchmarkRestart(b *testing.B) {
	srv := queuetest.Start(b)
	q := queuetest.Open(b, srv)
	_, js := stranger(b, srv)
	subject := queue.JobSubject(model, schemas.ClassNormal, 0, "local")
	event := func(job string, n int, rest string) []byte {
		return fmt.Appendf(nil, `{"v":1,"job":%q,"n":%d,"time":"2026-01-02T03:04:05Z",%s}`, job, n, rest)
	}
	for i := range b.N {
		job := fmt.Sprintf("job-%d", i)
		for n, rest := range []string{
			fmt.Sprintf(`"type":"submitted","submitted":{"body_hash":"%064x","subject":%q,"model":%q}`, i, subject, model),
			`"type":"started","started":{"attempt":1,"worker":"w","incarnation":"w-1","fingerprint":"f","seed":1,"prompt_tokens":3}`,
			`"type":"delta","delta":{"tokens":[1,2,3],"text":"abc"}`,
			`"type":"done","done":{"finish_reason":"stop","usage":{"prompt_tokens":3,"completion_tokens":3,"cached_tokens":0},` +
				`"timings":{"queued_ms":1,"prefill_ms":1,"decode_ms":1}}`,
		} {
			if _, err := js.PublishAsync(queue.EventSubject("local", job), event(job, n+1, rest)); err != nil {
				b.Fatal(err)
			}
		}
		if i%500 == 499 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	if err := q.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	srv.Restart(b)
	broker := time.Since(began)
	b.ResetTimer()
	began = time.Now()
	next, registry := watched(b, srv)
	stop := reconcile(b, next)
	eventually(b, "it leads", func() bool { return leads(b, registry) })
	if _, err := next.Submit(within(b, 20*time.Second), queue.Submission{Job: body("x")}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(broker.Seconds(), "broker-s")
	b.ReportMetric(time.Since(began).Seconds(), "first-job-s")
	stop()
	// All at once: as after an hour, and then so that a log that goes on is before
	// all others.
	forget := func(pinned bool, what string) {
		old, registry := watched(b, srv, func(o *queue.Options) {
			o.Config.EventRetention = time.Second
			o.Config.ReconcileInterval = 100 * time.Millisecond
		})
		began = time.Now()
		defer reconcile(b, old)()
		want := float64(min(b.N/2, 20_000))
		if pinned {
			want = 200
		}
		purged := func() float64 { return metric(b, registry, "semantic_queue_logs_purged_total", "") }
		eventually(b, "many are purged", func() bool { return purged() >= want })
		b.ReportMetric(purged()/time.Since(began).Seconds(), what)
	}
	forget(false, "together/s")
	if b.N > 50_000 {
		events, err := js.Stream(b.Context(), "EVENTS")
		if err != nil {
			b.Fatal(err)
		}
		m, err := events.GetMsg(b.Context(), events.CachedInfo().State.FirstSeq+1) // not the end of a log
		if err != nil {
			b.Fatal(err)
		}
		last, err := events.GetLastMsgForSubject(b.Context(), m.Subject)
		if err != nil {
			b.Fatal(err)
		}
		if err := events.DeleteMsg(b.Context(), last.Sequence); err != nil { // its end
			b.Fatal(err)
		}
		if last.Sequence == m.Sequence {
			b.Fatal("a log without a beginning")
		}
		forget(true, "singly/s")
	}
}

// BenchmarkExpire ends b.N jobs that have expired all at once: go test -run - -bench
// Expire -benchtime 20000x ./queue
func BenchmarkExpire(b *testing.B) {
	srv := queuetest.Start(b)
	q, registry := watched(b, srv, func(o *queue.Options) {
		bounds := o.Config.Bounds[schemas.ClassNormal]
		bounds.MaxJobs, bounds.MaxJobsPerFlow = int64(b.N)+1, int64(b.N)+1
		o.Config.Bounds[schemas.ClassNormal] = bounds
		o.Config.ModelGrace = time.Hour
	})
	_, js := stranger(b, srv)
	text := strings.Replace(string(encoded(b, body("x"))), `"v":1`, `"v":1,"deadline_ms":1`, 1)
	for i := range b.N {
		if _, err := js.PublishAsync(queue.JobSubject(model, schemas.ClassNormal, i%queue.Flows, "ada"), []byte(text)); err != nil {
			b.Fatal(err)
		}
		if i%500 == 499 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	b.ResetTimer()
	reconcile(b, q)
	eventually(b, "all have ended", func() bool {
		return metric(b, registry, "semantic_queue_reconciled_total", "expired") == float64(b.N)
	})
}
