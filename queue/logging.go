package queue

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// requestKey is the context's key of the request's id.
type requestKey struct{}

// WithRequestID makes what a call with this context logs about a job carry the
// id of the request. Submit and deliveries know theirs without it.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

// logOf is the logger for lines about one job.
func (q *Queue) logOf(ctx context.Context, jobID string) *slog.Logger {
	log := q.log.With(slog.String(schemas.LogRequestID, requestOf(ctx)), slog.String(schemas.LogJobID, jobID))
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		log = log.With(slog.String(schemas.LogTraceID, s.TraceID().String()))
	}
	return log
}

func requestOf(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// logOfMessage is the logger for lines about a claimed message.
func (q *Queue) logOfMessage(ctx context.Context, m jetstream.Msg, jobID string) *slog.Logger {
	header := m.Headers()
	ctx = trace.ContextWithRemoteSpanContext(WithRequestID(ctx, header.Get(schemas.HeaderRequestID)), traceOf(header))
	return q.logOf(ctx, jobID)
}
