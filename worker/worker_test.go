package worker_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/worker"
)

func TestOneJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	job := prompt("say something words=40")
	job.Agent = "a1"
	follower := h.follow(h.submit(job))
	g.step(t, 4)
	begun := h.until(follower, 1)
	g.open()
	r := h.rest(follower, begun)

	done := r.done()
	text, tokens := reference(t, job)
	if r.text() != text || !slices.Equal(r.tokens(), tokens) {
		t.Fatalf("text %q, want %q", r.text(), text)
	}
	if got := r.types(); got != "submitted started delta done" {
		t.Errorf("events %q", got)
	}
	started := r.started()[0]
	if started.Attempt != 1 || started.Worker != "w1" || started.Fingerprint != w.engine.Info().Fingerprint || started.PromptTokens == 0 {
		t.Errorf("started %+v", started)
	}
	if done.FinishReason != schemas.FinishStop || done.Usage.CompletionTokens != len(tokens) ||
		done.Usage.PromptTokens != started.PromptTokens {
		t.Errorf("done %+v, %d tokens", done, len(tokens))
	}
	h.emptied()
	eventually(t, "the claim is counted", func() bool { return w.metric("semantic_worker_jobs_total", "done") == 1 })
	if n := w.metric("semantic_worker_first_token_seconds"); n != 1 {
		t.Errorf("%v observations of the first token", n)
	}
}

func TestEightTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	var tickets []queue.Ticket
	jobs := make([]schemas.Job, 8)
	for i := range jobs {
		jobs[i] = prompt(fmt.Sprintf("tell number %d words=%d", i, 30+i))
		jobs[i].Agent = fmt.Sprintf("agent-%d", i)
		tickets = append(tickets, h.submit(jobs[i]))
	}
	// The first step holds the engine; all eight are claimed into it.
	eventually(t, "all eight are in the engine", func() bool { return len(w.engine.Snapshot().Requests) == 8 })
	if n := w.metric("semantic_agents_active"); n != 8 {
		t.Errorf("%v agents active", n)
	}
	g.open()
	for i, ticket := range tickets {
		text, _ := reference(t, jobs[i])
		if r := h.result(ticket); r.text() != text {
			t.Errorf("job %d: %q, want %q", i, r.text(), text)
		}
	}
	h.emptied()
	eventually(t, "no agent is active", func() bool { return w.metric("semantic_agents_active") == 0 })
}

func TestClaimsNoMoreThanTheEngineHasRoomFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.sim.Sequences = 2 })
	tickets := make([]queue.Ticket, 5)
	for i := range tickets {
		tickets[i] = h.submit(prompt(fmt.Sprintf("job %d words=4", i)))
	}
	running := func() (running, queued int64) {
		depths, err := h.queue.Depth(t.Context())
		requireNoError(t, err)
		for _, d := range depths {
			running, queued = running+d.Running, queued+d.Queued
		}
		return running, queued
	}
	eventually(t, "two are claimed", func() bool { r, _ := running(); return r == 2 })
	g.step(t, 3)
	if r, q := running(); r > 2 || r+q != 5 {
		t.Errorf("%d claimed and %d waiting, want at most 2 of 5 claimed", r, q)
	}
	if room := w.engine.Room(); room.Waiting > 2 {
		t.Errorf("%d wait inside the engine", room.Waiting)
	}
	g.open()
	for _, ticket := range tickets {
		h.result(ticket).done()
	}
	h.emptied()
}

// A job whose prompt does not fit now waits with its claim; nothing is claimed
// behind it, and it runs when there is room.
func TestOneJobWaitsForCells(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.sim.Context, s.sim.Cells = 300, 300 })
	big := strings.Repeat("word ", 100)
	first := h.submit(prompt(big + "words=20"))
	follower := h.follow(first)
	g.step(t, 1)
	eventually(t, "the first runs", func() bool { return len(w.engine.Snapshot().Requests) == 1 })
	second := h.submit(prompt(big + big + "words=3"))
	eventually(t, "the second waits in the engine", func() bool { return w.engine.Room().Waiting == 1 })
	third := h.submit(prompt("words=3"))
	g.open()
	h.rest(follower, record{t: t}).done()
	h.result(second).done()
	h.result(third).done()
	h.emptied()
}

