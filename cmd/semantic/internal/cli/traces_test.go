package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry/oteltest"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

// house is a gateway and a worker, each a process of its own, that share a broker
// and send their traces to a receiver.
type house struct {
	nats, url, dir string
	env            []string
	gateway        *process
}

func (h *house) begin(c *exec.Cmd) error {
	c.Env = append(c.Env, h.env...)
	return c.Start()
}

func newHouse(t *testing.T, env []string) *house {
	t.Helper()
	h := &house{nats: queuetest.Start(t).ClientURL(), dir: t.TempDir(), env: env}
	file := filepath.Join(t.TempDir(), "gateway.json")
	h.gateway = start(t, h.begin, "gateway", "--nats", h.nats, "--port", "0", "--ready-file", file)
	info, err := readReady(file, h.gateway.exited)
	if err != nil {
		t.Fatal(err)
	}
	h.url = info.HTTP
	return h
}

// worker starts one that is ready; it is always the same one, in another
// incarnation.
func (h *house) worker(t *testing.T, args ...string) *process {
	t.Helper()
	file := filepath.Join(t.TempDir(), "worker.json")
	p := start(t, h.begin, append([]string{
		"worker", "--backend", "sim", "--nats", h.nats, "--data-dir", h.dir, "--ready-file", file,
	}, args...)...)
	if _, err := readReady(file, p.exited); err != nil {
		t.Fatal(err)
	}
	return p
}

// reply is a response whose body is closed with the test.
type reply struct{ *http.Response }

// ask posts a chat; its body is to be read.
func (h *house) ask(t *testing.T, body string, header ...string) reply {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return reply{response}
}

func stop(t *testing.T, p *process) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// tree are the spans of one trace, by name.
type tree map[string][]oteltest.Span

func treeOf(spans []oteltest.Span, trace string) tree {
	all := make(tree)
	for _, s := range spans {
		if s.Trace() == trace {
			all[s.GetName()] = append(all[s.GetName()], s)
		}
	}
	return all
}

// one is the only span of a name.
func (a tree) one(t *testing.T, name string) oteltest.Span {
	t.Helper()
	if len(a[name]) != 1 {
		var names []string
		for have, spans := range a {
			for range spans {
				names = append(names, have)
			}
		}
		t.Fatalf("%d spans %s, of %v", len(a[name]), name, names)
	}
	return a[name][0]
}

const (
	clientTrace = "0af7651916cd43dd8448eb211c80319c"
	clientSpan  = "b7ad6b7169203331"
	fromClient  = "00-" + clientTrace + "-" + clientSpan + "-01"
	chatRequest = "POST /v1/chat/completions"
)

// One trace, from the HTTP request to the last token, over two processes. Its
// spans are in order, each in its parent, and each says what it should.
func TestOneTraceOverTwoProcesses(t *testing.T) {
	t.Parallel()
	receiver := oteltest.Start(t, "grpc")
	h := newHouse(t, receiver.Env())
	w := h.worker(t, "--ack-wait", "1m") // a late heartbeat would make a second attempt
	response := h.ask(t, `{"model":"sim","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"words=20 please"}]}`,
		"traceparent", fromClient, "tracestate", "vendor=kept", "X-Request-Id", "request-1")
	all, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(all), "[DONE]") {
		t.Fatalf("%v: %s", err, all)
	}
	stop(t, h.gateway)
	stop(t, w) // what has not been sent is sent now
	spans := receiver.Spans()
	checkTrace(t, spans, response)
	// The lines of both processes have the trace's id.
	for _, p := range []*process{h.gateway, w} {
		p.stderr.wait(t, 0, `"trace_id":"`+clientTrace+`"`)
	}
}

