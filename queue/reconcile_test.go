package queue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// brisk makes the reconciler look often, and wait for little.
func brisk(o *queue.Options) {
	fast(o)
	o.Config.LeaseTTL = time.Second
	o.Config.ReconcileInterval = 20 * time.Millisecond
	o.Config.DeadlineGrace = 50 * time.Millisecond
	o.Config.ModelGrace = 200 * time.Millisecond
	o.Config.SubmitGrace = 0
	o.Config.MaxJobBytes = o.Config.InlineBytes // Submit is quick
	o.Config.SubmitTimeout = time.Second
	o.Config.RequestTimeout = time.Second
}

// patient is brisk on a loaded machine: requests take what they take, and who leads
// does so until it stops.
func patient(o *queue.Options) {
	was := o.Config
	brisk(o)
	o.Config.SubmitTimeout, o.Config.RequestTimeout, o.Config.LeaseTTL = was.SubmitTimeout, was.RequestTimeout, was.LeaseTTL
}

// reconcile runs a reconciler until the test ends, or stop is called.
func reconcile(t testing.TB, q *queue.Queue, expect ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Reconcile(ctx, expect) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("reconcile: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// led reconciles until something has happened, and then until the test ends, or stop
// is called. After an audit that was held up the next one is a hundred times as long
// away: a new leader begins anew.
func led(t testing.TB, q *queue.Queue, what string, condition func() bool) (stop func()) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx := within(t, 2*time.Minute)
	for term := 10 * time.Second; ; term *= 2 {
		over := time.After(term)
		stop = reconcile(t, q)
		for leading := true; leading; {
			select {
			case <-tick.C:
				if condition() {
					return stop
				}
			case <-over:
				leading = false
			case <-ctx.Done():
				t.Fatalf("never: %s", what)
			}
		}
		stop()
	}
}

// watched opens a queue whose metrics can be read.
func watched(t testing.TB, srv *queuetest.Server, change ...func(*queue.Options)) (*queue.Queue, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	change = append(change, func(o *queue.Options) { o.Registerer, o.Overview = registry, registry })
	return queuetest.Open(t, srv, change...), registry
}

// metric is a counter or gauge with a label's value, or without labels.
func metric(t testing.TB, registry *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// eventually waits for what nothing announces.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx := within(t, 60*time.Second); !condition(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

// ends waits for a job's end; nothing may come after it.
func ends(t testing.TB, q *queue.Queue, owner, jobID string) (end schemas.Event, log []schemas.Event) {
	t.Helper()
	f := follow(t, q, owner, jobID, 0)
	ctx := within(t, 60*time.Second)
	for {
		e, err := f.Next(ctx)
		if err != nil {
			t.Fatalf("job %s: %v", jobID, err)
		}
		if log = append(log, e); e.Type.Terminal() {
			expectEOF(t, f)
			return e, log
		}
	}
}

func emptied(t testing.TB, q *queue.Queue) {
	t.Helper()
	eventually(t, "no job is stored", func() bool {
		depth, err := q.Depth(t.Context())
		if err != nil {
			return false
		}
		for _, d := range depth {
			if d.Queued+d.Running > 0 {
				return false
			}
		}
		return true
	})
}

func noAnomalies(t testing.TB, registry *prometheus.Registry) {
	t.Helper()
	if n := metric(t, registry, "semantic_queue_anomalies_total", ""); n != 0 {
		t.Errorf("%v anomalies", n)
	}
}

// serves makes the model known, and its worker w live until the test ends or leave
// is called.
func serves(t *testing.T, q *queue.Queue, name string) (leave func()) {
	t.Helper()
	worker := status("w", "w-1", "f")
	worker.Model = name
	r := register(t, q, worker)
	return func() {
		if err := r.Close(context.Background()); err != nil {
			t.Errorf("leave: %v", err)
		}
	}
}

// urgent is a job with a deadline of its own, in milliseconds.
func urgent(deadline int64) schemas.Job {
	job := body("x")
	job.DeadlineMS = deadline
	return job
}

// publish stores a job as a program without this package does: no TTL.
func publish(t testing.TB, js jetstream.JetStream, subject string, header nats.Header, body string) string {
	t.Helper()
	ack, err := js.PublishMsg(within(t, time.Minute), &nats.Msg{Subject: subject, Header: header, Data: []byte(body)})
	if err != nil {
		t.Fatal(err)
	}
	if id := header.Get(schemas.HeaderJobID); id != "" {
		return id
	}
	return fmt.Sprintf("s%s-%d", strings.ToLower(ack.Stream[len("JOBS_"):len("JOBS_")+1]), ack.Sequence)
}

// A job whose worker never comes ends at its deadline, whoever published it; nobody
// is offered it afterwards, and its publisher hears of it where it listens.
func TestReconcileExpires(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient, unhurried, func(o *queue.Options) {
		o.Config.DefaultDeadline = map[schemas.Class]time.Duration{
			schemas.ClassInteractive: time.Second, schemas.ClassNormal: time.Second, schemas.ClassBatch: time.Second,
		}
	})
	nc, js := stranger(t, srv)
	inbox, err := nc.SubscribeSync("_INBOX.local.x")
	if err != nil {
		t.Fatal(err)
	}
	serves(t, q, model)()
	text := string(encoded(t, body("x")))
	short := strings.Replace(text, `"v":1`, `"v":1,"deadline_ms":300`, 1)
	subject := func(class schemas.Class, owner string) string { return queue.JobSubject(model, class, 3, owner) }
	jobs := map[string]struct {
		owner    string
		deadline int64
	}{
		submit(t, q, queue.Submission{Job: urgent(300)}).JobID:                                                                {"", 300},
		publish(t, js, subject(schemas.ClassNormal, "ada"), nil, short):                                                       {"ada", 300},
		publish(t, js, subject(schemas.ClassBatch, "ada"), nil, text):                                                         {"ada", 1000},
		publish(t, js, subject(schemas.ClassInteractive, "local"), nats.Header{schemas.HeaderJobID: {"own"}}, "not a job"):    {"", 1000},
		publish(t, js, subject(schemas.ClassNormal, "local"), nats.Header{schemas.HeaderReplyTo: {"_INBOX.local.x"}}, short):  {"", 300},
		publish(t, js, subject(schemas.ClassNormal, "eve"), nats.Header{schemas.HeaderReplyTo: {"_INBOX.local.x"}}, short):    {"eve", 300},
		publish(t, js, subject(schemas.ClassNormal, "bob"), nil, strings.Replace(text, `"v":1`, `"v":99,"deadline_ms":1`, 1)): {"bob", 1},
	}
	kept := submit(t, q, queue.Submission{Class: schemas.ClassBatch, Job: urgent(3_600_000)})
	reconcile(t, q)
	for id, want := range jobs {
		end, _ := ends(t, q, want.owner, id)
		if end.Expired == nil || end.Expired.DeadlineMS != want.deadline || end.Expired.Started {
			t.Errorf("job %s: %+v", id, end)
		}
	}
	m, err := inbox.NextMsgWithContext(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := schemas.DecodeEvent(m.Data); err != nil || e.Expired == nil || e.N != 1 || m.Header.Get("Nats-Sequence") == "" {
		t.Errorf("reply %s, %v", m.Data, err)
	}
	eventually(t, "the ended ones make room", func() bool {
		queued, _ := stored(t, q)
		return queued == 1
	})
	c := claimer(t, q, "w")
	if d := claim(t, c); d.JobID != kept.JobID {
		t.Errorf("claimed %s, which has ended", d.JobID)
	}
	noClaim(t, c, 300*time.Millisecond)
	eventually(t, "all are counted", func() bool {
		return metric(t, registry, "semantic_queue_reconciled_total", "expired") == float64(len(jobs))
	})
	if pending, _, _ := inbox.Pending(); pending != 0 {
		t.Error("somebody else's reply came to the inbox")
	}
	noAnomalies(t, registry)
}

// A running job is its worker's for a while longer; the end has what it used.
func TestReconcileExpiresRunning(t *testing.T) {
	t.Parallel()
	q, registry := watched(t, queuetest.Start(t), patient, func(o *queue.Options) { o.Config.DeadlineGrace = 700 * time.Millisecond })
	serves(t, q, model)
	feed, err := q.Control(t.Context(), "w")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	ticket := submit(t, q, queue.Submission{Job: urgent(500)})
	d := claim(t, claimer(t, q, "w"))
	add(t, d, started("w", "w-1", 1), delta("a"))
	reconcile(t, q)
	end, _ := ends(t, q, "", ticket.JobID)
	if end.Expired == nil || !end.Expired.Started || end.Expired.Usage.CompletionTokens != 1 {
		t.Fatalf("end %+v", end)
	}
	if after := time.Since(d.StoredAt); after < 1200*time.Millisecond {
		t.Errorf("ended after %v, within the worker's time", after)
	}
	if m, err := feed.Next(within(t, time.Minute)); err != nil || m.JobID != ticket.JobID || m.Reason != queue.ReasonDeadline {
		t.Errorf("the worker was told %+v, %v", m, err)
	}
	if err := d.Append(t.Context(), delta("b")); !errors.Is(err, queue.ErrFenced) {
		t.Errorf("the worker's append: %v", err)
	}
	emptied(t, q)
	noAnomalies(t, registry)
}

// A job that pretends to be the end of an answer hides nothing that comes after it.
func TestReconcileBehindStatus(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, patient, func(o *queue.Options) {
		o.Config.DefaultDeadline[schemas.ClassNormal] = time.Second
	})
	_, js := stranger(t, srv)
	serves(t, q, model)()
	text := strings.Replace(string(encoded(t, body("x"))), `"v":1`, `"v":1,"deadline_ms":100`, 1)
	for _, status := range []string{"404", "204", "503"} {
		publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "eve"), nats.Header{"Status": {status}}, text)
		empty := nats.Header{"Status": {status}, schemas.HeaderJobID: {"empty-" + status}}
		publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "eve"), empty, "")
	}
	id := publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "ada"), nil, text)
	reconcile(t, q)
	if end, _ := ends(t, q, "ada", id); end.Expired == nil {
		t.Errorf("end %+v", end)
	}
	emptied(t, q)
}

