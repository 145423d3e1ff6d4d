package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// moves records which metrics were registered, and which were seen at another value
// than they begin with.
type moves struct {
	*prometheus.Registry
	known map[string]bool
}

var descName = regexp.MustCompile(`fqName: "([^"]*)"`)

func (m *moves) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 16)
	c.Describe(descs)
	close(descs)
	for d := range descs {
		name := descName.FindStringSubmatch(d.String())[1]
		m.known[name] = m.known[name] || false
	}
	return m.Registry.Register(c)
}

// look takes note of what has moved.
func (m *moves) look(t testing.TB) {
	t.Helper()
	families, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			value := s.GetCounter().GetValue() + s.GetGauge().GetValue() + float64(s.GetHistogram().GetSampleCount())
			m.known[f.GetName()] = m.known[f.GetName()] || value != 0
		}
	}
}

// finish runs a job to its end.
func finish(t testing.TB, d *queue.Delivery) {
	t.Helper()
	add(t, d, started("w", "w-1", 2), done())
	if err := d.Ack(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// Each metric of the queue moves when that happens which it counts.
func TestEveryMetricMoves(t *testing.T) {
	t.Parallel()
	all := &moves{Registry: prometheus.NewRegistry(), known: make(map[string]bool)}
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, patient, func(o *queue.Options) {
		o.Registerer, o.Overview = all, all
		o.Config.EventRetention = time.Second
	})
	nc, js := stranger(t, srv)
	leave := serves(t, q, model)
	stop := reconcile(t, q)
	for _, step := range []struct {
		moves string
		do    func(t *testing.T)
	}{
		{"semantic_queue_redeliveries_total semantic_queue_requeues_total", func(t *testing.T) {
			d := claimed(t, q)
			add(t, d, started("w", "w-1", 1), requeued("w", "w-1"))
			if err := d.HandBack(t.Context()); err != nil {
				t.Fatal(err)
			}
			finish(t, claim(t, claimer(t, q, "w")))
		}},
		{"semantic_queue_fenced_appends_total", func(t *testing.T) {
			d := claimed(t, q)
			if err := q.Cancel(within(t, 20*time.Second), "", d.JobID, "requested"); err != nil {
				t.Fatal(err)
			}
			if err := d.Append(t.Context(), started("w", "w-1", 1)); !errors.Is(err, queue.ErrFenced) {
				t.Fatal(err)
			}
		}},
		{"semantic_queue_deadline_missed_total", func(t *testing.T) {
			ticket := submit(t, q, queue.Submission{Job: body("x")})
			if err := q.Expire(within(t, 20*time.Second), "", ticket.JobID, time.Second); err != nil {
				t.Fatal(err)
			}
		}},
		{"semantic_queue_parked_total semantic_queue_replayed_total semantic_queue_dead", func(t *testing.T) {
			bury(t, claimed(t, q))
			all.look(t)
			if _, err := q.Replay(within(t, 20*time.Second), onlyDead(t, q), false); err != nil {
				t.Fatal(err)
			}
			finish(t, claim(t, claimer(t, q, "w")))
		}},
		{"semantic_queue_junk_events_total semantic_queue_replies_refused_total", func(t *testing.T) {
			publish(t, js, queue.EventSubject("local", "junk"), nil, "junk")
			if _, err := q.Log(t.Context(), "", "junk"); err != nil {
				t.Fatal(err)
			}
			publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "ada"),
				nats.Header{schemas.HeaderReplyTo: {"elsewhere"}}, string(encoded(t, body("x"))))
			finish(t, claim(t, claimer(t, q, "w")))
		}},
		{"semantic_queue_anomalies_total semantic_queue_reconciled_total", func(t *testing.T) {
			ticket := submit(t, q, queue.Submission{Job: body("x")})
			jobs, err := js.Stream(t.Context(), "JOBS_NORMAL")
			if err != nil {
				t.Fatal(err)
			}
			c, err := q.NewClaimer(within(t, 20*time.Second), queue.ClaimOptions{Model: model, WorkerID: "w", Incarnation: "w-0"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			add(t, claim(t, c), started("w", "w-0", 1))
			if err := jobs.DeleteMsg(t.Context(), ticket.Sequence); err != nil {
				t.Fatal(err)
			}
			publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "ada"), nil, string(encoded(t, urgent(1))))
			eventually(t, "they are found", func() bool {
				return metric(t, all.Registry, "semantic_queue_anomalies_total", "") > 0 &&
					metric(t, all.Registry, "semantic_queue_reconciled_total", "") > 0
			})
		}},
		{"semantic_queue_logs_purged_total semantic_queue_oldest_seconds semantic_queue_least_time_left_seconds", func(t *testing.T) {
			submit(t, q, queue.Submission{Job: body("x")})
			eventually(t, "an old log is purged, and a job waits", func() bool {
				all.look(t)
				return all.known["semantic_queue_logs_purged_total"] && all.known["semantic_queue_oldest_seconds"] &&
					all.known["semantic_queue_least_time_left_seconds"]
			})
		}},
		{"semantic_queue_reconnects_total semantic_queue_uncertain_publishes_total semantic_queue_follower_repairs_total", func(t *testing.T) {
			nc.Close()
			leave()
			d := claimed(t, q)
			add(t, d, started("w", "w-1", 1))
			f := follow(t, q, "", d.JobID, 2)
			stop()
			srv.Stop()
			waitFor(t, func() bool { return errors.Is(q.Healthy(), queue.ErrUnavailable) })
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := d.Append(short, delta("x")); !errors.Is(err, queue.ErrUnavailable) {
				t.Fatal(err)
			}
			srv.Resume(t)
			waitFor(t, func() bool { return q.Healthy() == nil })
			add(t, d, done())
			next(t, f)
		}},
	} {
		if !t.Run(step.moves, step.do) {
			t.FailNow()
		}
		all.look(t)
	}
	for name, moved := range all.known {
		if !moved {
			t.Errorf("%s did not move", name)
		}
	}
}