// checkTrace checks the trace of one answered request.
func checkTrace(t *testing.T, spans []oteltest.Span, response reply) {
	t.Helper()
	all := treeOf(spans, clientTrace)
	request := all.one(t, chatRequest)
	if got, want := response.Header.Get("Traceparent"), "00-"+clientTrace+"-"+request.ID()+"-01"; got != want {
		t.Errorf("the response has traceparent %q, want %q", got, want)
	}
	submit, stream := all.one(t, "queue.submit"), all.one(t, "gateway.stream")
	wait, job := all.one(t, "queue.wait"), all.one(t, "worker.job")
	claim, admission := all.one(t, "worker.claim"), all.one(t, "engine.admission")
	prefill, decode := all.one(t, "engine.prefill"), all.one(t, "engine.decode")
	for _, c := range []struct {
		span    oteltest.Span
		parent  string
		service string
	}{
		{request, clientSpan, "semantic-gateway"},
		{submit, request.ID(), "semantic-gateway"},
		{stream, request.ID(), "semantic-gateway"},
		{job, submit.ID(), "semantic-worker"},
		{wait, job.ID(), "semantic-worker"},
		{claim, job.ID(), "semantic-worker"},
		{admission, job.ID(), "semantic-worker"},
		{prefill, job.ID(), "semantic-worker"},
		{decode, job.ID(), "semantic-worker"},
	} {
		if c.span.Parent() != c.parent || c.span.Service() != c.service || c.span.GetTraceState() != "vendor=kept" {
			t.Errorf("%s is of %s under %s with state %q, want %s under %s",
				c.span.GetName(), c.span.Service(), c.span.Parent(), c.span.GetTraceState(), c.service, c.parent)
		}
		if c.span.Resource["service.version"] != "v0.0.0-test" || c.span.Resource["service.instance.id"] == "" {
			t.Errorf("%s comes from %v", c.span.GetName(), c.span.Resource)
		}
	}
	if job.Resource["service.instance.id"] != job.Attr("semantic.worker") {
		t.Errorf("the worker's instance is %s, its id %s", job.Resource["service.instance.id"], job.Attr("semantic.worker"))
	}

	order := []time.Time{
		request.Begin(), submit.Begin(), wait.Begin(), claim.Begin(), claim.End(), admission.End(), prefill.End(), decode.End(), job.End(),
	}
	if !slices.IsSortedFunc(order, time.Time.Compare) || !admission.End().Equal(prefill.Begin()) || !prefill.End().Equal(decode.Begin()) ||
		!wait.End().Equal(claim.Begin()) || stream.End().Before(decode.End()) || request.End().Before(stream.End()) {
		t.Errorf("the spans are not in order: %v", order)
	}
	for _, c := range []struct {
		span      oteltest.Span
		key, want string
	}{
		{request, "http.response.status_code", "200"},
		{request, "http.route", "/v1/chat/completions"},
		{request, "semantic.request_id", "request-1"},
		{request, "gen_ai.request.model", "sim"},
		{submit, "messaging.system", "nats"},
		{job, "gen_ai.operation.name", "chat"},
		{job, "gen_ai.request.max_tokens", "200"},
		{job, "gen_ai.response.finish_reasons", "stop"},
		{job, "gen_ai.usage.output_tokens", decode.Attr("gen_ai.usage.output_tokens")},
		{job, "gen_ai.usage.input_tokens", prefill.Attr("gen_ai.usage.input_tokens")},
		{job, "semantic.attempt", "1"},
		{job, "semantic.outcome", "done"},
		{request, "gen_ai.usage.output_tokens", decode.Attr("gen_ai.usage.output_tokens")},
	} {
		if got := c.span.Attr(c.key); got != c.want || got == "" {
			t.Errorf("%s: %s is %q, want %q", c.span.GetName(), c.key, got, c.want)
		}
	}
	for span, key := range map[*oteltest.Span]string{
		&request: "gen_ai.server.time_to_first_token", &job: "gen_ai.server.time_to_first_token", &decode: "gen_ai.server.time_per_output_token",
	} {
		if span.Attr(key) == "" {
			t.Errorf("%s has no %s", span.GetName(), key)
		}
	}
	if !slices.Contains(prefill.Events(), "chunk") || !slices.Equal(stream.Events(), []string{"started", "first_output"}) {
		t.Errorf("events %v and %v", prefill.Events(), stream.Events())
	}
	step := slices.IndexFunc(spans, func(s oteltest.Span) bool { return s.GetName() == "engine.step" && s.LinksTo(job) })
	if step < 0 || spans[step].Trace() == clientTrace || spans[step].Parent() != "" {
		t.Errorf("no step in a trace of its own is linked to the job: %s", oteltest.Tree(spans))
	}
	for _, s := range spans {
		if strings.Contains(s.String(), "please") {
			t.Errorf("%s has the prompt in it", s.GetName())
		}
	}
}