// A job of a model that nobody knows fails with the names of those that are; one of
// a model that is known, expected or served waits.
func TestReconcileUnknownModel(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient)
	_, js := stranger(t, srv)
	serves(t, q, model)()
	waits := submit(t, q, queue.Submission{Job: body("x")})
	reconcile(t, q, "soon")
	text := func(model string) string {
		return strings.Replace(string(encoded(t, body("x"))), `"model":"`+`qwen/3:8b ü"`, fmt.Sprintf(`"model":%q`, model), 1)
	}
	publish(t, js, queue.JobSubject("soon", schemas.ClassNormal, 3, "ada"), nil, text("soon"))
	id := publish(t, js, queue.JobSubject("ghost", schemas.ClassNormal, 3, "ada"), nil, text("ghost"))
	end, log := ends(t, q, "ada", id)
	want := `The model "ghost" is not known here. Known models: qwen/3:8b ü, soon.`
	if f := end.Failed; f == nil || f.Code != schemas.CodeModelNotFound || f.Param != "model" || f.Message != want || len(log) != 1 {
		t.Errorf("end %+v", end.Failed)
	}
	// Tokens that are no slugs, of the model and of the owner.
	publish(t, js, "semantic.jobs.gh@st.normal.03.ada", nats.Header{schemas.HeaderJobID: {"odd"}}, text("ghost"))
	publish(t, js, "semantic.jobs.ghost.batch.03.a@a", nats.Header{schemas.HeaderJobID: {"odder"}}, text("ghost"))
	if end, _ := ends(t, q, "ada", "odd"); end.Failed == nil || end.Failed.Code != schemas.CodeModelNotFound {
		t.Errorf("end %+v", end)
	}
	events, err := js.Stream(t.Context(), "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the owner that is no slug finds the end under its token", func() bool {
		m, err := events.GetLastMsgForSubject(t.Context(), "semantic.events.a@a.odder")
		return err == nil && strings.Contains(string(m.Data), "model_not_found")
	})
	eventually(t, "two jobs wait", func() bool { queued, _ := stored(t, q); return queued == 2 })
	// Forgotten: as if it had never been there.
	eventually(t, "nobody serves it", func() bool { return q.ForgetModel(t.Context(), model) == nil })
	if end, _ := ends(t, q, "", waits.JobID); end.Failed == nil || end.Failed.Code != schemas.CodeModelNotFound {
		t.Errorf("end %+v", end)
	}
	eventually(t, "all four are counted", func() bool {
		return metric(t, registry, "semantic_queue_reconciled_total", "model_not_found") == 4
	})
	noAnomalies(t, registry)
}