func TestBadJobsFailByName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start(func(s *setup) { s.sim.Context, s.sim.Cells = 200, 800 })
	const head = `{"v":1,"model":"sim",`
	const user = `"messages":[{"role":"user","content":"x"}]`
	for name, c := range map[string]struct {
		body  string
		code  schemas.Code
		param string
		says  string
	}{
		"not JSON":      {`{`, schemas.CodeInvalidRequest, "", ""},
		"unknown field": {head + user + `,"best_of":3}`, schemas.CodeUnknownParameter, "best_of", ""},
		"out of range":  {head + user + `,"temperature":9}`, schemas.CodeInvalidRequest, "temperature", ""},
		"too patient":   {head + user + `,"deadline_ms":86400001}`, schemas.CodeInvalidRequest, "deadline_ms", ""},
		"other model":   {`{"v":1,"model":"other",` + user + `}`, schemas.CodeInvalidRequest, "model", "other"},
		"template": {
			head + `"messages":[{"role":"user","content":"unrenderable"}]}`,
			schemas.CodeTemplateFailed, "messages", "this I do not render",
		},
		"too long": {
			head + `"max_tokens":150,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 100) + `"}]}`,
			schemas.CodeContextLengthExceeded, "messages", "200 tokens",
		},
	} {
		ticket := h.publish(name, c.body)
		failed := h.result(ticket).failed(c.code)
		if failed.Param != c.param || !strings.Contains(failed.Message, c.says) {
			t.Errorf("%s: failed %+v, want param %q", name, failed, c.param)
		}
	}
	h.emptied()
	eventually(t, "all are counted", func() bool { return w.metric("semantic_worker_jobs_total", "failed") == 7 })
	if steps := w.engine.Snapshot().Steps; steps != 0 {
		t.Errorf("the engine made %d steps", steps)
	}
	h.result(h.submit(prompt("words=3"))).done()
}

// Without max_tokens there is another sentence, and the seed and the sampling of
// a job that names none are drawn once and logged.
func TestDefaultsOfAJob(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(func(s *setup) { s.sim.Context, s.sim.Cells = 200, 800 })
	long := h.publish("long", `{"v":1,"model":"sim","messages":[{"role":"user","content":"`+strings.Repeat("word ", 300)+`"}]}`)
	if failed := h.result(long).failed(schemas.CodeContextLengthExceeded); strings.Contains(failed.Message, "max_tokens") {
		t.Errorf("failed %+v", failed)
	}
	plain := h.publish("plain", `{"v":1,"model":"sim","max_tokens":9,`+
		`"messages":[{"role":"developer","content":"be brief"},{"role":"user","content":"x"}]}`)
	r := h.result(plain)
	if done := r.done(); done.FinishReason != schemas.FinishLength || done.Usage.CompletionTokens != 9 || len(r.tokens()) != 9 {
		t.Errorf("done %+v", done)
	}
	if seed := r.started()[0].Seed; seed <= 0 || seed >= 1<<53 {
		t.Errorf("seed %d", seed)
	}
}

// A job's spans belong to the trace that its message carries.
func TestTraceGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	spans := tracetest.NewSpanRecorder()
	w := h.start(func(s *setup) { s.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)) })
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	h.result(h.publish("traced", `{"v":1,"model":"sim","messages":[{"role":"user","content":"x words=3"}]}`, func(m *nats.Msg) {
		m.Header.Set(schemas.HeaderTraceParent, "00-"+traceID+"-00f067aa0ba902b7-01")
	})).done()
	requireNoError(t, w.drained())
	names := make(map[string]bool)
	for _, span := range spans.Ended() {
		if got := span.SpanContext().TraceID().String(); got == traceID {
			names[span.Name()] = true
		}
	}
	for _, want := range []string{"worker.job", "prefill", "decode"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(name string) bool { return strings.HasSuffix(name, want) }) {
			t.Errorf("no span %s in the trace, only %v", want, names)
		}
	}
}

