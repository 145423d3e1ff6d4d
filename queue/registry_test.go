package queue_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

func status(id, incarnation, fingerprint string) schemas.WorkerStatus {
	return schemas.WorkerStatus{
		Version: schemas.Version, ID: id, Incarnation: incarnation, Host: "h", Release: "r", Model: model, Fingerprint: fingerprint,
		Backend: "sim", Context: 100, Cells: 100, CellsFree: 100, Capacity: 4, StartedAt: time.Now(), UpdatedAt: time.Now(),
	}
}

// lasting makes entries of workers that do not run out while a test lasts, whoever is
// held up.
func lasting(o *queue.Options) { o.Config.RegistryTTL = 5 * time.Minute }

func register(t testing.TB, q *queue.Queue, s schemas.WorkerStatus) *queue.Registration {
	t.Helper()
	r, err := q.Register(within(t, time.Minute), s)
	if err != nil {
		t.Fatalf("register: %v", err)
	}
	t.Cleanup(func() { _ = r.Close(t.Context()) })
	return r
}

func workers(t testing.TB, q *queue.Queue) []string {
	t.Helper()
	list, err := q.Workers(within(t, time.Minute))
	if err != nil {
		t.Fatalf("workers: %v", err)
	}
	names := []string{}
	for _, w := range list {
		names = append(names, w.ID+" "+w.Incarnation)
	}
	return names
}

func waitWorkers(t testing.TB, q *queue.Queue, want ...string) {
	t.Helper()
	if want == nil {
		want = []string{}
	}
	waitFor(t, func() bool { return slices.Equal(workers(t, q), want) })
}

func TestRegistry(t *testing.T) {
	srv := queuetest.Start(t)
	q, reader := queuetest.Open(t, srv, fast), queuetest.Open(t, srv, fast)
	waitWorkers(t, reader)
	a := register(t, q, status("a/1", "i1", "f"))
	b := register(t, q, status("b", "i1", "f"))
	waitWorkers(t, reader, "a/1 i1", "b i1")
	changed := status("b", "i1", "f")
	changed.Draining = true
	if err := b.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		list, err := reader.Workers(t.Context())
		return err == nil && len(list) == 2 && list[1].Draining
	})
	// Entries outlive their TTL as long as the worker lives.
	lifetime := time.NewTimer(2 * q.Config().RegistryTTL)
	<-lifetime.C
	waitWorkers(t, reader, "a/1 i1", "b i1")
	// A restarted worker replaces its entry, also with other weights; the old
	// one's goodbye does not remove it.
	a2 := register(t, q, status("a/1", "i2", "f"))
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitWorkers(t, reader, "a/1 i2", "b i1")
	for range 2 {
		if err := b.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	waitWorkers(t, reader, "a/1 i2")
	if err := b.Update(t.Context(), changed); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("update after close: %v", err)
	}
	if err := a2.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitWorkers(t, reader)
	models, err := q.Models(t.Context())
	if err != nil || !slices.Equal(models, []string{model}) {
		t.Errorf("models %v, %v", models, err)
	}
	var field *schemas.FieldError
	if _, err := q.Register(t.Context(), schemas.WorkerStatus{Model: "m"}); !errors.As(err, &field) {
		t.Errorf("no id: %v", err)
	}
}

func TestFingerprintRefused(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, lasting)
	r := register(t, q, status("a", "i", "good"))
	_, err := q.Register(t.Context(), status("b", "i", "other"))
	var refused *queue.FingerprintError
	if !errors.As(err, &refused) || *refused != (queue.FingerprintError{Model: model, Ours: "other", Theirs: "good", Worker: "a"}) {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(err.Error(), "good") || !strings.Contains(err.Error(), "other") {
		t.Errorf("text %v", err)
	}
	waitWorkers(t, q, "a i")
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	register(t, q, status("b", "i", "other"))
}

// TestRegistryExpiry: a worker that dies without a word is gone after the TTL,
// and its attempt counts as a death.
func TestRegistryExpiry(t *testing.T) {
	t.Parallel() // it waits most of the time
	srv := queuetest.Start(t)
	// Entries are written every third of it: who lives may be held up for the rest.
	ttl := func(o *queue.Options) { o.Config.RegistryTTL = 7 * time.Second }
	reader := queuetest.Open(t, srv, fast, ttl)
	dying := queuetest.Open(t, srv, fast, ttl)
	register(t, reader, status("b", "b-1", "f"))
	r := register(t, dying, status("a", "a-1", "f"))
	register(t, reader, status("c", "c-1", "f"))
	waitWorkers(t, reader, "a a-1", "b b-1", "c c-1")
	submit(t, reader, queue.Submission{Job: body("x")})
	d := claim(t, claimer(t, reader, "b"))
	// Three attempts by a, b and c: b is the claimer itself, c lives.
	add(t, d, started("a", "a-1", 1), requeued("a", "a-1"), started("a", "a-1", 2), started("c", "c-1", 3), started("b", "b-1", 4))
	again := claim(t, claimer(t, reader, "b"))
	if n := again.Guilt().Deaths; n != 0 {
		t.Fatalf("%d deaths while all live", n)
	}
	if err := dying.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = r
	waitWorkers(t, reader, "b b-1", "c c-1")
	if n := again.Guilt().Deaths; n != 1 {
		t.Errorf("%d deaths, want a's second attempt", n)
	}
	// Replaced is dead, too.
	register(t, reader, status("a", "a-2", "f"))
	waitWorkers(t, reader, "a a-2", "b b-1", "c c-1")
	if n := again.Guilt().Deaths; n != 1 {
		t.Errorf("%d deaths after a restart", n)
	}
}