// A model that is expected is known, until it was announced and then forgotten.
func TestReconcileExpectedModel(t *testing.T) {
	t.Parallel()
	q := queuetest.Open(t, queuetest.Start(t))
	knows := queue.KnownModels(q, "soon")
	for _, step := range []struct {
		what string
		do   func()
		want bool
	}{
		{"expected", func() {}, true},
		{"announced", func() { serves(t, q, "soon")() }, true},
		{"forgotten", func() {
			eventually(t, "nobody serves it", func() bool { return q.ForgetModel(t.Context(), "soon") == nil })
		}, false},
	} {
		step.do()
		if got, err := knows(t.Context(), "soon"); err != nil || got != step.want {
			t.Errorf("%s: known %v, %v; want %v", step.what, got, err, step.want)
		}
	}
}

// A worker died between a job's end and the acknowledgement, and none comes.
func TestReconcileEndedStored(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient)
	nc, js := stranger(t, srv)
	inbox, err := nc.SubscribeSync("_INBOX.x")
	if err != nil {
		t.Fatal(err)
	}
	serves(t, q, model)()
	publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "local"),
		nats.Header{schemas.HeaderJobID: {"one"}, schemas.HeaderReplyTo: {"_INBOX.x"}}, string(encoded(t, body("x"))))
	d := claim(t, claimer(t, q, "w"))
	add(t, d, started("w", "w-1", 1), done())
	reconcile(t, q)
	emptied(t, q)
	eventually(t, "all are counted", func() bool {
		return metric(t, registry, "semantic_queue_reconciled_total", "ended") == 1
	})
	for _, n := range []int64{1, 2, 2} { // the end once more, as a claimer says it
		m, err := inbox.NextMsgWithContext(within(t, time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := schemas.DecodeEvent(m.Data); err != nil || e.N != n {
			t.Errorf("reply %s, want number %d", m.Data, n)
		}
	}
	noAnomalies(t, registry)
}

// Somebody publishes a job with a deadline of its own under the id of a gateway's
// job: that ends nothing.
func TestReconcileImpostor(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient)
	_, js := stranger(t, srv)
	serves(t, q, model)()
	ticket := submit(t, q, queue.Submission{Class: schemas.ClassBatch, Job: body("x")})
	publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "local"),
		nats.Header{schemas.HeaderJobID: {ticket.JobID}}, strings.Replace(string(encoded(t, body("y"))), `"v":1`, `"v":1,"deadline_ms":1`, 1))
	reconcile(t, q)
	eventually(t, "the impostor is dropped", func() bool {
		return metric(t, registry, "semantic_queue_reconciled_total", "impostor") == 1
	})
	if d := claim(t, claimer(t, q, "w")); d.JobID != ticket.JobID || len(d.Log()) != 1 {
		t.Errorf("claimed %s with the log %+v", d.JobID, d.Log())
	}
}

