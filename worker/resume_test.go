package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// mortal is a worker that dies: it claims a job and logs as a worker does, then
// does nothing more, not even heartbeats, and is in no registry.
type mortal struct {
	h           *house
	queue       *queue.Queue
	vocabulary  engine.Vocabulary
	template    *chat.Template
	fingerprint string
	incarnation string
	alone       bool // what it says at a start
}

func (h *house) mortal(incarnation string) *mortal {
	h.t.Helper()
	backend, err := sim.New(sim.Options{Name: modelName, Sequences: 8})
	requireNoError(h.t, err)
	h.t.Cleanup(func() { requireNoError(h.t, backend.Close()) })
	template, err := chat.Parse(chatTemplate, modelName, "", "")
	requireNoError(h.t, err)
	return &mortal{
		h: h, queue: h.queue, template: template, vocabulary: backend.Vocabulary(),
		fingerprint: backend.Info().Fingerprint, incarnation: incarnation,
	}
}

// claim takes the next job.
func (m *mortal) claim() *queue.Delivery {
	m.h.t.Helper()
	ctx, cancel := context.WithTimeout(m.h.t.Context(), patience)
	defer cancel()
	claimer, err := m.queue.NewClaimer(ctx, queue.ClaimOptions{Model: modelName, WorkerID: "mortal", Incarnation: m.incarnation})
	requireNoError(m.h.t, err)
	defer claimer.Close()
	delivery, err := claimer.Next(ctx)
	requireNoError(m.h.t, err)
	return delivery
}

func (m *mortal) start(d *queue.Delivery, attempt int, seed int64) {
	m.h.t.Helper()
	job, err := d.Job()
	requireNoError(m.h.t, err)
	text, err := m.template.Render([]chat.Message{{Role: "user", Content: job.Messages[0].Content}})
	requireNoError(m.h.t, err)
	prompt, err := m.vocabulary.Tokenize(text, true)
	requireNoError(m.h.t, err)
	m.append(d, schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
		Attempt: attempt, Worker: "mortal", Incarnation: m.incarnation, Fingerprint: m.fingerprint, Seed: seed, PromptTokens: len(prompt),
		Alone: m.alone,
	}})
}

// emit logs tokens, as their text after those before says.
func (m *mortal) emit(d *queue.Delivery, stop []string, before, tokens []int32) {
	m.h.t.Helper()
	old, _ := engine.ReplayText(m.vocabulary, stop, false, before)
	all, _ := engine.ReplayText(m.vocabulary, stop, false, slices.Concat(before, tokens))
	m.output(d, schemas.Output{Tokens: tokens, Text: strings.TrimPrefix(all, old)})
}

// output logs an output.
func (m *mortal) output(d *queue.Delivery, out schemas.Output) {
	m.h.t.Helper()
	m.append(d, schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: out}})
}

func (m *mortal) append(d *queue.Delivery, event schemas.Event) {
	m.h.t.Helper()
	requireNoError(m.h.t, d.Append(m.h.t.Context(), event))
}

// die gives a job back as the server does when the claim of one that died runs out,
// but now.
func (m *mortal) die(d *queue.Delivery) {
	m.h.t.Helper()
	requireNoError(m.h.t, d.HandBack(m.h.t.Context()))
}

// runOut makes the claim run out of a job that is in the hands of a worker that was
// cut off.
func (h *house) runOut(ticket queue.Ticket) {
	h.t.Helper()
	m := h.mortal("passing by")
	m.queue = queuetest.Open(h.t, h.srv, h.options, func(o *queue.Options) { o.Config.AckWait = time.Second })
	var claimed []*queue.Delivery // what is handed back is offered before what runs out
	for found := false; !found; {
		d := m.claim()
		claimed, found = append(claimed, d), d.JobID == ticket.JobID
	}
	for _, d := range claimed {
		m.die(d)
	}
}

// A stream that has grown over a worker's context waits for one that can hold it.
func TestAStreamThatIsTooLongHereWaits(t *testing.T) {
	t.Parallel()
	job := prompt("a long story words=60")
	text, tokens := reference(t, job)
	h := newHouse(t)
	ticket := h.submit(job)
	m := h.mortal("dead")
	d := m.claim()
	m.start(d, 1, 42)
	m.emit(d, nil, nil, tokens[:40])
	m.die(d)
	small := h.start(named("small"), func(s *setup) { s.sim.Context, s.config.MaxRetryDelay = 48, 4*time.Second })
	eventually(t, "it is given back", func() bool { return small.metric("semantic_worker_resume_failed_total", "context") >= 1 })
	h.start(named("large"))
	r := h.result(ticket)
	r.done()
	if r.text() != text || small.metric("semantic_worker_resumed_total") != 0 {
		t.Errorf("it said %q, want %q", r.text(), text)
	}
}