// A worker is killed in mid-stream: the attempt that goes on is in the same trace,
// and linked to the one before, whose spans until then are there.
func TestTraceOfAKilledWorker(t *testing.T) {
	t.Parallel()
	receiver := oteltest.Start(t, "http/protobuf")
	gate := newGate(t)
	gate.shut(t, 100) // the prompt has some 30 tokens, the answer some 120
	h := newHouse(t, append(receiver.Env(), gate.env()))
	w := h.worker(t, "--ack-wait", "8s") // longer than a heartbeat may be late
	response := h.ask(t, `{"model":"sim","stream":true,"messages":[{"role":"user","content":"words=100 please"}]}`)
	if _, err := io.ReadAtLeast(response.Body, make([]byte, 1<<10), 300); err != nil {
		t.Fatal(err)
	}
	receiver.Wait(t, "the first attempt's prefill", func(spans []oteltest.Span, _ int) bool {
		return slices.ContainsFunc(spans, func(s oteltest.Span) bool { return s.GetName() == "engine.prefill" })
	})
	if err := w.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.exited
	gate.open(t)
	w = h.worker(t, "--ack-wait", "8s")
	rest, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(rest), "[DONE]") {
		t.Fatalf("%v: %s", err, rest)
	}
	stop(t, h.gateway)
	stop(t, w)

	trace := strings.Split(response.Header.Get("Traceparent"), "-")[1]
	all := treeOf(receiver.Spans(), trace)
	job := all.one(t, "worker.job") // the first one never ended
	submit, stream := all.one(t, "queue.submit"), all.one(t, "gateway.stream")
	if job.Parent() != submit.ID() || job.Attr("semantic.attempt") != "2" || len(all["engine.prefill"]) != 2 {
		t.Fatalf("the second attempt: %s", oteltest.Tree(receiver.Spans()))
	}
	first := all["engine.prefill"][0]
	if first.Parent() == job.ID() {
		first = all["engine.prefill"][1]
	}
	links := job.GetLinks()
	if len(links) != 1 || !bytes.Equal(links[0].GetSpanId(), first.GetParentSpanId()) ||
		!bytes.Equal(links[0].GetTraceId(), job.GetTraceId()) {
		t.Errorf("links %v, want one to %s", links, first.Parent())
	}
	events := slices.DeleteFunc(stream.Events(), func(name string) bool { return name == "first_output" }) // of either attempt
	if !slices.Equal(events, []string{"started", "requeued", "started"}) {
		t.Errorf("the stream saw %v", events)
	}
	// Two waits: until the first claim, and from the last word of the first worker on.
	waits := all["queue.wait"]
	if len(waits) != 2 || waits[1].Begin().Before(first.End()) {
		t.Errorf("waits %v", waits)
	}
}

