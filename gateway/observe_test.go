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
			if line[schemas.LogRequestID] == requestID && line["msg"] == "request" {
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

func TestMetricsMove(t *testing.T) {
	b := startBench(t)
	hold := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		<-hold
		echo(ctx, j)
	})
	leave := b.inBackground(chatBody("hello there", true))
	b.wantMetric(t, "semantic_requests_active 1")
	close(hold)
	b.wantMetric(t, `semantic_request_total{code="200",route="/v1/chat/completions"} 1`)
	leave()
	b.wantMetric(t, "semantic_requests_active 0")
	b.wantMetric(t, `semantic_time_to_first_token_seconds_count{model="m"} 1`)
	b.wantMetric(t, `semantic_request_duration_seconds_count{route="/v1/chat/completions"} 1`)
	wantError(t, b.do(http.MethodGet, "/nothing/"+strings.Repeat("x", 20), ""), schemas.CodeNotFound)
	b.wantMetric(t, `semantic_request_total{code="404",route="other"} 1`)
}

func TestEndLine(t *testing.T) {
	b := startBench(t)
	b.work(echo)
	resp := b.post(chatBody("secret words", true), headerRequestID, "line-1")
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	line := b.endLine(t, "line-1")
	for key, want := range map[string]any{
		schemas.LogMethod: "POST", schemas.LogRoute: "/v1/chat/completions", schemas.LogStatus: 200.0, schemas.LogJobID: resp.Header.Get(headerJob),
		schemas.LogOwner: ownerLocal, schemas.LogModel: "m", schemas.LogClass: "normal", "level": "INFO",
	} {
		if line[key] != want {
			t.Errorf("%s: %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{schemas.LogDuration, schemas.LogTTFT, schemas.LogEvents, schemas.LogRemote} {
		if line[key] == nil {
			t.Errorf("no %s in %v", key, line)
		}
	}
	b.do(http.MethodGet, "/health/live", "", headerRequestID, "probe-1")
	if line := b.endLine(t, "probe-1"); line["level"] != "DEBUG" {
		t.Errorf("a probe logs at %v", line["level"])
	}
	for _, l := range b.logs.lines(t) {
		for key, value := range l {
			if s, ok := value.(string); ok && strings.Contains(s, "secret") {
				t.Errorf("a message's text is in the log under %s", key)
			}
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
			if s.Name == "/v1/chat/completions" {
				span = s
			}
		}
		return span.Name != ""
	})
	if got := span.SpanContext.TraceID().String(); got != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the client's trace is not continued: %s", got)
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
		if line[schemas.LogPanic] == "boom" && strings.Contains(line[schemas.LogStack].(string), "TestPanic") && line[schemas.LogRequestID] != nil {
			stacks++
		}
	}
	if stacks != 2 {
		t.Errorf("%d panics logged, want 2", stacks)
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
