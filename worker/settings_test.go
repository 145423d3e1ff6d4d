package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

const changed = "changed by an operator"

// batches is what semantic_batch_size has counted: steps, and the sequences in
// them.
func (i *instance) batches() (steps, sequences float64) {
	i.t.Helper()
	families, err := i.steps.Gather()
	requireNoError(i.t, err)
	for _, family := range families {
		if family.GetName() == "semantic_batch_size" {
			h := family.GetMetric()[0].GetHistogram()
			return float64(h.GetSampleCount()), h.GetSampleSum()
		}
	}
	return 0, 0
}

// The window that is set changes the measured batch size, without a restart: what
// began alone before is begun in company, and alone again when it is taken back.
func TestBatchWindowWhileItRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const places = 3
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.sim.Sequences = places })
	five := func(j *schemas.Job) { n := 5; j.MaxTokens = &n }
	// round asks for three answers, the first one before the others, and returns the
	// mean batch size.
	round := func(name string, alone bool) float64 {
		t.Helper()
		steps, sequences := w.batches()
		first := h.submit(prompt(name+" 1 words=6", five))
		if alone { // its first step begins: the others are not in it
			g.step(t, 1)
		} else { // it waits in the engine
			eventually(t, "the first one waits", func() bool {
				r, err := h.queue.Report(t.Context(), "w1")
				return err == nil && len(r.Jobs) == 1 && r.Jobs[0].Phase == queue.PhaseWaiting
			})
			if now, _ := w.batches(); now != steps {
				t.Errorf("%s: %v steps within the window", name, now-steps)
			}
		}
		tickets := []queue.Ticket{first}
		for _, rest := range []string{" 2", " 3"} {
			tickets = append(tickets, h.submit(prompt(name+rest+" words=6", five)))
		}
		letting, stop := context.WithCancel(t.Context())
		var steady sync.WaitGroup
		steady.Go(func() {
			for letting.Err() == nil {
				select {
				case g.permits <- struct{}{}:
				case <-letting.Done():
				}
			}
		})
		for _, ticket := range tickets {
			h.result(ticket).done()
		}
		stop()
		steady.Wait()
		var now, sum float64
		eventually(t, "the last step is counted, which is after its tokens are out", func() bool {
			now, sum = w.batches()
			return now == float64(w.engine.Snapshot().Steps)
		})
		return (sum - sequences) / (now - steps)
	}
	if mean := round("before", true); mean >= places {
		t.Errorf("without a window %v sequences in a step", mean)
	}
	c, again, err := heard(t, func() (queue.Changed, error) {
		return h.queue.SetBatchWindow(queue.WithActor(t.Context(), "anna"), "w1", time.Minute)
	})
	requireNoError(t, err)
	if c.Before.BatchWindowMS != 0 && !again || c.After.BatchWindowMS != 60_000 || c.Worker != "w1" {
		t.Errorf("changed %+v", c)
	}
	if mean := round("within", false); mean != places {
		t.Errorf("with a window %v sequences in a step, want %d", mean, places)
	}
	for range 2 { // the second changes nothing
		_, _, err = heard(t, func() (queue.Changed, error) { return h.queue.SetBatchWindow(t.Context(), "w1", 0) })
		requireNoError(t, err)
	}
	if mean := round("after", true); mean >= places {
		t.Errorf("without a window again %v sequences in a step", mean)
	}
	lines := w.logs.lines(t, changed)
	if len(lines) != 2 {
		t.Fatalf("%d changes in the log, want 2: %v", len(lines), lines)
	}
	if l := lines[0]; l["event"] != "admin.change" || l["who"] != "anna" || l["change"] != "batch_window" || l["before"] != 0.0 ||
		l["after"] != 60_000.0 || l["worker"] != "w1" {
		t.Errorf("audit line %v", l)
	}
}