// publish stores a job as a direct publisher does, without a gateway's checks.
func (h *house) publish(name, body string, change ...func(*nats.Msg)) queue.Ticket {
	h.t.Helper()
	_, js := h.dial()
	id := strings.ReplaceAll(name, " ", "-")
	msg := nats.NewMsg("semantic.jobs." + modelName + ".normal.03.local")
	msg.Data = []byte(body)
	msg.Header.Set(schemas.HeaderJobID, id)
	for _, f := range change {
		f(msg)
	}
	_, err := js.PublishMsg(h.t.Context(), msg)
	requireNoError(h.t, err)
	return queue.Ticket{JobID: id, Owner: "local"}
}

func TestDeadlineWhileWaiting(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ticket := h.submit(prompt("words=3", func(j *schemas.Job) { j.DeadlineMS = 1 }))
	w := h.start()
	r := h.result(ticket)
	if r.last().Expired == nil || r.last().Expired.Started || r.last().Expired.DeadlineMS != 1 || r.last().Expired.Usage != nil {
		t.Fatalf("ended as %+v", r.last())
	}
	if w.engine.Snapshot().Steps != 0 {
		t.Error("the engine was touched")
	}
	h.emptied()
}

func TestDeadlineWhileRunning(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start(endless)
	var r record
	var expired *schemas.Expired
	// How long it takes to begin is the machine's business.
	for deadline := 400 * time.Millisecond; len(r.tokens()) == 0; deadline *= 2 {
		ms := deadline.Milliseconds()
		r = h.result(h.submit(prompt(endlessly, func(j *schemas.Job) { j.DeadlineMS = ms })))
		expired = r.last().Expired
		if expired == nil || expired.DeadlineMS != ms || expired.Started != (len(r.started()) > 0) || deadline > patience {
			t.Fatalf("after %d ms it ended as %+v", ms, r.last())
		}
	}
	if expired.Usage == nil {
		t.Fatalf("ended as %+v", r.last())
	}
	if expired.Usage.CompletionTokens != len(r.tokens()) || expired.Usage.CompletionTokens == 0 || expired.Usage.PromptTokens == 0 {
		t.Errorf("usage %+v, the log has %d tokens", expired.Usage, len(r.tokens()))
	}
	w.freed()
	h.emptied()
}

// endlessly asks for more words than any test waits for, and endless makes a worker
// that says them, one by one.
const endlessly = "words=1000000"

func endless(s *setup) { s.sim.DecodeStep, s.sim.Context = 2*time.Millisecond, 1<<20 }

// A gateway that sees the deadline first tells the worker: both write the same
// end, whoever comes first.
func TestExpireRunning(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start(endless)
	for range 10 {
		ticket := h.submit(prompt(endlessly))
		follower := h.follow(ticket)
		r := h.until(follower, 3)
		requireNoError(t, h.queue.Expire(t.Context(), ticket.Owner, ticket.JobID, time.Minute))
		if r = h.rest(follower, r); r.last().Expired == nil {
			t.Fatalf("ended as %+v", r.last())
		}
		w.freed()
	}
	h.emptied()
}

func TestCancelRunning(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start(endless)
	ticket := h.submit(prompt(endlessly))
	follower := h.follow(ticket)
	r := h.until(follower, 3)
	requireNoError(t, h.queue.Cancel(t.Context(), ticket.Owner, ticket.JobID, "requested"))
	r = h.rest(follower, r)
	cancelled := r.last().Cancelled
	if cancelled == nil || cancelled.Reason != "requested" || cancelled.Usage == nil || cancelled.Usage.CompletionTokens != len(r.tokens()) {
		t.Fatalf("ended as %+v with %d tokens", r.last(), len(r.tokens()))
	}
	w.freed()
	h.emptied()
}