// series are the values of a gauge by its labels, model first.
func series(t testing.TB, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]float64)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var key strings.Builder
			for _, label := range []string{"model", "class", "state"} {
				i := slices.IndexFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == label })
				if i >= 0 {
					key.WriteString(m.GetLabel()[i].GetValue() + " ")
				}
			}
			values[key.String()] = m.GetGauge().GetValue()
		}
	}
	return values
}

// Queued and running are what the streams hold, while jobs come, run and go.
func TestDepthUnderLoad(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, func(o *queue.Options) { o.Config.AckWait = time.Minute })
	_, js := stranger(t, srv)
	serves(t, q, model)
	// What came, and what went, only grow: however the load goes on meanwhile, what is
	// stored lies between the two readings.
	came, went := 0.0, 0.0
	read := func() {
		came, went = 0, 0
		for _, class := range schemas.Classes() {
			s, err := js.Stream(t.Context(), queue.JobsStream(class))
			if err != nil {
				t.Fatal(err)
			}
			state := s.CachedInfo().State
			came, went = came+float64(state.LastSeq), went+float64(state.LastSeq-state.Msgs)
		}
	}
	total := func() (sum float64) {
		for _, n := range series(t, registry, "semantic_request_queue_depth") {
			sum += n
		}
		return sum
	}
	const owners, each = 4, 60
	var load sync.WaitGroup
	for i := range owners {
		load.Go(func() {
			for n := range each {
				_, err := q.Submit(t.Context(), queue.Submission{
					Owner: strconv.Itoa(i), Class: schemas.Classes()[n%3], Job: body(strconv.Itoa(n)),
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var held []*queue.Delivery
	load.Go(func() {
		c := claimer(t, q, "w")
		for n := range owners * each / 2 {
			d := claim(t, c)
			if n%10 == 0 {
				held = append(held, d)
				continue
			}
			if err := d.Append(t.Context(), done()); err != nil {
				t.Error(err)
			}
			if err := d.Ack(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	over := make(chan struct{})
	go func() { load.Wait(); close(over) }()
	for looking := true; looking; {
		select {
		case <-over:
			looking = false
		default:
		}
		read()
		cameBefore, wentBefore := came, went
		sum := total()
		read()
		if sum < cameBefore-went || sum > came-wentBefore {
			t.Fatalf("depth %v, stored between %v and %v", sum, cameBefore-went, came-wentBefore)
		}
	}
	running := 0.0
	for key, n := range series(t, registry, "semantic_request_queue_depth") {
		if strings.HasSuffix(key, "running ") {
			running += n
		}
	}
	if read(); total() != came-went || total() != float64(owners*each-owners*each/2+len(held)) || running != float64(len(held)) {
		t.Errorf("depth %v with %v running; stored %v, held %d", total(), running, came-went, len(held))
	}
}

// What strangers publish is counted, under labels that they do not choose.
func TestForeignSubjects(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient, func(o *queue.Options) { o.Config.ModelGrace = time.Hour })
	_, js := stranger(t, srv)
	serves(t, q, model)
	reconcile(t, q)
	const foreign = 30
	for i := range foreign {
		for _, subject := range []string{
			fmt.Sprintf("semantic.jobs.made-up-%d.normal.03.ada", i), // nobody's model
			fmt.Sprintf("semantic.jobs.=zz%d.normal.03.ada", i),      // no slug
		} {
			publish(t, js, subject, nil, string(encoded(t, body("x"))))
		}
	}
	submit(t, q, queue.Submission{Job: body("x")})
	want := map[string]float64{"unknown normal queued ": 2 * foreign, "unknown normal running ": 0}
	for _, class := range schemas.Classes() {
		want[model+" "+string(class)+" queued "], want[model+" "+string(class)+" running "] = 0, 0
	}
	want[model+" normal queued "] = 1
	if got := series(t, registry, "semantic_request_queue_depth"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("depth %v, want %v", got, want)
	}
	eventually(t, "their age is seen", func() bool {
		return series(t, registry, "semantic_queue_oldest_seconds")["unknown normal queued "] > 0
	})
	if got := series(t, registry, "semantic_queue_oldest_seconds"); len(got) != len(want) {
		t.Errorf("ages %v", got)
	}
}

// The leader knows how old the oldest jobs are, waiting and running, and which
// deadline comes first; who does not lead says nothing.
func TestAges(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient, func(o *queue.Options) {
		o.Config.AckWait = time.Minute
		o.Config.ReconcileInterval = 50 * time.Millisecond
	})
	serves(t, q, model)
	running, waiting, left := model+" normal running ", model+" normal queued ", model+" normal "
	oldest := func(key string) float64 { return series(t, registry, "semantic_queue_oldest_seconds")[key] }
	least := func() float64 { return series(t, registry, "semantic_queue_least_time_left_seconds")[left] }
	first := submit(t, q, queue.Submission{Owner: "a", Job: urgent(600_000)})
	submit(t, q, queue.Submission{Owner: "b", Job: urgent(3_600_000)})
	sooner := submit(t, q, queue.Submission{Owner: "c", Job: urgent(60_000)})
	if n := len(series(t, registry, "semantic_queue_oldest_seconds")); n != 0 {
		t.Errorf("%d ages without a leader", n)
	}
	stop := reconcile(t, q)
	eventually(t, "three wait", func() bool { return oldest(waiting) > 0 && least() > 0 })
	if s := least(); s > 60 || s < 0 {
		t.Errorf("%v s are left of a minute", s)
	}
	if s := oldest(running); s != 0 {
		t.Errorf("a job runs for %v s", s)
	}
	if err := q.Cancel(within(t, 20*time.Second), "c", sooner.JobID, "requested"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cancelled one is missed", func() bool { return least() > 60 })
	c := claimer(t, q, "w")
	for range 2 {
		d := claim(t, c)
		if d.JobID != first.JobID {
			continue
		}
		eventually(t, "the first runs", func() bool { return oldest(running) > 0 })
		add(t, d, started("w", "w-1", 1), done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "none waits", func() bool { return oldest(waiting) == 0 && least() == 0 })
	if oldest(running) == 0 {
		t.Error("the second job is not running")
	}
	stop()
	if n := len(series(t, registry, "semantic_queue_oldest_seconds")); n != 0 {
		t.Errorf("%d ages after the leader's end", n)
	}
}

// A claim's wait is by the broker's clock; how far that is off is exported.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	q, registry := watched(t, queuetest.Start(t))
	claimed(t, q)
	if s := metric(t, registry, "semantic_queue_clock_skew_seconds", ""); s == 0 || math.Abs(s) > 30 {
		t.Errorf("one machine has a skew of %v s", s)
	}
	if got := queue.SkewOf([3]time.Duration{10 * time.Second, 0, 2 * time.Second}, // 9 s ahead, 1 s uncertain
		[3]time.Duration{20 * time.Second, 10 * time.Second, 14 * time.Second}); got != 9*time.Second { // worse
		t.Errorf("skew %v", got)
	}
	if got := queue.SkewOf([3]time.Duration{10 * time.Second, 0, 2 * time.Second},
		[3]time.Duration{90 * time.Second, 80 * time.Second, 84 * time.Second}); got != 8*time.Second { // worse, but the other is old
		t.Errorf("skew %v", got)
	}
}

// Attempts, requeues and missed deadlines are counted by who writes the event.
func TestCountedEnds(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, fast)
	count := func(name, label string) float64 {
		t.Helper()
		sum := 0.0
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name && slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
					sum += m.GetCounter().GetValue()
				}
			}
		}
		return sum
	}
	d := claimed(t, q)
	add(t, d, started("w", "w-1", 1), schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
		Worker: "w", Incarnation: "w-1", Reason: "shutdown",
	}})
	if err := d.HandBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = claim(t, claimer(t, q, "w"))
	add(t, d, schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
		Worker: "w", Incarnation: "w-1", Reason: schemas.ReasonPreparing,
	}}, started("w", "w-1", 2), schemas.Event{Type: schemas.EventExpired, Expired: &schemas.Expired{DeadlineMS: 1, Started: true}})
	waiting := submit(t, q, queue.Submission{Class: schemas.ClassBatch, Job: body("x")})
	if err := q.Expire(t.Context(), "", waiting.JobID, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		name, label string
		n           float64
	}{
		{"semantic_queue_requeues_total", "shutdown", 1},
		{"semantic_queue_requeues_total", "normal", 1},
		{"semantic_queue_deadline_missed_total", "running", 1},
		{"semantic_queue_deadline_missed_total", "waiting", 1},
		{"semantic_queue_deadline_missed_total", "batch", 1},
	} {
		if n := count(want.name, want.label); n != want.n {
			t.Errorf("%s of %s: %v, want %v", want.name, want.label, n, want.n)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch h := f.GetMetric()[0].GetHistogram(); f.GetName() {
		case "semantic_queue_attempts":
			if h.GetSampleCount() != 2 || h.GetSampleSum() != 2 {
				t.Errorf("attempts %v", h)
			}
		case "semantic_queue_wait_seconds":
			if h.GetSampleCount() != 1 || len(h.GetPositiveSpan()) == 0 {
				t.Errorf("waits %v", h)
			}
		}
	}
}

// Each announced model has its workers counted, also when the last one is gone.
func TestWorkersCounted(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, fast)
	look := func(ready, draining float64) func() bool {
		return func() bool {
			got := series(t, registry, "semantic_queue_workers")
			return len(got) == 2 && got[model+" ready "] == ready && got[model+" draining "] == draining
		}
	}
	worker := status("w", "w-1", "f")
	r := register(t, q, worker)
	eventually(t, "one is ready", look(1, 0))
	worker.Draining = true
	if err := r.Update(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it drains", look(0, 1))
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "none is left", look(0, 0))
}

// help is the help text of a metric, for what compares a whole page.
func help(t testing.TB, g prometheus.Gatherer, name string) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetHelp()
		}
	}
	t.Fatalf("no %s", name)
	return ""
}

// A sampled job's wait links to its trace.
func TestWaitExemplar(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv)
	_, js := stranger(t, srv)
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, flags := range []string{"01", "00"} {
		publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "ada"),
			nats.Header{schemas.HeaderTraceParent: {"00-" + id + "-00f067aa0ba902b7-" + flags}}, string(encoded(t, body("x"))))
		finish(t, claim(t, claimer(t, q, "w")))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var links []string
	for _, f := range families {
		if f.GetName() != "semantic_queue_wait_seconds" {
			continue
		}
		for _, bucket := range f.GetMetric()[0].GetHistogram().GetBucket() {
			for _, label := range bucket.GetExemplar().GetLabel() {
				links = append(links, label.GetName()+"="+label.GetValue())
			}
		}
	}
	if len(links) != 1 || links[0] != "trace_id="+id {
		t.Errorf("exemplars %v", links)
	}
}
