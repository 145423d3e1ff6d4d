package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// A worker says what it has in its hands; one that hangs is told apart, not left
// out.
func TestReport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	defer g.open()
	h.start(gated(g), func(s *setup) { s.sim.Sequences = 1 })
	first := h.submit(prompt("words=400", func(j *schemas.Job) { j.Agent = "ada" }))
	follower := h.follow(first)
	g.step(t, 12)
	h.until(follower, 2)

	hung, err := h.queue.Register(t.Context(), schemas.WorkerStatus{
		Version: schemas.Version, ID: "hung", Incarnation: "x", Model: "other", Fingerprint: "f", Backend: "sim",
	})
	requireNoError(t, err)
	defer func() { requireNoError(t, hung.Close(t.Context())) }()

	var workers []queue.LiveWorker
	// The worker counts a token after it is in the log.
	eventually(t, "both are registered, and one says that it works", func() bool {
		workers, err = h.queue.Reports(t.Context())
		requireNoError(t, err)
		return len(workers) == 2 && workers[1].Report != nil && workers[1].Report.Tokens >= 2
	})
	if w := workers[0]; w.ID != "hung" || w.Report != nil || !errors.Is(w.Silent, queue.ErrSilent) {
		t.Errorf("the one that hangs: %+v", w)
	}
	w := workers[1]
	if w.Silent != nil || w.Report.Draining || w.Report.Tokens < 2 || len(w.Report.Jobs) != 1 {
		t.Fatalf("report %+v, %v", w.Report, w.Silent)
	}
	job := w.Report.Jobs[0]
	if job.JobID != first.JobID || job.Owner != queue.OwnerLocal || job.Class != schemas.ClassNormal || job.Agent != "ada" ||
		job.RequestID != "req-1" || job.Phase != queue.PhaseRunning || job.Attempt != 1 || job.StartedAt == nil ||
		job.PromptTokens == 0 || job.Tokens < 2 || job.TokensPerSecond <= 0 {
		t.Errorf("job %+v", job)
	}
}

// Nobody has a worker write its answer into a log, or crash it.
func TestControlAttacks(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	nc, js := h.dial()
	forged := queue.EventSubject(queue.OwnerLocal, "victim")
	for _, message := range []string{
		`{"kind":"report"}`, `{"kind":"report","answer":"a.b"}`, `{"kind":"report","answer":"*"}`, `{"kind":"drain","timeout_ms":"soon"}`,
		`{`, ``, `{"kind":"explode"}`, `{"kind":"batch_window"}`, `{"kind":"batch_window","window_ms":1e300}`,
		`{"kind":"batch_window","window_ms":-1}`,
		`{"kind":"batch_window","window_ms":"5"}`, `{"kind":"log_level"}`, `{"kind":"log_level","level":"loud"}`,
	} {
		requireNoError(t, nc.PublishRequest("semantic.control.w1", forged, []byte(message)))
	}
	// Who may only ask does not drain, nor change anything.
	for _, message := range []string{
		`{"kind":"drain","answer":"t1"}`, `{"kind":"pause","answer":"t2"}`, `{"kind":"batch_window","window_ms":7,"answer":"t3"}`,
	} {
		requireNoError(t, nc.PublishRequest("semantic.report.w1", forged, []byte(message)))
	}
	h.flush()
	report := h.report("w1") // it comes after those
	if report.Draining || report.Settings == nil || *report.Settings != (queue.WorkerSettings{}) {
		t.Errorf("it drains, or was changed: %+v", report)
	}
	if events, err := h.queue.Log(t.Context(), "", "victim"); err != nil || len(events) > 0 {
		t.Errorf("log of the victim: %v, %v", events, err)
	}
	events, err := js.Stream(t.Context(), "EVENTS")
	requireNoError(t, err)
	if n := events.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d entries in EVENTS", n)
	}
}