// Nothing has started: the canceller ends the job, and the worker that holds it
// finds out when it starts.
func TestCancelWaitingForCells(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g), func(s *setup) { s.sim.Context, s.sim.Cells = 300, 300 })
	big := strings.Repeat("word ", 100)
	first := h.submit(prompt(big + "words=20"))
	g.step(t, 1)
	eventually(t, "the first runs", func() bool { return len(w.engine.Snapshot().Requests) == 1 })
	second := h.submit(prompt(big + big + "words=3"))
	eventually(t, "the second waits in the engine", func() bool { return w.engine.Room().Waiting == 1 })
	requireNoError(t, h.queue.Cancel(t.Context(), second.Owner, second.JobID, "requested"))
	if r := h.result(second); r.types() != "submitted cancelled" {
		t.Errorf("events %q", r.types())
	}
	g.open()
	h.result(first).done()
	h.emptied()
	w.freed()
}

func TestOtherFingerprintIsRefusedBeforeClaiming(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(named("w1"))
	second := h.launch(named("w2"), func(s *setup) {
		s.backend = func(b engine.Backend) engine.Backend { return otherFingerprint{b} }
	})
	var fingerprint *queue.FingerprintError
	if err := second.join(); !errors.As(err, &fingerprint) || fingerprint.Worker != "w1" || fingerprint.Ours != "another" {
		t.Fatalf("error %v, want a FingerprintError", err)
	}
	select {
	case <-second.worker.Ready():
		t.Error("it became ready")
	default:
	}
	if err := second.worker.Run(t.Context()); !errors.Is(err, worker.ErrAlreadyRun) {
		t.Errorf("second Run: %v", err)
	}
}

// otherFingerprint is the same model under another fingerprint.
type otherFingerprint struct{ engine.Backend }

func (o otherFingerprint) Info() engine.ModelInfo {
	info := o.Backend.Info()
	info.Fingerprint = "another"
	return info
}

func TestRegistryShowsTheWorker(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := newGate(t)
	w := h.start(gated(g))
	status := func() schemas.WorkerStatus {
		workers, err := h.queue.Workers(t.Context())
		requireNoError(t, err)
		if len(workers) == 0 {
			return schemas.WorkerStatus{}
		}
		return workers[0]
	}
	eventually(t, "it is registered", func() bool { return status().ID == "w1" })
	if s := status(); s.Capacity != 8 || s.Running != 0 || s.Draining || s.Model != modelName || s.Fingerprint == "" ||
		s.CellsFree != s.Cells {
		t.Errorf("status %+v", s)
	}
	ticket := h.submit(prompt("words=50"))
	follower := h.follow(ticket)
	g.step(t, 4)
	eventually(t, "it shows its job and cells", func() bool { s := status(); return s.Running == 1 && s.CellsFree < s.Cells })
	w.stop()
	eventually(t, "it says that it is draining", func() bool { return status().Draining })
	g.open()
	h.rest(follower, record{t: t}).done()
	requireNoError(t, w.join())
	eventually(t, "it is gone", func() bool { return status().ID == "" })
}

func TestNewRefusesIncompleteOptions(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	whole := worker.Options{
		Queue: h.queue, Engine: w.engine, Template: w.template,
		Identity: worker.Identity{ID: "a", Incarnation: "b", Host: "c", Release: "d"},
	}
	if _, err := worker.New(whole); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*worker.Options){
		"Queue":        func(o *worker.Options) { o.Queue = nil },
		"Engine":       func(o *worker.Options) { o.Engine = nil },
		"Template":     func(o *worker.Options) { o.Template = nil },
		"Identity":     func(o *worker.Options) { o.Identity.Incarnation = "" },
		"FlushTimeout": func(o *worker.Options) { o.Config = worker.Config{MaxAttempts: 1} },
	} {
		o := whole
		change(&o)
		_, err := worker.New(o)
		requireError(t, err, worker.ErrConfig, says)
	}
	o := whole
	o.Registerer = w.registry
	if _, err := worker.New(o); err == nil {
		t.Error("the same metrics were registered twice")
	}
}

// drained stops a worker and waits for it.
func (i *instance) drained() error {
	i.t.Helper()
	i.stop()
	return i.join()
}

// freed waits until the engine holds nothing.
func (i *instance) freed() {
	i.t.Helper()
	eventually(i.t, "the engine is empty", func() bool {
		s := i.engine.Snapshot()
		return len(s.Requests) == 0 && s.CellsUsed == 0
	})
}
