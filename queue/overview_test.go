package queue_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

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
	q, registry := watched(t, srv, unhurried)
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
	var ages map[string]float64
	eventually(t, "their age is seen", func() bool {
		ages = series(t, registry, "semantic_queue_oldest_seconds")
		return ages["unknown normal queued "] > 0
	})
	if len(ages) != len(want) {
		t.Errorf("ages %v", ages)
	}
}

// The leader knows how old the oldest jobs are, waiting and running, and which
// deadline comes first; who does not lead says nothing.
func TestAges(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	q, registry := watched(t, srv, patient, func(o *queue.Options) {
		unhurried(o)
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
	if err := q.Cancel(within(t, time.Minute), "c", sooner.JobID, "requested"); err != nil {
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
	eventually(t, "none waits, and the second runs", func() bool {
		ages := series(t, registry, "semantic_queue_oldest_seconds")
		return ages[waiting] == 0 && ages[running] > 0 && least() == 0
	})
	stop()
	if n := len(series(t, registry, "semantic_queue_oldest_seconds")); n != 0 {
		t.Errorf("%d ages after the leader's end", n)
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