// What is refused before there is a job is a trace too, which says why, and ends
// there; and what the sampler leaves out is not sent, but has its id all the same.
func TestTraceOfARefusedRequest(t *testing.T) {
	t.Parallel()
	receiver := oteltest.Start(t, "grpc")
	h := newHouse(t, append(receiver.Env(), "OTEL_TRACES_SAMPLER=parentbased_always_off"))
	body := `{"model":"sim","messages":[{"role":"user","content":"x"}],"temperature":9}`
	unsampled := h.ask(t, body)
	refused := h.ask(t, body, "traceparent", fromClient)
	for _, response := range []reply{unsampled, refused} {
		if response.StatusCode != http.StatusBadRequest {
			t.Fatalf("%s", response.Status)
		}
	}
	if got := unsampled.Header.Get("Traceparent"); !strings.HasSuffix(got, "-00") || len(got) != len(fromClient) {
		t.Errorf("traceparent %q of a request that is not sampled", got)
	}
	stop(t, h.gateway)
	spans := receiver.Spans()
	if len(spans) != 1 {
		t.Fatalf("received %s", oteltest.Tree(spans))
	}
	got := treeOf(spans, clientTrace).one(t, chatRequest)
	if got.Attr("http.response.status_code") != "400" || got.Attr("error.type") != "invalid_request" || got.Parent() != clientSpan {
		t.Errorf("span %v", got.Span)
	}
}

// A receiver that is not there costs nobody anything: requests are answered, spans
// are counted as dropped, each process says so once, and stops in time.
func TestTracesWithoutReceiver(t *testing.T) {
	t.Parallel()
	env := []string{
		"OTEL_TRACES_EXPORTER=otlp,console", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
		"OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_METRIC_EXPORT_INTERVAL=1",
	}
	p, info := simServer(t, func(c *exec.Cmd) error { c.Env = append(c.Env, env...); return c.Start() })
	for range 3 {
		answer, err := io.ReadAll(openAnswer(t, info.HTTP, "sim", "words=3 please"))
		if err != nil || !strings.Contains(string(answer), "[DONE]") {
			t.Fatalf("%v: %s", err, answer)
		}
	}
	// Both processes drop, both say so, and their spans are on the console.
	for at, times := 0, 0; times < 2; times++ {
		at = p.stderr.wait(t, at, "traces cannot be delivered")
	}
	for _, name := range []string{chatRequest, "worker.job"} {
		p.stderr.wait(t, 0, `{"Name":"`+name+`"`)
	}
	const dropped = `semantic_trace_spans_dropped_total{reason="failed"`
	pageWith(t, info.HTTP, dropped+"}", dropped+`,worker="`)
	stop(t, p)
	p.stderr.end(t)
	p.stderr.mu.Lock()
	defer p.stderr.mu.Unlock()
	log := p.stderr.text.String()
	for text, want := range map[string]int{"traces cannot be delivered": 2, "OTEL_METRIC_EXPORT_INTERVAL": 1} {
		if n := strings.Count(log, text); n != want {
			t.Errorf("%q is said %d times, want %d", text, n, want)
		}
	}
}

// A variable that cannot be honoured ends every server at its start, by name.
func TestBadTraceVariable(t *testing.T) {
	t.Parallel()
	bad := func(c *exec.Cmd) error {
		c.Env = append(c.Env, "OTEL_TRACES_EXPORTER=zipkin")
		return c.Start()
	}
	nats := queuetest.Start(t).ClientURL()
	for _, args := range [][]string{
		{"serve", "--backend", "sim", "--port", "0", "--nats-port", "0", "--data-dir", t.TempDir()},
		{"gateway", "--nats", nats, "--port", "0"},
		{"worker", "--nats", nats, "--backend", "sim", "--data-dir", t.TempDir()},
	} {
		p := start(t, bad, args...)
		if code := p.code(t); code != 2 {
			t.Errorf("%s: exit code %d", args[0], code)
		}
		p.stderr.wait(t, 0, `OTEL_TRACES_EXPORTER: "zipkin" is not one of otlp, console, none`)
		p.stderr.wait(t, 0, "OTEL_SDK_DISABLED=true")
	}
}