// A drain hands running jobs over at its limit; who asked hears what became of
// them, and the worker's Run returns nil.
func TestDrainByMessage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	first := h.start(gated(g), named("w1"), func(s *setup) { s.config.DrainTimeout = time.Hour })
	job := prompt("words=60")
	text, tokens := reference(t, job)
	ticket := h.submit(job)
	follower := h.follow(ticket)
	g.step(t, 12)
	r := h.until(follower, 1)

	// With the worker's own limit it goes on for long; a second, hasty drain counts.
	var report queue.WorkerReport
	slow, _, err := heard(t, func() (d *queue.Draining, err error) {
		d, report, err = h.queue.Drain(t.Context(), "w1", nil)
		return d, err
	})
	requireNoError(t, err)
	defer slow.Close()
	if !report.Draining || len(report.Jobs) != 1 {
		t.Errorf("accepted with %+v", report)
	}
	eventually(t, "it drains", func() bool { return len(first.logs.lines(t, "draining: waiting for running jobs")) > 0 })
	hasty := h.drainAtOnce("w1")
	eventually(t, "it hands over", func() bool { return len(first.logs.lines(t, "handed to another worker")) > 0 })
	g.open()
	for _, d := range append(hasty, slow) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		drained, err := d.Wait(ctx)
		cancel()
		if err != nil || drained == nil || *drained != (queue.Drained{HandedOver: 1}) {
			t.Errorf("drained %+v, %v", drained, err)
		}
	}
	requireNoError(t, first.join())
	h.start(named("w2"))
	r = h.rest(follower, r)
	if r.done(); r.text() != text || !slices.Equal(r.tokens(), tokens) {
		t.Errorf("%s: %q, want %q", r.types(), r.text(), text)
	}
	_, _, err = h.queue.Drain(t.Context(), "w1", nil)
	requireError(t, err, queue.ErrSilent, "w1")
}

// A stop in the midst of a long drain has the stop's own limit.
func TestStopDuringDrain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.config.DrainTimeout = 20 * time.Millisecond })
	follower := h.follow(h.submit(prompt("words=400")))
	g.step(t, 12)
	h.until(follower, 1)
	h.drain("w1", time.Hour)
	eventually(t, "it drains", func() bool { return len(w.logs.lines(t, "draining: waiting for running jobs")) > 0 })
	w.stop()
	eventually(t, "it hands over", func() bool { return len(w.logs.lines(t, "handed to another worker")) > 0 })
	g.open()
	requireNoError(t, w.join())
}

// The next worker has a job started soon after the first gave it up: nobody who
// reads along sees more than a pause, and no death is counted. How soon is told,
// not judged: the machine may be busy.
func TestHandoverIsQuick(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const jobs = 4
	text := func(i int) string { return fmt.Sprintf("stream %d words=200", i) }
	g := newGate(t)
	first := h.start(gated(g), named("w1"))
	var followers []*queue.Follower
	for i := range jobs {
		followers = append(followers, h.follow(h.submit(prompt(text(i)))))
	}
	g.generating(t, first, jobs)
	begun := make([]record, jobs)
	for i, follower := range followers {
		begun[i] = h.until(follower, 1)
	}
	h.start(named("w2"))
	draining, _, _ := h.drain("w1", time.Hour)
	h.drainAtOnce("w1")
	eventually(t, "it hands over", func() bool { return len(first.logs.lines(t, "handed to another worker")) > 0 })
	g.open()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if drained, err := draining.Wait(ctx); err != nil || drained == nil || drained.HandedOver != jobs {
		t.Fatalf("drained %+v, %v", drained, err)
	}
	var pauses []time.Duration
	for i, follower := range followers {
		r := h.rest(follower, begun[i])
		_, tokens := reference(t, prompt(text(i)))
		if r.done(); !slices.Equal(r.tokens(), tokens) || len(r.started()) != 2 {
			t.Errorf("stream %d: %s", i, r.types())
		}
		var given time.Time
		for _, e := range r.events {
			switch {
			case e.Requeued != nil && e.Requeued.Reason != schemas.ReasonPreparing:
				given = e.Time
			case e.Started != nil && e.Started.Worker == "w2":
				pauses = append(pauses, e.Time.Sub(given))
			}
		}
	}
	slices.Sort(pauses)
	t.Logf("from requeued to the next worker's started: %v", pauses)
}

// Who keeps the machine awake hears of every job's begin and end.
func TestWorking(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var begun, over atomic.Int64
	w := h.start(func(s *setup) {
		s.working = func() func() {
			begun.Add(1)
			return func() { over.Add(1) }
		}
	})
	for i := range 3 {
		h.result(h.submit(prompt(fmt.Sprintf("job %d words=3", i)))).done()
	}
	requireNoError(t, w.drained())
	if begun.Load() != 3 || over.Load() != 3 {
		t.Errorf("%d began and %d are over, want 3", begun.Load(), over.Load())
	}
}
