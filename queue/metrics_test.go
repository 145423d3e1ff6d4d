package queue_test

import (
	"context"
	"errors"
	"math"
	"regexp"
	"slices"
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
	if err := d.Ack(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

// Each metric of the queue moves when that happens which it counts.
func TestEveryMetricMoves(t *testing.T) {
	t.Parallel()
	all := &moves{Registry: prometheus.NewRegistry(), known: make(map[string]bool)}
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, patient, unhurried, func(o *queue.Options) { o.Registerer, o.Overview = all, all })
	// Its Submit gives up early, so that it soon takes for lost what is not stored.
	leaders := &moves{Registry: prometheus.NewRegistry(), known: all.known}
	leader := queuetest.Open(t, srv, brisk, func(o *queue.Options) {
		o.Registerer, o.Overview = leaders, leaders
		o.Config.EventRetention = time.Second
	})
	look := func() {
		t.Helper()
		all.look(t)
		leaders.look(t)
	}
	nc, js := stranger(t, srv)
	leave := serves(t, q, model)
	stop, whole := reconcile(t, leader), t
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
			if err := q.Cancel(within(t, time.Minute), "", d.JobID, "requested"); err != nil {
				t.Fatal(err)
			}
			if err := d.Append(t.Context(), started("w", "w-1", 1)); !errors.Is(err, queue.ErrFenced) {
				t.Fatal(err)
			}
		}},
		{"semantic_queue_deadline_missed_total", func(t *testing.T) {
			ticket := submit(t, q, queue.Submission{Job: body("x")})
			if err := q.Expire(within(t, time.Minute), "", ticket.JobID, time.Second); err != nil {
				t.Fatal(err)
			}
		}},
		{"semantic_queue_parked_total semantic_queue_replayed_total semantic_queue_dead", func(t *testing.T) {
			bury(t, claimed(t, q))
			look()
			if _, err := q.Replay(within(t, time.Minute), onlyDead(t, q), false); err != nil {
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
			c, err := q.NewClaimer(within(t, time.Minute), queue.ClaimOptions{Model: model, WorkerID: "w", Incarnation: "w-0"})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			add(t, claim(t, c), started("w", "w-0", 1))
			if err := jobs.DeleteMsg(t.Context(), ticket.Sequence); err != nil {
				t.Fatal(err)
			}
			publish(t, js, queue.JobSubject(model, schemas.ClassNormal, 3, "ada"), nil, string(encoded(t, urgent(1))))
			stop()
			stop = led(whole, leader, "they are found", func() bool {
				return metric(t, leaders.Registry, "semantic_queue_anomalies_total", "") > 0 &&
					metric(t, leaders.Registry, "semantic_queue_reconciled_total", "") > 0
			})
		}},
		{"semantic_queue_logs_purged_total semantic_queue_oldest_seconds semantic_queue_least_time_left_seconds", func(t *testing.T) {
			submit(t, q, queue.Submission{Job: body("x")})
			eventually(t, "an old log is purged, and a job waits", func() bool {
				look()
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
		look()
	}
	// Some are counted after what is counted can be seen.
	var still []string
	defer func() {
		if len(still) > 0 {
			t.Errorf("%v did not move", still)
		}
	}()
	eventually(t, "all have moved", func() bool {
		look()
		still = nil
		for name, moved := range all.known {
			if !moved {
				still = append(still, name)
			}
		}
		return len(still) == 0
	})
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
	q.SetSkew(time.Hour)
	d := claimed(t, q)
	if ahead := d.BrokerTime(d.ClaimedAt).Sub(d.ClaimedAt); ahead != time.Hour {
		t.Errorf("the broker's time is %v ahead", ahead)
	}
}

// Attempts, requeues and missed deadlines are counted by who writes the event.
func TestCountedEnds(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, fast, unhurried)
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
			if h.GetSampleCount() != 1 || h.Schema == nil { // has native buckets, too
				t.Errorf("waits %v", h)
			}
		}
	}
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
	q, registry := watched(t, srv, unhurried)
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
