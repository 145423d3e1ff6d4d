package engine

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// startSpan begins the sequence's next span, which ends the one before.
func (e *Engine) startSpan(s *Sequence, name string, now time.Time) {
	e.endSpan(s, now)
	parent := trace.ContextWithSpanContext(context.Background(), s.parent)
	_, s.span = e.tracer.Start(parent, name, trace.WithTimestamp(now), trace.WithAttributes(
		attribute.String("semantic.job", s.request.ID),
		attribute.Int("semantic.tokens.prompt", len(s.request.Prompt)),
	))
}

func (e *Engine) endSpan(s *Sequence, now time.Time) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("semantic.tokens.generated", len(s.generated())))
	s.span.End(trace.WithTimestamp(now))
	s.span = nil
}
