package queue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

func open(t testing.TB, srv *queuetest.Server, change ...func(*queue.Options)) *queue.Queue {
	t.Helper()
	o := queue.Options{URL: srv.ClientURL(), Config: queuetest.Patient()}
	for _, f := range change {
		f(&o)
	}
	q, err := queue.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close(t.Context()) })
	return q
}

func streamConfig(t testing.TB, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestEnsureMakesEverything(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	if err := q.Ensure(t.Context()); err != nil {
		t.Fatalf("again: %v", err)
	}
	_, js := stranger(t, srv)
	for _, name := range []string{
		"JOBS_INTERACTIVE", "JOBS_NORMAL", "JOBS_BATCH", "EVENTS", "DEAD", "KV_workers", "KV_models", "KV_agents", "KV_leases", "KV_secrets",
		"KV_exits", "OBJ_inputs", "OBJ_dead",
	} {
		c := streamConfig(t, js, name)
		if c.Metadata["semantic.topology"] != "1.2" || c.Storage != jetstream.FileStorage || !c.AllowDirect {
			t.Errorf("%s: %+v", name, c)
		}
	}
	normal := streamConfig(t, js, "JOBS_NORMAL")
	if normal.Retention != jetstream.WorkQueuePolicy || normal.Discard != jetstream.DiscardNew || !normal.DiscardNewPerSubject ||
		normal.MaxMsgs != 10_000 || normal.MaxMsgsPerSubject != 2_048 || !normal.RePublish.HeadersOnly {
		t.Errorf("JOBS_NORMAL: %+v", normal)
	}
}

func TestEnsureReportsForeignStream(t *testing.T) {
	srv := queuetest.Start(t)
	_, js := stranger(t, srv)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"their.events"}}); err != nil {
		t.Fatal(err)
	}
	err := open(t, srv).Ensure(t.Context())
	var topology *queue.TopologyError
	if !errors.As(err, &topology) || topology.Stream != "EVENTS" || topology.Have != "" || len(topology.Differences) == 0 {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(err.Error(), "not made by semantic") || !strings.Contains(err.Error(), "their.events") {
		t.Errorf("the text does not help: %v", err)
	}
	if c := streamConfig(t, js, "EVENTS"); c.Subjects[0] != "their.events" || c.Metadata["semantic.topology"] != "" {
		t.Errorf("the stream was changed: %+v", c)
	}
	// The rest was made all the same: one report names everything that is wrong.
	streamConfig(t, js, "JOBS_BATCH")
}

func TestEnsureVersions(t *testing.T) {
	srv := queuetest.Start(t)
	queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	c := streamConfig(t, js, "DEAD")
	put := func(version string, change func(*jetstream.StreamConfig)) {
		t.Helper()
		changed := c
		changed.Metadata = map[string]string{"semantic.topology": version}
		if change != nil {
			change(&changed)
		}
		if _, err := js.UpdateStream(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
	}
	check := func(have, text string) {
		t.Helper()
		err := open(t, srv).Ensure(t.Context())
		var topology *queue.TopologyError
		if !errors.As(err, &topology) || topology.Stream != "DEAD" || topology.Have != have || !strings.Contains(err.Error(), text) {
			t.Fatalf("error %v", err)
		}
	}
	put("0.9", nil)
	check("0.9", "this release needs 1.2")
	put("2.0", nil)
	check("2.0", "this release needs 1.2")
	put("1.2", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
	check("1.2", "changed by hand")
	put("1.7", func(c *jetstream.StreamConfig) { c.Description = "newer" })
	if err := open(t, srv).Ensure(t.Context()); err != nil {
		t.Fatalf("a newer minor version: %v", err)
	}
}

// TestEnsureNarrowsFlows: the streams of topology 1.0 took jobs of any flow. The
// step to 1.1 is made in place, under jobs that wait and a worker that claims,
// and holds over a restart.
func TestEnsureNarrowsFlows(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, unhurried)
	_, js := stranger(t, srv)
	publish := func(flow string) error {
		_, err := js.Publish(t.Context(), "semantic.jobs."+queue.Slug(model)+".normal."+flow+".local", encoded(t, body("x")),
			jetstream.WithRetryAttempts(0))
		return err
	}
	refused := func(flow string) {
		t.Helper()
		if err := publish(flow); !errors.Is(err, jetstream.ErrNoStreamResponse) {
			t.Errorf("a job in flow %s: %v, want no stream", flow, err)
		}
	}
	stored := func(flow string) {
		t.Helper()
		if err := publish(flow); err != nil {
			t.Errorf("a job in flow %s: %v", flow, err)
		}
	}
	refused("16")

	old := streamConfig(t, js, "JOBS_NORMAL")
	if len(old.Subjects) != queue.Flows {
		t.Fatalf("subjects %v", old.Subjects)
	}
	old.Subjects, old.Metadata = []string{"semantic.jobs.*.normal.*.*"}, map[string]string{"semantic.topology": "1.0"}
	if _, err := js.UpdateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	stored("16")
	stored("05")
	c := claimer(t, q, "w")
	before := claim(t, c)

	if err := q.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := streamConfig(t, js, "JOBS_NORMAL"); len(c.Subjects) != queue.Flows || c.Metadata["semantic.topology"] != "1.2" {
		t.Fatalf("not narrowed: %+v", c)
	}
	for _, flow := range []string{"16", "ab", "5", "005", "-1"} {
		refused(flow)
	}
	stored("00")
	stored("15")
	first, second := claim(t, c), claim(t, c)
	if first.Flow+second.Flow != 15 {
		t.Errorf("claimed flows %d and %d", first.Flow, second.Flow)
	}
	for _, d := range []*queue.Delivery{before, first, second} {
		add(t, d, done())
		if err := d.Ack(t.Context()); err != nil {
			t.Error(err)
		}
	}
	srv.Restart(t)
	q = queuetest.Open(t, srv, unhurried)
	_, js = stranger(t, srv) // what is sent over the lost connection may get no answer
	refused("16")
	stored("07")
	if d := claim(t, claimer(t, q, "w2")); d.Flow != 7 {
		t.Errorf("claimed flow %d", d.Flow)
	}
}

func TestApplyBounds(t *testing.T) {
	srv := queuetest.Start(t)
	queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	smaller := func(o *queue.Options) {
		o.Config.Bounds[schemas.ClassBatch] = queue.Bounds{MaxJobs: 7, MaxBytes: 1 << 20, MaxJobsPerFlow: 5}
		o.Config.MaxConsumers = 99
	}
	queuetest.Open(t, srv, smaller)
	if c := streamConfig(t, js, "JOBS_BATCH"); c.MaxMsgs != 100_000 {
		t.Fatalf("bounds changed without being asked: %+v", c)
	}
	queuetest.Open(t, srv, smaller, func(o *queue.Options) { o.Config.ApplyBounds = true })
	if c := streamConfig(t, js, "JOBS_BATCH"); c.MaxMsgs != 7 || c.MaxBytes != 1<<20 || c.MaxMsgsPerSubject != 5 {
		t.Fatalf("bounds not applied: %+v", c)
	}
}