// Wherever the first worker died, the stream is the uninterrupted one: sampled
// and greedy, with a stop string, with text held back at the cut.
func TestResumeAfterDeath(t *testing.T) {
	t.Parallel()
	hot, seed, limit := 1.0, int64(42), 25
	for name, change := range map[string]func(*schemas.Job){
		"greedy":     func(*schemas.Job) {},
		"sampled":    func(j *schemas.Job) { j.Temperature, j.Seed = &hot, &seed },
		"max_tokens": func(j *schemas.Job) { j.MaxTokens = &limit },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			job := prompt("a long story words=60", change)
			text, tokens := reference(t, job)
			for _, cut := range []int{0, 1, 7, 20, len(tokens) - 1} {
				h := newHouse(t)
				ticket := h.submit(job)
				m := h.mortal("dead")
				d := m.claim()
				m.start(d, 1, 42)
				if cut > 0 {
					m.emit(d, nil, nil, tokens[:cut/2])
					m.emit(d, nil, tokens[:cut/2], tokens[cut/2:cut])
				}
				m.die(d)
				w := h.start()
				r := h.result(ticket)
				done := r.done()
				if r.text() != text || !slices.Equal(r.tokens(), tokens) {
					t.Errorf("cut at %d: %q, want %q", cut, r.text(), text)
				}
				if done.Usage.CompletionTokens != len(tokens) {
					t.Errorf("cut at %d: usage %+v, want %d tokens", cut, done.Usage, len(tokens))
				}
				if s := r.started(); len(s) != 2 || s[1].Attempt != 2 || s[1].Seed != 42 || s[1].Worker != "w1" {
					t.Errorf("cut at %d: started %+v", cut, s)
				}
				h.emptied()
				if cut > 0 { // the gap is counted after the last event is stored
					eventually(t, "one resume and its gap are counted", func() bool {
						return w.metric("semantic_worker_resumed_total") == 1 && w.metric("semantic_worker_resume_gap_seconds") == 1
					})
				}
				requireNoError(t, w.drained())
			}
		})
	}
}

// The log ends in the middle of what could be the stop string: what was held
// back is still held back, and the stop string is never shown.
func TestResumeInsideAStopString(t *testing.T) {
	t.Parallel()
	plain, _ := reference(t, prompt("stop story words=40"))
	words := strings.Fields(plain)
	stop := strings.Join(words[20:23], " ")
	job := prompt("stop story words=40", func(j *schemas.Job) { j.Stop = []string{stop} })
	text, tokens := reference(t, job)
	if strings.Contains(text, stop) || text == plain {
		t.Fatalf("the stop string %q does not end %q", stop, plain)
	}
	for back := 1; back < 6; back++ {
		cut := len(tokens) - back
		h := newHouse(t)
		ticket := h.submit(job)
		m := h.mortal("dead")
		d := m.claim()
		m.start(d, 1, 1)
		m.emit(d, job.Stop, nil, tokens[:cut])
		m.die(d)
		w := h.start()
		r := h.result(ticket)
		if r.text() != text || r.done().FinishReason != schemas.FinishStop {
			t.Errorf("cut %d tokens before the end: %q, want %q", back, r.text(), text)
		}
		requireNoError(t, w.drained())
	}
}

// Three deaths that brought nothing forward, the last two of them alone; one that
// did is not among them.
func TestThreeDeathsAreEnough(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	job := prompt("poison words=30")
	_, tokens := reference(t, job)
	ticket := h.submit(job)
	for i := range 4 {
		m := h.mortal(fmt.Sprintf("dead-%d", i))
		d := m.claim()
		m.alone = i > 1
		m.start(d, i+1, 1)
		if i == 0 {
			m.emit(d, nil, nil, tokens[:2])
		}
		m.die(d)
	}
	w := h.start()
	r := h.result(ticket)
	failed := r.failed(schemas.CodeWorkerLost)
	if failed.Message != "4 workers died while they ran this job: mortal (4 times). 2 of them had no other job. It is not tried again; "+
		"`semantic dead show "+ticket.JobID+"` has the evidence." || failed.Usage == nil || failed.Usage.CompletionTokens != 2 {
		t.Errorf("failed %+v", failed)
	}
	if w.engine.Snapshot().Steps != 0 {
		t.Error("the engine was touched")
	}
	h.emptied()
}