// A paused worker ends what it runs, gives back what it has not begun, and takes
// nothing until it is told to; others take its jobs meanwhile.
func TestPause(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), named("w1"), func(s *setup) { s.sim.Sequences = 1 })
	running := h.submit(prompt("words=30"))
	follower := h.follow(running)
	g.step(t, 12)
	h.until(follower, 1)

	pause := func() (queue.Changed, error) { return h.queue.Pause(t.Context(), "w1") }
	c, again, err := heard(t, pause)
	requireNoError(t, err)
	if c.Before.Paused && !again || !c.After.Paused {
		t.Errorf("changed %+v", c)
	}
	status := func() schemas.WorkerStatus {
		s, err := h.queue.Worker(t.Context(), "w1")
		requireNoError(t, err)
		return s
	}
	eventually(t, "everybody sees that it takes none", func() bool { s := status(); return s.Draining && s.Paused })
	waiting := h.submit(prompt("words=3"))
	g.open()
	follower.Close()
	h.result(running).done()
	eventually(t, "it is idle", func() bool { return status().Running == 0 })
	requireNoError(t, h.queue.Healthy())
	if s, err := h.queue.State(t.Context(), waiting.Owner, waiting.JobID); err != nil || s.Status != queue.StatusQueued {
		t.Errorf("what came meanwhile is %s, %v", s.Status, err)
	}
	h.start(named("w2"))
	if r := h.result(waiting); r.started()[0].Worker != "w2" {
		t.Errorf("it was started by %s", r.started()[0].Worker)
	}

	c, again, err = heard(t, func() (queue.Changed, error) { return h.queue.Resume(t.Context(), "w1") })
	requireNoError(t, err)
	if !c.Before.Paused && !again || c.After.Paused {
		t.Errorf("changed %+v", c)
	}
	eventually(t, "it is there again", func() bool { s := status(); return !s.Draining && !s.Paused })
	h.drainAtOnce("w2")
	eventually(t, "w2 is gone", func() bool { _, err := h.queue.Worker(t.Context(), "w2"); return errors.Is(err, queue.ErrNoWorker) })
	if r := h.result(h.submit(prompt("words=4"))); r.started()[0].Worker != "w1" {
		t.Errorf("started by %s", r.started()[0].Worker)
	}

	// A paused one drains as any other, and is not resumed then.
	_, _, err = heard(t, pause)
	requireNoError(t, err)
	h.drainAtOnce("w1")
	requireNoError(t, w.join())
	eventually(t, "w1 is gone", func() bool { _, err := h.queue.Worker(t.Context(), "w1"); return errors.Is(err, queue.ErrNoWorker) })
	_, err = h.queue.Resume(t.Context(), "w1")
	requireError(t, err, queue.ErrNoWorker, "w1")
}

// A job that was offered before, and waits for its first step, goes back from a
// paused worker, and the log says why.
func TestPauseGivesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ticket := h.submit(prompt("words=3"))
	first, err := h.queue.NewClaimer(t.Context(), queue.ClaimOptions{Model: "sim", WorkerID: "w0", Incarnation: "w0-1"})
	requireNoError(t, err)
	d, err := first.Next(t.Context())
	requireNoError(t, err)
	requireNoError(t, d.HandBack(t.Context()))
	first.Close()

	w := h.start(named("w1"), func(s *setup) { s.engine.BatchWindow = time.Hour })
	eventually(t, "it is in the engine", func() bool { return len(w.engine.Snapshot().Requests) == 1 })
	_, err = h.queue.Pause(t.Context(), "w1")
	requireNoError(t, err)
	follower := h.follow(ticket)
	defer follower.Close()
	for {
		e, err := follower.Next(t.Context())
		requireNoError(t, err)
		if e.Requeued != nil && e.Requeued.Reason != schemas.ReasonPreparing {
			if e.Requeued.Reason != "paused" || e.Requeued.Worker != "w1" {
				t.Errorf("given back: %+v", e.Requeued)
			}
			return
		}
		if e.Started != nil {
			t.Fatal("it was started")
		}
	}
}

// A drain that goes on is no pause: nothing takes it back.
func TestNoResumeOfADrain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	follower := h.follow(h.submit(prompt("words=40")))
	g.step(t, 12)
	h.until(follower, 1)
	_, _, times := h.drain("w1", time.Hour)
	eventually(t, "it drains", func() bool { return len(w.logs.lines(t, "draining: waiting for running jobs")) > 0 })
	for _, change := range []func(context.Context, string) (queue.Changed, error){h.queue.Resume, h.queue.Pause} {
		_, _, err := heard(t, func() (queue.Changed, error) { return change(t.Context(), "w1") })
		var refused *queue.RefusedError
		if !errors.As(err, &refused) || !refused.Draining {
			t.Errorf("%v", err)
		}
	}
	lines := w.logs.lines(t, changed)
	if len(lines) != times || slices.ContainsFunc(lines, func(l map[string]any) bool { return l["change"] != "drain" }) {
		t.Errorf("audit lines %v", lines)
	}
	g.open()
	requireNoError(t, w.join())
}

