package engine

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// traceStep makes the span of a step that read prompts, in a trace of its own: it
// is work for all whose rows were in it, and linked to each of them that is
// traced. Steps that only decode have none: they would be one a token.
func (e *Engine) traceStep(plan *plan, began time.Time, took time.Duration) {
	if e.tracer == nil || plan.kinds.prefill == 0 {
		return
	}
	var links []trace.Link
	for _, span := range plan.spans {
		if s := e.loop.planned[span.sequence]; s.parent.IsSampled() {
			links = append(links, trace.Link{SpanContext: s.parent, Attributes: []attribute.KeyValue{
				attribute.String("semantic.sequence", s.request.ID), attribute.Int("semantic.rows", span.count),
			}})
		}
	}
	if links == nil {
		return
	}
	_, span := e.tracer.Start(context.Background(), "engine.step", trace.WithNewRoot(), trace.WithTimestamp(began),
		trace.WithLinks(links...), trace.WithAttributes(
			attribute.Int("semantic.sequences", len(plan.spans)),
			attribute.Int("semantic.rows.prefill", plan.kinds.prefill),
			attribute.Int("semantic.rows.replay", plan.kinds.replay),
			attribute.Int("semantic.rows.decode", plan.kinds.decode)))
	span.End(trace.WithTimestamp(began.Add(took)))
}