// What a log tells of and is stored nowhere gets its end; what is in somebody's
// hands, or waits for room, does not.
func TestReconcileLost(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, brisk, lasting)
	_, js := stranger(t, srv)
	jobs, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	remove := func(ticket queue.Ticket) {
		t.Helper()
		if err := jobs.DeleteMsg(t.Context(), ticket.Sequence); err != nil {
			t.Fatal(err)
		}
	}
	patiently := queuetest.Open(t, srv, patient, unhurried, lasting)
	serves(t, patiently, model)
	begin := func(incarnation string) queue.Ticket {
		t.Helper()
		ticket := submit(t, patiently, queue.Submission{Job: body("x")})
		c, err := patiently.NewClaimer(within(t, time.Minute), queue.ClaimOptions{Model: model, WorkerID: "w", Incarnation: incarnation})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		add(t, claim(t, c), started("w", incarnation, 1), delta("a"))
		remove(ticket)
		return ticket
	}
	dead, alive := begin("w-0"), begin("w-1")
	only := submit(t, patiently, queue.Submission{Job: body("x")})
	remove(only)
	waits := submit(t, patiently, queue.Submission{Job: body("x")})
	ended := func(ticket queue.Ticket) bool {
		log, err := q.Log(t.Context(), "", ticket.JobID)
		return err == nil && log[len(log)-1].Type.Terminal()
	}
	led(t, q, "what is lost has its end", func() bool { return ended(dead) && ended(only) })
	for _, ticket := range []queue.Ticket{dead, only} {
		if end, _ := ends(t, q, "", ticket.JobID); end.Failed == nil || end.Failed.Code != schemas.CodeJobLost {
			t.Errorf("end %+v", end)
		}
	}
	eventually(t, "all are counted", func() bool {
		return metric(t, registry, "semantic_queue_anomalies_total", "message_lost") == 1
	})
	eventually(t, "all are counted", func() bool {
		return metric(t, registry, "semantic_queue_reconciled_total", "never_stored") == 1
	})
	// The same job again is told of this end, and not stored.
	again := submit(t, patiently, queue.Submission{JobID: only.JobID, Job: body("x")})
	if !again.Attached {
		t.Error("the repeat is a job of its own")
	}
	for _, ticket := range []queue.Ticket{alive, waits} {
		log, err := q.Log(t.Context(), "", ticket.JobID)
		if err != nil || log[len(log)-1].Type.Terminal() {
			t.Errorf("log %+v, %v", log, err)
		}
	}
	if queued, running := stored(t, patiently); queued+running != 1 {
		t.Errorf("%d+%d stored", queued, running)
	}
}
