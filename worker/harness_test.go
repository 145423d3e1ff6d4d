package worker_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/engine/sim"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(everyMetricMoved{m}) }

// patience bounds every wait of these tests; none ends by it when all is well.
const patience = 2 * time.Minute

const modelName = "sim"

// chatTemplate is ChatML that refuses the word "unrenderable".
const chatTemplate = `{% for m in messages %}{% if m.content == "unrenderable" %}{{ raise_exception("this I do not render") }}{% endif %}` +
	`<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

// house is one broker with what tests do to it from outside.
type house struct {
	t     *testing.T
	srv   *queuetest.Server
	queue *queue.Queue
	// options are those of all queues here.
	options func(*queue.Options)
	conn    *nats.Conn // a stranger's; see dial
	js      jetstream.JetStream
}

// newHouse is one in which nothing runs out, however busy the machine is.
func newHouse(t *testing.T, change ...func(*queue.Options)) *house {
	t.Helper()
	srv := queuetest.Start(t)
	options := func(o *queue.Options) {
		quick(o)
		for _, f := range change {
			f(o)
		}
	}
	return &house{t: t, srv: srv, queue: queuetest.Open(t, srv, options), options: options}
}

// quick makes short what a test waits for when all is well, and long what runs out
// when something takes its time: claims, entries in the registry and requests.
func quick(o *queue.Options) {
	o.Config.AckWait = 30 * time.Second
	o.Config.PollInterval = 50 * time.Millisecond
	o.Config.RequestTimeout = 30 * time.Second
	o.Config.SubmitTimeout = patience
	o.Config.ConnectTimeout = patience
	o.Config.ReconnectWait = 20 * time.Millisecond
	o.Config.FollowSilence = 200 * time.Millisecond
	o.Config.CancelGrace = time.Second
	o.Config.RegistryTTL = 30 * time.Second
}

// forgetful makes claims run out soon: what a worker had that was cut off is offered
// to others. A test with it must be right also where those of a worker that lives do.
func forgetful(o *queue.Options) { o.Config.AckWait = 2 * time.Second }

// setup is a worker to be started.
type setup struct {
	id      string
	sim     sim.Options
	backend func(engine.Backend) engine.Backend
	engine  engine.Config
	config  worker.Config
	queue   func(*queue.Options)
	tracer  trace.TracerProvider
	// template is the model's; chatTemplate if empty.
	template string
	working  func() func()
	level    *slog.LevelVar
	metrics  string
	content  bool // of users, in the log
}

// instance is a running worker.
type instance struct {
	t        *testing.T
	worker   *worker.Worker
	engine   *engine.Engine
	queue    *queue.Queue
	template *chat.Template
	registry interface {
		prometheus.Registerer
		prometheus.Gatherer
	}
	steps *prometheus.Registry // the engine's
	logs  *logBuffer
	stop  context.CancelFunc
	ended chan struct{}
	err   error
}

var incarnations atomic.Int64

// start starts a worker and waits until it claims.
func (h *house) start(change ...func(*setup)) *instance {
	h.t.Helper()
	i := h.launch(change...)
	select {
	case <-i.worker.Ready():
	case <-i.ended:
		h.t.Fatalf("the worker ended before it was ready: %v", i.err)
	case <-time.After(patience):
		h.t.Fatal("the worker is not ready")
	}
	return i
}

// launch starts a worker. The test's end stops it at once.
func (h *house) launch(change ...func(*setup)) *instance {
	h.t.Helper()
	s := setup{id: "w1", sim: sim.Options{Name: modelName, Sequences: 8}, engine: engine.DefaultConfig(), config: worker.DefaultConfig()}
	s.config.RetryDelay = 50 * time.Millisecond
	s.config.StatusInterval = 50 * time.Millisecond
	s.config.FlushTimeout = patience / 2
	for _, f := range change {
		f(&s)
	}
	i := &instance{t: h.t, registry: newRegistry(), steps: prometheus.NewRegistry(), logs: &logBuffer{}, ended: make(chan struct{})}
	var level slog.Leveler = slog.LevelDebug
	if s.level != nil {
		level = s.level
	}
	logger := slog.New(slog.NewJSONHandler(i.logs, &slog.HandlerOptions{Level: level}))
	options := []func(*queue.Options){h.options, func(o *queue.Options) { o.Logger = logger }}
	if s.queue != nil {
		options = append(options, s.queue)
	}
	i.queue = queuetest.Open(h.t, h.srv, options...)

	simulated, err := sim.New(s.sim)
	requireNoError(h.t, err)
	var backend engine.Backend = simulated
	if s.backend != nil {
		backend = s.backend(backend)
	}
	i.engine, err = engine.New(engine.Options{
		Backend: backend, Config: s.engine, Logger: logger, TracerProvider: s.tracer, Registerer: i.steps,
	})
	requireNoError(h.t, err)
	h.t.Cleanup(func() { requireNoError(h.t, i.engine.Close()) })

	i.template, err = chat.Parse(cmp.Or(s.template, chatTemplate), modelName, "", "")
	requireNoError(h.t, err)
	i.worker, err = worker.New(worker.Options{
		Queue: i.queue, Engine: i.engine, Template: i.template,
		Identity: worker.Identity{ID: s.id, Incarnation: fmt.Sprintf("i%d", incarnations.Add(1)), Host: "test", Release: "test"},
		Logger:   logger, Registerer: i.registry, LogContent: s.content, Config: s.config, TracerProvider: s.tracer,
		Working: s.working, Level: s.level, MetricsAddr: s.metrics,
	})
	requireNoError(h.t, err)
	var ctx context.Context
	ctx, i.stop = context.WithCancel(h.t.Context())
	go func() {
		defer close(i.ended)
		i.err = i.worker.Run(ctx)
	}()
	h.t.Cleanup(func() {
		i.stop()
		<-i.ended
		if h.t.Failed() {
			h.t.Logf("log of worker %s:\n%s", s.id, i.logs.String())
		}
	})
	return i
}

// join waits for the end of Run.
func (i *instance) join() error {
	i.t.Helper()
	select {
	case <-i.ended:
		return i.err
	case <-time.After(patience):
		i.t.Fatal("Run does not return")
		return nil
	}
}

// metric reads a counter, gauge or histogram count, summed over the series that
// have the label value, if one is given.
func (i *instance) metric(name string, label ...string) float64 {
	i.t.Helper()
	families, err := i.registry.Gather()
	requireNoError(i.t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			values := make([]string, 0, 4)
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if len(label) > 0 && !slices.Contains(values, label[0]) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// eventually waits until a condition holds that nothing signals.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

// heard asks a worker until it answers in time: on a busy machine that may take
// longer than the queue waits. again says that it was asked more than once, and may
// have heard that, too.
func heard[T any](t *testing.T, ask func() (T, error)) (answer T, again bool, err error) {
	t.Helper()
	eventually(t, "the worker answers", func() bool {
		if answer, err = ask(); errors.Is(err, queue.ErrSilent) {
			again = true
			return false
		}
		return true
	})
	return answer, again, err
}

// report is what a worker says about itself.
func (h *house) report(worker string) queue.WorkerReport {
	h.t.Helper()
	report, _, err := heard(h.t, func() (queue.WorkerReport, error) { return h.queue.Report(h.t.Context(), worker) })
	requireNoError(h.t, err)
	return report
}

// drain tells a worker to drain that will not be gone before it has answered, and
// returns how often it was told.
func (h *house) drain(worker string, timeout time.Duration) (draining *queue.Draining, report queue.WorkerReport, times int) {
	h.t.Helper()
	draining, _, err := heard(h.t, func() (*queue.Draining, error) {
		times++
		var d *queue.Draining
		var err error
		d, report, err = h.queue.Drain(h.t.Context(), worker, &timeout)
		return d, err
	})
	requireNoError(h.t, err)
	h.t.Cleanup(draining.Close)
	return draining, report, times
}

// drainAtOnce tells a worker to drain, which may be gone before it has answered: then
// there is none to wait with.
func (h *house) drainAtOnce(worker string) []*queue.Draining {
	h.t.Helper()
	atOnce := time.Duration(0)
	draining, _, err := h.queue.Drain(h.t.Context(), worker, &atOnce)
	if errors.Is(err, queue.ErrSilent) {
		return nil // it was told all the same
	}
	requireNoError(h.t, err)
	h.t.Cleanup(draining.Close)
	return []*queue.Draining{draining}
}

// dial connects as a stranger does, once.
func (h *house) dial() (*nats.Conn, jetstream.JetStream) {
	h.t.Helper()
	if h.conn != nil {
		return h.conn, h.js
	}
	var err error
	h.conn, err = nats.Connect(h.srv.ClientURL(), nats.Timeout(patience))
	requireNoError(h.t, err)
	h.t.Cleanup(h.conn.Close)
	h.js, err = jetstream.New(h.conn, jetstream.WithDefaultTimeout(patience))
	requireNoError(h.t, err)
	return h.conn, h.js
}

// flush waits until the broker has what a stranger has sent.
func (h *house) flush() {
	h.t.Helper()
	conn, _ := h.dial()
	requireNoError(h.t, conn.FlushTimeout(patience))
}

// update changes a stream.
func (h *house) update(stream string, change func(*jetstream.StreamConfig)) {
	h.t.Helper()
	_, js := h.dial()
	s, err := js.Stream(h.t.Context(), stream)
	requireNoError(h.t, err)
	config := s.CachedInfo().Config
	change(&config)
	_, err = js.UpdateStream(h.t.Context(), config)
	requireNoError(h.t, err)
}

// prompt is a job with one user message.
func prompt(text string, change ...func(*schemas.Job)) schemas.Job {
	zero := 0.0
	job := schemas.Job{
		Version: schemas.Version, Kind: schemas.KindChat, Model: modelName, Temperature: &zero,
		Messages: []schemas.Message{{Role: schemas.RoleUser, Content: text}},
	}
	for _, f := range change {
		f(&job)
	}
	return job
}

// submit stores a job as a gateway does.
func (h *house) submit(job schemas.Job) queue.Ticket {
	h.t.Helper()
	ticket, err := h.queue.Submit(h.t.Context(), queue.Submission{Job: job, RequestID: "req-1", Class: schemas.ClassNormal})
	requireNoError(h.t, err)
	return ticket
}

// follow follows a job from its start.
func (h *house) follow(ticket queue.Ticket) *queue.Follower {
	h.t.Helper()
	follower, err := h.queue.Follow(h.t.Context(), ticket.Owner, ticket.JobID, 0)
	requireNoError(h.t, err)
	h.t.Cleanup(follower.Close)
	return follower
}

// result follows a job to its end and checks the log's form.
func (h *house) result(ticket queue.Ticket) record {
	h.t.Helper()
	return h.rest(h.follow(ticket), record{t: h.t})
}

// rest reads a follower to the end.
func (h *house) rest(follower *queue.Follower, r record) record {
	h.t.Helper()
	for {
		event, err := h.next(follower)
		if errors.Is(err, io.EOF) {
			r.check()
			return r
		}
		if err != nil {
			h.t.Fatalf("follow: %v; so far: %s", err, r.types())
		}
		r.events = append(r.events, event)
	}
}

func (h *house) next(follower *queue.Follower) (schemas.Event, error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	return follower.Next(ctx)
}

// until reads a follower until the log has n tokens.
func (h *house) until(follower *queue.Follower, n int) record {
	h.t.Helper()
	r := record{t: h.t}
	for len(r.tokens()) < n {
		event, err := h.next(follower)
		if err != nil {
			h.t.Fatalf("follow: %v; so far: %s", err, r.types())
		}
		r.events = append(r.events, event)
	}
	return r
}

// emptied waits until the queue holds no job.
func (h *house) emptied() {
	h.t.Helper()
	eventually(h.t, "the queue is empty", func() bool {
		depths, err := h.queue.Depth(h.t.Context())
		if err != nil {
			return false
		}
		for _, d := range depths {
			if d.Queued+d.Running > 0 {
				return false
			}
		}
		return true
	})
}

// record is the log of a job as a follower saw it.
type record struct {
	t      *testing.T
	events []schemas.Event
}

func (r record) check() {
	r.t.Helper()
	if len(r.events) == 0 {
		r.t.Fatal("the log is empty")
	}
	for i, event := range r.events {
		if event.N != int64(i+1) {
			r.t.Fatalf("event %d has number %d: %s", i+1, event.N, r.types())
		}
		if last := i == len(r.events)-1; event.Type.Terminal() != last {
			r.t.Fatalf("event %d of %d is %s: %s", i+1, len(r.events), event.Type, r.types())
		}
	}
}

// types lists the events, deltas and requeued in a row as one.
func (r record) types() string {
	var out []string
	for _, event := range r.events {
		if name := string(event.Type); len(out) == 0 || name != "delta" && name != "requeued" || out[len(out)-1] != name {
			out = append(out, name)
		}
	}
	return strings.Join(out, " ")
}

func (r record) text() string {
	var b strings.Builder
	for _, event := range r.events {
		if event.Delta != nil {
			b.WriteString(event.Delta.Text)
		}
		if event.Done != nil {
			b.WriteString(event.Done.Text)
		}
	}
	return b.String()
}

func (r record) tokens() []int32 {
	var tokens []int32
	for _, event := range r.events {
		if event.Delta != nil {
			tokens = append(tokens, event.Delta.Tokens...)
		}
		if event.Done != nil {
			tokens = append(tokens, event.Done.Tokens...)
		}
	}
	return tokens
}

func (r record) last() schemas.Event { return r.events[len(r.events)-1] }

// started returns the started events.
func (r record) started() []*schemas.Started {
	var out []*schemas.Started
	for _, event := range r.events {
		if event.Started != nil {
			out = append(out, event.Started)
		}
	}
	return out
}

// done requires that the job was answered.
func (r record) done() *schemas.Done {
	r.t.Helper()
	if r.last().Done == nil {
		r.t.Fatalf("the job ended as %s: %+v", r.types(), r.last())
	}
	return r.last().Done
}

// failed requires that the job failed with a code.
func (r record) failed(code schemas.Code) *schemas.Failed {
	r.t.Helper()
	failed := r.last().Failed
	if failed == nil || failed.Code != code {
		r.t.Fatalf("the job ended as %s (%+v), want failed with %s", r.types(), failed, code)
	}
	return failed
}

// reference is what an engine of its own says to a job, uninterrupted.
func reference(t *testing.T, job schemas.Job) (text string, tokens []int32) {
	t.Helper()
	backend, err := sim.New(sim.Options{Name: modelName})
	requireNoError(t, err)
	e, err := engine.New(engine.Options{Backend: backend})
	requireNoError(t, err)
	defer func() { requireNoError(t, e.Close()) }()
	template, err := chat.Parse(chatTemplate, modelName, "", "")
	requireNoError(t, err)
	rendered, err := template.Render([]chat.Message{{Role: "user", Content: job.Messages[0].Content}})
	requireNoError(t, err)
	ids, err := e.Vocabulary().Tokenize(rendered, true)
	requireNoError(t, err)
	request := engine.Request{ID: "reference", Prompt: ids, Stop: job.Stop}
	if job.MaxTokens != nil {
		request.MaxTokens = *job.MaxTokens
	}
	request.Temperature, request.TopP = *job.Temperature, 1
	if job.Seed != nil {
		request.Seed = *job.Seed
	}
	seq, err := e.Submit(t.Context(), request)
	requireNoError(t, err)
	for {
		chunk, err := seq.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return text, tokens
		}
		requireNoError(t, err)
		text += chunk.Text
		tokens = append(tokens, chunk.Tokens...)
	}
}

// gate lets a simulated engine make steps only when the test says so.
type gate struct {
	permits chan struct{}
	opened  chan struct{}
	once    sync.Once
}

func newGate(t *testing.T) *gate {
	g := &gate{permits: make(chan struct{}), opened: make(chan struct{})}
	t.Cleanup(g.open)
	return g
}

// Sleep implements sim.Clock.
func (g *gate) Sleep(_ time.Duration, interrupted <-chan struct{}) bool {
	select {
	case <-g.opened:
	case <-g.permits:
	case <-interrupted:
		return false
	}
	return true
}

// step lets n steps pass.
func (g *gate) step(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case g.permits <- struct{}{}:
		case <-time.After(patience):
			t.Fatal("the engine makes no step")
		}
	}
}

// until lets steps pass until a condition holds: how many it takes until all of
// several prompts are read hangs on how long steps take.
func (g *gate) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		if condition() {
			return true
		}
		select {
		case g.permits <- struct{}{}:
		default: // a step is being made, or there is nothing to do
		}
		return false
	})
}

// generating waits until so many requests are in a worker's engine, and lets steps
// pass until each has generated a token.
func (g *gate) generating(t *testing.T, w *instance, n int) {
	t.Helper()
	requests := func() []engine.RequestState { return w.engine.Snapshot().Requests }
	eventually(t, fmt.Sprintf("%d are in the engine", n), func() bool { return len(requests()) == n })
	g.until(t, "they generate", func() bool {
		return !slices.ContainsFunc(requests(), func(r engine.RequestState) bool { return r.Generated == 0 })
	})
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }

// gated makes a worker's engine wait at a gate.
func gated(g *gate) func(*setup) {
	return func(s *setup) { s.sim.Clock, s.sim.DecodeStep = g, time.Millisecond }
}

func named(id string) func(*setup) { return func(s *setup) { s.id = id } }

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// lines returns the decoded lines whose message is msg.
func (b *logBuffer) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(b.String()) {
		var fields map[string]any
		requireNoError(t, json.Unmarshal([]byte(line), &fields))
		if fields["msg"] == msg {
			out = append(out, fields)
		}
	}
	return out
}

func requireNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// requireError wants an error that is target and says text.
func requireError(t *testing.T, err, target error, text string) {
	t.Helper()
	if !errors.Is(err, target) || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v, want %v that says %q", err, target, text)
	}
}
