package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semantic-worker/semantic/schemas"
)

// endLine waits for the last log line of a request: it is written after the
// response was sent.
func (b *bench) endLine(t *testing.T, requestID string) map[string]any {
	t.Helper()
	var found map[string]any
	eventually(t, "the log line of "+requestID, func() bool {
		for _, line := range b.logs.lines(t) {
			if line[schemas.LogRequestID] == requestID && line[schemas.LogEvent] == schemas.LogEventRequestEnd {
				found = line
			}
		}
		return found != nil
	})
	return found
}

// wantMetric waits for a line on /metrics.
func (b *bench) wantMetric(t *testing.T, line string) {
	t.Helper()
	page := ""
	defer func() {
		if t.Failed() {
			t.Log(page)
		}
	}()
	eventually(t, line, func() bool {
		data, err := io.ReadAll(b.do(http.MethodGet, "/metrics", "").Body)
		if err != nil {
			t.Fatal(err)
		}
		page = string(data)
		return strings.Contains(page, line+"\n")
	})
}

// The canonical line says who, what, sizes, timings and outcome.
func TestEndLine(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	body := chatBody("secret words", true)
	resp := b.post(body, headerRequestID, "line-1", headerAgent, "me", "traceparent", "00-"+trace+"-b7ad6b7169203331-01")
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	line := b.endLine(t, "line-1")
	for key, want := range map[string]any{
		"level": "INFO", schemas.LogEvent: schemas.LogEventRequestEnd, schemas.LogTraceID: trace,
		schemas.LogMethod: "POST", schemas.LogRoute: "/v1/chat/completions", schemas.LogAPI: apiChat, schemas.LogStatus: 200.0,
		schemas.LogOutcome: outcomeOK, schemas.LogFinish: "stop", schemas.LogJobID: resp.Header.Get(headerJob), schemas.LogOwner: ownerLocal,
		schemas.LogAgent: "me", schemas.LogModel: "m", schemas.LogWorker: "w", schemas.LogClass: "normal", schemas.LogStream: true,
		schemas.LogAttempts: 1.0, schemas.LogRequestBytes: float64(len(body)), schemas.LogResponseBytes: float64(len(answer)),
		schemas.LogPromptTokens: 3.0, schemas.LogCompletionTokens: 2.0, schemas.LogCachedTokens: 0.0,
	} {
		if line[key] != want {
			t.Errorf("%s: %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{
		schemas.LogDuration, schemas.LogTTFT, schemas.LogQueued, schemas.LogPrefill, schemas.LogDecode, schemas.LogEvents, schemas.LogRemote,
	} {
		if line[key] == nil {
			t.Errorf("no %s in %v", key, line)
		}
	}
	parts := line[schemas.LogQueued].(float64) + line[schemas.LogPrefill].(float64) + line[schemas.LogDecode].(float64)
	if whole := line[schemas.LogDuration].(float64); parts > whole || line[schemas.LogTTFT].(float64) > whole {
		t.Errorf("the parts are more than the whole: %v", line)
	}
	if line[schemas.LogCode] != nil || line[schemas.LogError] != nil {
		t.Errorf("an error in %v", line)
	}
	b.do(http.MethodGet, "/health/live", "", headerRequestID, "probe-1")
	if line := b.endLine(t, "probe-1"); line["level"] != "DEBUG" {
		t.Errorf("a probe logs at %v", line["level"])
	}
	starts := 0
	for _, l := range b.logs.lines(t) {
		if l[schemas.LogEvent] == schemas.LogEventRequestStart && l[schemas.LogRequestID] == "line-1" {
			starts++
		}
		for key, value := range l {
			if s, ok := value.(string); ok && strings.Contains(s, "secret") {
				t.Errorf("a message's text is in the log under %s", key)
			}
		}
	}
	if starts != 1 {
		t.Errorf("%d lines say that the request begins", starts)
	}
}

// A line's outcome is what became of the request, and not the status that a stream
// began with.
func TestOutcomes(t *testing.T) {
	b := startBench(t)
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("half")
		switch j.job.Messages[0].Content {
		case "fails":
			j.fail(schemas.CodeEngineFailed, "broken")
		case "waits":
			<-ctx.Done()
		default:
			j.done()
		}
	})
	read := func(resp reply) { _, _ = io.ReadAll(resp.Body) }
	for _, c := range []struct {
		name    string
		send    func()
		outcome string
		status  float64
		code    any
		level   string
	}{
		{"answered", func() { read(b.post(chatBody("ends", true), headerRequestID, "answered")) }, outcomeOK, 200, nil, "INFO"},
		{"refused", func() { b.post("{}", headerRequestID, "refused") }, outcomeRefused, 400, "invalid_request", "INFO"},
		{"failed", func() { read(b.post(chatBody("fails", true), headerRequestID, "failed")) }, outcomeFailed, 500, "engine_failed", "WARN"},
		{"left", func() {
			resp := b.post(chatBody("waits", true), headerRequestID, "left")
			stream := newSSEReader(t, resp.Body)
			for said := ""; said != "half"; { // nothing is left to be written to who has left
				e, _ := stream.next()
				said += text(t, []sseEvent{e})
			}
			_ = resp.Body.Close()
		}, outcomeLeft, 499, "cancelled", "INFO"},
		{"deleted", func() {
			resp := b.post(chatBody("waits", true), headerRequestID, "deleted")
			job := resp.Header.Get(headerJob)
			b.do(http.MethodDelete, "/v1/jobs/"+job, "", headerOwnerToken, b.token(job))
			read(resp)
		}, outcomeCancelled, 499, "cancelled", "INFO"},
	} {
		c.send()
		line := b.endLine(t, c.name)
		if line[schemas.LogOutcome] != c.outcome || line[schemas.LogStatus] != c.status || line[schemas.LogCode] != c.code ||
			line["level"] != c.level {
			t.Errorf("%s: %v", c.name, line)
		}
	}
}

