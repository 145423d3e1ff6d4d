package worker

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

const tracerName = "github.com/semantic-worker/semantic/worker"

// startSpan begins the span of one claim, as a child of the trace that the job
// carries.
func (w *Worker) startSpan(ctx context.Context, d *queue.Delivery) (context.Context, trace.Span) {
	carrier := propagation.MapCarrier{schemas.HeaderTraceParent: d.TraceParent}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	return w.tracer.Start(ctx, "worker.job",
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("semantic.job", d.JobID),
			attribute.String("semantic.request_id", d.RequestID),
			attribute.String("semantic.model", d.Model),
			attribute.String("semantic.class", string(d.Class)),
			attribute.String("semantic.worker", w.identity.ID),
		))
}

func endSpan(span trace.Span, o outcome) {
	span.SetAttributes(attribute.String("semantic.outcome", string(o)))
	if o == outcomeFailed || o == outcomeAbandoned {
		span.SetStatus(codes.Error, string(o))
	}
	span.End()
}