// The level of the lines changes while they are written; the change itself is
// written at any level.
func TestLogLevelWhileItRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	level := new(slog.LevelVar)
	w := h.start(func(s *setup) { s.level = level }, func(s *setup) { s.metrics = "mini:9090" })
	for _, to := range []string{"error", "DEBUG"} {
		_, _, err := heard(t, func() (queue.Changed, error) { return h.queue.SetLogLevel(t.Context(), "w1", to) })
		requireNoError(t, err)
	}
	if level.Level() != slog.LevelDebug {
		t.Errorf("level %v", level.Level())
	}
	lines := w.logs.lines(t, changed)
	if len(lines) != 2 || lines[0]["before"] != "info" || lines[0]["after"] != "error" || lines[1]["after"] != "debug" {
		t.Errorf("audit lines %v", lines)
	}
	_, _, err := heard(t, func() (queue.Changed, error) { return h.queue.SetLogLevel(t.Context(), "w1", "loud") })
	refuses(t, err, "loud")
	if s, err := h.queue.Worker(t.Context(), "w1"); err != nil || s.MetricsAddr != "mini:9090" {
		t.Errorf("metrics at %q, %v", s.MetricsAddr, err)
	}
}

func refuses(t *testing.T, err error, text string) {
	t.Helper()
	var refused *queue.RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v", err)
	}
	requireError(t, err, refused, text)
}

// What a worker cannot do it says.
func TestRefusedChanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(func(s *setup) { s.config.MaxBatchWindow = 50 * time.Millisecond })
	for _, window := range []time.Duration{51 * time.Millisecond, -1} {
		_, _, err := heard(t, func() (queue.Changed, error) { return h.queue.SetBatchWindow(t.Context(), "w1", window) })
		refuses(t, err, "0 to 50ms")
	}
	_, _, err := heard(t, func() (queue.Changed, error) { return h.queue.SetLogLevel(t.Context(), "w1", "debug") })
	refuses(t, err, "fixed")
	_, err = h.queue.SetBatchWindow(t.Context(), "w2", 0)
	requireError(t, err, queue.ErrNoWorker, "w2")

	// What it does not know, it names.
	nc, _ := h.dial()
	answers, err := nc.SubscribeSync("semantic.answer.t1")
	requireNoError(t, err)
	requireNoError(t, nc.Publish("semantic.control.w1", []byte(`{"kind":"swap_model","answer":"t1"}`)))
	m, err := answers.NextMsg(patience)
	requireNoError(t, err)
	var report queue.WorkerReport
	requireNoError(t, json.Unmarshal(m.Data, &report))
	if report.Unknown != "swap_model" || report.Before != nil {
		t.Errorf("answer %s", m.Data)
	}
}

// Whoever sets at once: each change was made to what the one before had left, as
// the log has it, and a message that comes twice is one change.
func TestChangesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	nc, _ := h.dial()
	var all sync.WaitGroup
	for i := range 24 {
		all.Go(func() {
			if i%4 == 0 { // the same message, three times
				for range 3 {
					if err := nc.Publish("semantic.control.w1", []byte(`{"kind":"batch_window","window_ms":99,"answer":"again"}`)); err != nil {
						t.Error(err)
					}
				}
				return
			}
			for late := time.Now().Add(patience); ; {
				_, err := h.queue.SetBatchWindow(t.Context(), "w1", time.Duration(i)*time.Millisecond)
				if errors.Is(err, queue.ErrSilent) && time.Now().Before(late) {
					continue // the machine is busy
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	all.Wait()
	h.flush()
	last := h.report("w1")
	value, lines := any(0.0), w.logs.lines(t, changed)
	for _, l := range lines {
		if l["before"] != value {
			t.Errorf("from %v, but it was %v", l["before"], value)
		}
		value = l["after"]
	}
	if value != last.Settings.BatchWindowMS {
		t.Errorf("it is %v, the log says %v", last.Settings.BatchWindowMS, value)
	}
}

// A worker that ends in the middle leaves nobody waiting.
func TestChangeOfADyingWorker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	over := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				_, err := h.queue.SetBatchWindow(t.Context(), "w1", time.Millisecond)
				if err != nil && !errors.Is(err, queue.ErrSilent) && !errors.Is(err, queue.ErrNoWorker) {
					t.Errorf("%v", err)
				}
				select {
				case <-over:
					return
				default:
				}
				if errors.Is(err, queue.ErrNoWorker) {
					return
				}
			}
		})
	}
	w.stop()
	requireNoError(t, w.join())
	eventually(t, "it is gone", func() bool { _, err := h.queue.Worker(t.Context(), "w1"); return errors.Is(err, queue.ErrNoWorker) })
	close(over)
	asking.Wait()
}
