package gateway

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semantic-worker/semantic/schemas"
)

// headerTraceParent is the W3C trace context: of the client's span in a request, of
// the gateway's in a response.
const headerTraceParent = "Traceparent"

// startSpan begins the request's span, and tells the client which it is. Probes and
// scrapes, which come every few seconds, have none.
func (g *Gateway) startSpan(w http.ResponseWriter, r *http.Request) (context.Context, trace.Span) {
	ctx := r.Context()
	switch path := r.URL.Path; {
	case path == "/metrics", path == "/admin/v1/targets", path == "/health", strings.HasPrefix(path, "/health/"):
		return ctx, noop.Span{}
	}
	ctx, span := g.tracer.Start(ctx, shown(r.Method), trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(callOf(r).start))
	if carried := (propagation.MapCarrier{}); span.SpanContext().IsValid() {
		propagation.TraceContext{}.Inject(ctx, carried)
		w.Header().Set(headerTraceParent, carried[schemas.HeaderTraceParent])
	}
	return ctx, span
}

// endSpan describes the request and how it ended.
func endSpan(span trace.Span, c *call, r *http.Request, sent int) {
	if span.IsRecording() {
		span.SetName(shown(r.Method) + " " + c.route)
		span.SetAttributes(spanAttrs(c, r, sent)...)
		if c.status(sent) >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, string(c.code))
		}
	}
	span.End()
}

// spanAttrs describes a request's span, in OpenTelemetry's names where it has
// them. Messages are never among them.
func spanAttrs(c *call, r *http.Request, sent int) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(shown(r.Method)),
		semconv.HTTPRoute(c.route),
		semconv.HTTPResponseStatusCode(c.status(sent)),
		attribute.String("semantic.request_id", c.id),
	}
	optional := func(key attribute.Key, value string) {
		if value != "" {
			attrs = append(attrs, key.String(value))
		}
	}
	optional("semantic.job", c.job)
	optional("semantic.class", string(c.class))
	optional("semantic.owner", c.owner)
	optional("semantic.alias", c.alias)
	optional(semconv.GenAIRequestModelKey, c.model)
	optional(semconv.ErrorTypeKey, errorType(c))
	optional("semantic.worker", c.worker)
	p := &c.progress
	if !p.first.IsZero() {
		attrs = append(attrs, attribute.Float64("gen_ai.server.time_to_first_token", between(c.start, p.first).Seconds()))
	}
	if p.finish != "" {
		attrs = append(attrs, semconv.GenAIResponseFinishReasons(string(p.finish)))
	}
	if u := p.usage; u != nil {
		attrs = append(attrs, semconv.GenAIUsageInputTokens(u.PromptTokens), semconv.GenAIUsageOutputTokens(u.CompletionTokens),
			semconv.GenAIUsageCacheReadInputTokens(u.CachedTokens))
	}
	return attrs
}

func errorType(c *call) string {
	if c.gone {
		return string(schemas.CodeCancelled)
	}
	return string(c.code)
}

// streamTrace is the span gateway.stream: from a job that is stored, or found,
// until the last byte of its answer was written. It belongs to the exchange.
type streamTrace struct {
	span  trace.Span
	spoke bool // the job brought something to read
}

// startStream begins it. A job that was there before has a trace of its own, which
// is linked.
func (x *exchange) startStream(ctx context.Context) {
	_, x.trace.span = x.g.tracer.Start(ctx, "gateway.stream")
	if x.origin.IsValid() {
		x.trace.span.AddLink(trace.Link{SpanContext: x.origin})
	}
}

// see notes an event as it comes.
func (t *streamTrace) see(e schemas.Event) {
	if !t.span.IsRecording() {
		return
	}
	if !t.spoke && says(e) {
		t.spoke = true
		t.span.AddEvent("first_output")
	}
	switch e.Type {
	case schemas.EventStarted:
		t.span.AddEvent("started", trace.WithAttributes(
			attribute.Int("semantic.attempt", e.Started.Attempt), attribute.String("semantic.worker", e.Started.Worker)))
	case schemas.EventRequeued:
		t.span.AddEvent("requeued", trace.WithAttributes(
			attribute.String("semantic.reason", e.Requeued.Reason), attribute.String("semantic.worker", e.Requeued.Worker)))
	default:
	}
}

func (t *streamTrace) end(c *call) {
	if t.span.IsRecording() {
		t.span.SetAttributes(attribute.String("semantic.job", c.job), attribute.Int("semantic.events", c.progress.events))
		if what := errorType(c); what != "" {
			t.span.SetAttributes(semconv.ErrorTypeKey.String(what))
			t.span.SetStatus(codes.Error, what)
		}
	}
	t.span.End()
}