// TestRegistryAfterRestart: entries are written again at once, and watchers
// see the workers as before.
func TestRegistryAfterRestart(t *testing.T) {
	srv := queuetest.Start(t)
	q, reader := queuetest.Open(t, srv, fast), queuetest.Open(t, srv, fast)
	register(t, q, status("a", "i", "f"))
	waitWorkers(t, reader, "a i")
	srv.Restart(t)
	waitFor(t, func() bool { return q.Healthy() == nil && reader.Healthy() == nil })
	waitWorkers(t, reader, "a i")
	register(t, q, status("b", "i", "f"))
	waitWorkers(t, reader, "a i", "b i")
}

// TestDepth: queued and running add up to what is stored, by model and class.
func TestDepth(t *testing.T) {
	srv := queuetest.Start(t)
	registry := prometheus.NewPedanticRegistry()
	q := queuetest.Open(t, srv, fast, unhurried, func(o *queue.Options) {
		o.Registerer, o.Overview = registry, registry
	})
	register(t, q, status("w", "w-1", "f"))
	c := claimer(t, q, "w")
	for range 5 {
		submit(t, q, queue.Submission{Job: body("x")})
	}
	submit(t, q, queue.Submission{Class: schemas.ClassBatch, Job: body("x")})
	other := body("x")
	other.Model = "other"
	submit(t, q, queue.Submission{Job: other})
	d := claim(t, c)
	claim(t, c)
	depth, err := q.Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []queue.Depth{
		{Model: "other", Class: schemas.ClassNormal, Queued: 1},
		{Model: model, Class: schemas.ClassInteractive},
		{Model: model, Class: schemas.ClassNormal, Queued: 3, Running: 2},
		{Model: model, Class: schemas.ClassBatch, Queued: 1},
	}
	if !slices.Equal(depth, want) {
		t.Fatalf("depth %+v", depth)
	}
	expected := `
# HELP semantic_request_queue_depth ` + help(t, registry, "semantic_request_queue_depth") + `
# TYPE semantic_request_queue_depth gauge
semantic_request_queue_depth{class="normal",model="unknown",state="queued"} 1
semantic_request_queue_depth{class="normal",model="unknown",state="running"} 0
semantic_request_queue_depth{class="interactive",model="qwen/3:8b ü",state="queued"} 0
semantic_request_queue_depth{class="interactive",model="qwen/3:8b ü",state="running"} 0
semantic_request_queue_depth{class="normal",model="qwen/3:8b ü",state="queued"} 3
semantic_request_queue_depth{class="normal",model="qwen/3:8b ü",state="running"} 2
semantic_request_queue_depth{class="batch",model="qwen/3:8b ü",state="queued"} 1
semantic_request_queue_depth{class="batch",model="qwen/3:8b ü",state="running"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(expected),
		"semantic_request_queue_depth"); err != nil {
		t.Error(err)
	}
	add(t, d, started("w", "w-1", 1), done())
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
	// Without a broker the depth is absent, not zero.
	srv.Stop()
	waitFor(t, func() bool { return errors.Is(q.Healthy(), queue.ErrUnavailable) })
	if n, err := testutil.GatherAndCount(registry, "semantic_request_queue_depth"); err != nil || n != 0 {
		t.Errorf("%d series without a broker, %v", n, err)
	}
}

// A broker without room for the entry says so, and takes it when it has room.
func TestRegisterWithoutRoom(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, lasting)
	register(t, q, status("a", "i1", "f"))
	_, js := stranger(t, srv)
	for _, bucket := range []string{"KV_models", "KV_workers"} {
		stream, err := js.Stream(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		whole := stream.CachedInfo().Config
		tight := whole
		tight.MaxBytes = int64(stream.CachedInfo().State.Bytes) + 1
		if _, err := js.UpdateStream(t.Context(), tight); err != nil {
			t.Fatal(err)
		}
		other := status("b", "i1", "f")
		other.Model = "model of " + bucket
		if _, err := q.Register(within(t, time.Minute), other); !errors.Is(err, queue.ErrStorageFull) {
			t.Errorf("%s is full: %v", bucket, err)
		}
		if _, err := js.UpdateStream(t.Context(), whole); err != nil {
			t.Fatal(err)
		}
	}
	register(t, q, status("b", "i1", "f"))
}
