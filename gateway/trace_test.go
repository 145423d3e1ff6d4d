package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semantic-worker/semantic/queue"
)

// Whoever reads a job that was there before gets a trace of its own, linked to that
// of the request that stored it; probes and scrapes have none.
func TestReadersAreLinked(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	b := startBench(t, withKeys("k"), func(o *benchOptions) {
		o.TracerProvider = provider
		o.queue = append(o.queue, func(q *queue.Options) { q.TracerProvider = provider })
	})
	b.work(echo)
	key := []string{"Authorization", "Bearer k"}
	resp := b.post(chatBody("x", false), key...)
	_, _ = io.Copy(io.Discard, resp.Body)
	_, _ = io.Copy(io.Discard, b.do(http.MethodGet, "/v1/jobs/"+resp.Header.Get(headerJob)+"/events", "", key...).Body)
	for _, path := range []string{"/health", "/health/live", "/metrics"} {
		if got := b.do(http.MethodGet, path, "", key...).Header.Get("Traceparent"); got != "" {
			t.Errorf("%s is traced: %s", path, got)
		}
	}
	var submit, second tracetest.SpanStub
	eventually(t, "the spans", func() bool {
		streams := 0
		for _, s := range spans.GetSpans() {
			switch s.Name {
			case "queue.submit":
				submit = s
			case "gateway.stream":
				streams++
				second = s
			}
		}
		return streams == 2
	})
	if len(second.Links) != 1 || second.Links[0].SpanContext.SpanID() != submit.SpanContext.SpanID() {
		t.Errorf("the reader's span has the links %v, want %s", second.Links, submit.SpanContext.SpanID())
	}
	if second.SpanContext.TraceID() == submit.SpanContext.TraceID() {
		t.Error("the reader is in the trace of the first request")
	}
}

// A client's trace context that is none begins another trace.
func TestForeignTraceContexts(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.TracerProvider = trace.NewTracerProvider() })
	for _, given := range []string{
		"", "00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		strings.Repeat("0", 5000),
	} {
		got := b.do(http.MethodGet, "/v1/models", "", "traceparent", given).Header.Get("Traceparent")
		if len(got) != 55 || strings.Contains(got, "0af7651916cd43dd8448eb211c80319c") {
			t.Errorf("%q is answered with %q", given, got)
		}
	}
}

// Without tracing a client's context comes back as it was, and no other is made up.
func TestNoTracing(t *testing.T) {
	b := startBench(t)
	const given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, header := range []string{"", given} {
		if got := b.do(http.MethodGet, "/v1/models", "", "traceparent", header).Header.Get("Traceparent"); got != header {
			t.Errorf("%q is answered with %q", header, got)
		}
	}
}