// A handover costs no attempt, however often.
func TestHandoversAreNoDeaths(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	job := prompt("often moved words=30")
	text, _ := reference(t, job)
	ticket := h.submit(job)
	for i := range 5 {
		m := h.mortal(fmt.Sprintf("drained-%d", i))
		d := m.claim()
		m.start(d, i+1, 1)
		m.append(d, schemas.Event{Type: schemas.EventRequeued, Requeued: &schemas.Requeued{
			Worker: "mortal", Incarnation: m.incarnation, Reason: "shutdown",
		}})
		requireNoError(t, d.HandBack(t.Context()))
	}
	h.start()
	r := h.result(ticket)
	if r.done(); r.text() != text || r.started()[5].Attempt != 6 {
		t.Errorf("%q: %q", r.types(), r.text())
	}
}

// A stream that began under other weights waits for a worker that has them, and
// ends at its deadline without one.
func TestResumeNeverCrossesFingerprints(t *testing.T) {
	t.Parallel()
	// How often it is offered before its deadline is the machine's business.
	for deadline := 1500 * time.Millisecond; deadline < patience; deadline *= 2 {
		h := newHouse(t)
		ticket := h.submit(prompt("words=30", func(j *schemas.Job) { j.DeadlineMS = deadline.Milliseconds() }))
		m := h.mortal("dead")
		m.fingerprint = "other weights"
		d := m.claim()
		m.start(d, 1, 1)
		m.die(d)
		w := h.start()
		r := h.result(ticket)
		if r.last().Expired == nil || !r.last().Expired.Started || r.types() != "submitted started expired" {
			t.Errorf("events %q: %+v", r.types(), r.last())
		}
		times := w.metric("semantic_worker_jobs_total", "handed_back")
		requireNoError(t, w.drained())
		if w.engine.Snapshot().Steps != 0 {
			t.Error("the engine was touched")
		}
		lines := w.logs.lines(t, unfitLine)
		if times > 0 && len(lines) != 1 {
			t.Errorf("%d lines about it: %v", len(lines), lines)
		}
		if times >= 2 {
			return
		}
	}
	t.Error("it was never handed back twice before its deadline")
}

// Cancelling a job that waits for other weights ends it at once.
func TestCancelWhileHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ticket := h.submit(prompt("words=30"))
	m := h.mortal("dead")
	m.fingerprint = "other weights"
	d := m.claim()
	m.start(d, 1, 1)
	m.die(d)
	w := h.start(func(s *setup) { s.config.RetryDelay = time.Minute })
	eventually(t, "it is held", func() bool { return w.metric("semantic_worker_jobs_total", "handed_back") > 0 })
	requireNoError(t, h.queue.Cancel(t.Context(), ticket.Owner, ticket.JobID, "requested"))
	if r := h.result(ticket); r.last().Cancelled == nil {
		t.Errorf("ended as %+v", r.last())
	}
}

// A log that says something else than the model would is not continued.
func TestContradictionInTheLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	job := prompt("words=30")
	_, tokens := reference(t, job)
	ticket := h.submit(job)
	m := h.mortal("dead")
	d := m.claim()
	m.start(d, 1, 1)
	m.output(d, schemas.Output{Tokens: tokens[:4], Text: "something else"})
	m.die(d)
	w := h.start()
	failed := h.result(ticket).failed(schemas.CodeInternal)
	if !strings.Contains(failed.Message, "contradicts") {
		t.Errorf("failed %+v", failed)
	}
	requireNoError(t, w.drained())
	if lines := w.logs.lines(t, "job failed"); len(lines) != 1 || lines[0]["code"] != "internal_error" {
		t.Errorf("log lines %v", lines)
	}
}

// The worker before died between the end and the acknowledgement.
func TestEndedBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ticket := h.submit(prompt("words=30"))
	m := h.mortal("dead")
	d := m.claim()
	m.append(d, schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{Code: schemas.CodeEngineFailed, Message: "x"}})
	m.die(d)
	w := h.start()
	h.emptied()
	eventually(t, "counted", func() bool { return w.metric("semantic_worker_jobs_total", "ended_before") == 1 })
	h.result(ticket).failed(schemas.CodeEngineFailed)
}