func TestSpan(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	b := startBench(t, func(o *benchOptions) { o.TracerProvider = provider })
	b.work(func(_ context.Context, j *claimed) { j.fail(schemas.CodeEngineFailed, "broken") })
	resp := b.post(chatBody("x", false), "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	wantError(t, resp, schemas.CodeEngineFailed)
	var span tracetest.SpanStub
	eventually(t, "the span", func() bool {
		for _, s := range spans.GetSpans() {
			if s.Name == "POST /v1/chat/completions" {
				span = s
			}
		}
		return span.Name != ""
	})
	if got := span.SpanContext.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the client's trace is not continued: %s", got)
	}
	want := "00-0af7651916cd43dd8448eb211c80319c-" + span.SpanContext.SpanID().String() + "-01"
	if got := resp.Header.Get("Traceparent"); got != want {
		t.Errorf("traceparent of the response: %q, want %q", got, want)
	}
	attrs := map[string]string{}
	for _, a := range span.Attributes {
		attrs[string(a.Key)] = a.Value.String()
	}
	if attrs["error.type"] != "engine_failed" || attrs["semantic.job"] != resp.Header.Get(headerJob) ||
		attrs["http.response.status_code"] != "500" {
		t.Errorf("attributes %v", attrs)
	}
}

// A handler's panic is a 500 before the first byte, a broken connection after.
func TestPanic(t *testing.T) {
	logs := &logBuffer{}
	g := bareGateway(t, slog.New(slog.NewJSONHandler(logs, nil)))
	write := false
	srv := httptest.NewServer(g.identify(g.observe(g.recoverPanic(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if write {
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
		}
		panic("boom")
	})))))
	defer srv.Close()
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)

	resp, err := srv.Client().Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, reply{resp}, schemas.CodeInternal)
	_ = resp.Body.Close()

	write = true
	resp, err = srv.Client().Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut response reads as %v", err)
	}
	stacks := 0
	for _, line := range logs.lines(t) {
		if line[schemas.LogPanic] == "boom" && strings.Contains(line[schemas.LogStack].(string), "TestPanic") &&
			line[schemas.LogRequestID] != nil {
			stacks++
		}
	}
	if stacks != 2 {
		t.Errorf("%d panics logged, want 2", stacks)
	}
	// The second had sent 200 before, and counts as what it was, too.
	if got := testutil.ToFloat64(g.metrics.requests.WithLabelValues(apiOther, "", "", "500", "internal_error")); got != 2 {
		t.Errorf("%v requests counted as faults, want 2", got)
	}
	if panics, refused := testutil.ToFloat64(g.metrics.panics), testutil.CollectAndCount(g.metrics.rejections); panics != 2 || refused != 0 {
		t.Errorf("%v panics and %d kinds of refusals counted", panics, refused)
	}
}

// bareGateway has no queue behind it: for middlewares alone.
func bareGateway(t *testing.T, log *slog.Logger) *Gateway {
	t.Helper()
	open := newTracker()
	m, err := newMetrics(nil, open)
	if err != nil {
		t.Fatal(err)
	}
	tracer := trace.NewTracerProvider().Tracer("test")
	c := DefaultConfig()
	return &Gateway{config: c, log: log, metrics: m, tracer: tracer, origins: newOrigins(c), keys: newKeyring(nil, nil), tracker: open}
}

func TestNew(t *testing.T) {
	if _, err := New(Options{Config: DefaultConfig()}); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("without a queue: %v", err)
	}
	b := startBench(t)
	if _, err := New(Options{Queue: b.q}); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("with a zero config: %v", err)
	}
	reg := prometheus.NewRegistry()
	o := Options{Queue: b.q, Registerer: reg, Config: DefaultConfig()}
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(o); err == nil {
		t.Error("two gateways share one registry")
	}
	rec := httptest.NewRecorder()
	g.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil))
	if rec.Code != http.StatusNotFound {
		t.Errorf("/metrics without a gatherer: %d", rec.Code)
	}
}
