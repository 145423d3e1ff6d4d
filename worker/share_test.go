package worker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// put stores a job of a class.
func (h *house) put(class schemas.Class, job schemas.Job) queue.Ticket {
	h.t.Helper()
	ticket, err := h.queue.Submit(h.t.Context(), queue.Submission{Job: job, RequestID: "req-1", Class: class})
	requireNoError(h.t, err)
	return ticket
}

func asked(agent string) func(*schemas.Job) { return func(job *schemas.Job) { job.Agent = agent } }

// Both places are held by long batch jobs; an interactive job starts all the same,
// and they go on where they were, at no attempt's cost. Of the class that is
// beneath nothing more is claimed meanwhile.
func TestInteractiveTakesABatchPlace(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.sim.Sequences = 2 })
	batch := make([]queue.Ticket, 3)
	jobs := make([]schemas.Job, len(batch))
	followers := make([]*queue.Follower, len(batch))
	for i := range batch {
		jobs[i] = prompt(fmt.Sprintf("job %d words=60", i))
		batch[i] = h.put(schemas.ClassBatch, jobs[i])
		followers[i] = h.follow(batch[i])
	}
	eventually(t, "both places are taken", func() bool { return len(w.engine.Snapshot().Requests) == 2 })
	g.step(t, 3)
	now := h.put(schemas.ClassInteractive, prompt("at once words=3"))
	eventually(t, "it is in the engine", func() bool { return len(w.engine.Snapshot().Requests) == 3 })
	// Its prompt and its answer, beside the job that keeps its place.
	follower := h.follow(now)
	urgent := func(r engine.RequestState) bool { return r.Class == 0 }
	for slices.ContainsFunc(w.engine.Snapshot().Requests, urgent) {
		g.step(t, 1)
	}
	h.rest(follower, record{t: t}).done()
	if n := w.engine.Snapshot().Preemptions; n != 1 {
		t.Errorf("%d preemptions, want 1", n)
	}
	g.open()
	for i, follower := range followers {
		r := h.rest(follower, record{t: t})
		r.done()
		if want, _ := reference(t, jobs[i]); r.text() != want {
			t.Errorf("batch job %d said %q, want %q", i, r.text(), want)
		}
		if starts := r.started(); len(starts) != 1 || strings.Contains(r.types(), "requeued") {
			t.Errorf("batch job %d: %s", i, r.types())
		}
	}
	h.emptied()
}

// One agent's many jobs and another's one: it is the next, or the one after what
// was on its way.
func TestOneAgentDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	const many = 100
	h := newHouse(t)
	g := newGate(t)
	metrics := prometheus.NewRegistry()
	w := h.start(gated(g), func(s *setup) {
		s.sim.Sequences, s.queue = 1, func(o *queue.Options) { o.Registerer = metrics }
	})
	heard := &instance{t: t, registry: metrics}
	crowd := make([]queue.Ticket, many)
	for i := range crowd {
		crowd[i] = h.submit(prompt(fmt.Sprintf("job %d %s words=2", i, strings.Repeat("word ", 40)), asked("busy")))
	}
	eventually(t, "the first runs", func() bool { return len(w.engine.Snapshot().Requests) == 1 })
	one := h.submit(prompt("words=2", asked("other")))
	eventually(t, "its bell is heard", func() bool { return heard.metric("semantic_queue_doorbells_total") == many+1 })
	g.open()
	begun := func(ticket queue.Ticket) time.Time {
		for _, event := range h.result(ticket).events {
			if event.Started != nil {
				return event.Time
			}
		}
		t.Fatal("it did not start")
		return time.Time{}
	}
	at, before := begun(one), 0
	for _, ticket := range crowd {
		if begun(ticket).Before(at) {
			before++
		}
	}
	if before > 2 {
		t.Errorf("%d of %d jobs of the other agent came before it", before, many)
	}
	h.emptied()
}

// A job that is too long for one worker is done by another that can hold it,
// whoever claims it first, and costs no attempt; where none lives that can, it
// fails.
func TestLongJobsGoToALongContext(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	size := func(n int) func(*setup) {
		return func(s *setup) {
			s.sim.Context, s.sim.Cells = n, 4*n
			// Nobody takes for the other what that is slow to take.
			s.queue = func(o *queue.Options) { o.Config.StealAfter = patience }
		}
	}
	small := h.start(named("small"), size(200))
	big := h.start(named("big"), size(2000))
	eventually(t, "they know each other", func() bool {
		for _, w := range []*instance{small, big} {
			if workers, err := w.queue.Workers(t.Context()); err != nil || len(workers) != 2 {
				return false
			}
		}
		return true
	})
	tickets := make([]queue.Ticket, queue.Flows)
	for i := range tickets {
		tickets[i] = h.submit(prompt(strings.Repeat("word ", 300)+"words=3", asked(fmt.Sprintf("agent %d", i))))
	}
	for _, ticket := range tickets {
		r := h.result(ticket)
		r.done()
		if starts := r.started(); len(starts) != 1 || starts[0].Worker != "big" || starts[0].Attempt != 1 {
			t.Errorf("%s: started as %+v", r.types(), starts)
		}
	}
	if small.metric("semantic_worker_jobs_total", "handed_back") == 0 {
		t.Error("the small worker was offered none of them")
	}
	h.result(h.submit(prompt(strings.Repeat("word ", 3000)))).failed(schemas.CodeContextLengthExceeded)

	requireNoError(t, big.drained())
	h.result(h.submit(prompt(strings.Repeat("word ", 300)))).failed(schemas.CodeContextLengthExceeded)
	h.emptied()
}
