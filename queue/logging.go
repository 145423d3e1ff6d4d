package queue

import (
	"context"
	"log/slog"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// aboutKey is the context's key of an about.
type aboutKey struct{}

// about is what lines about a job say of it besides its id and its trace.
type about struct{ requestID, model string }

// WithRequestID makes what a call with this context logs about a job carry the
// id of the request. Submit and deliveries know theirs without it.
func WithRequestID(ctx context.Context, id string) context.Context {
	a, _ := ctx.Value(aboutKey{}).(about)
	a.requestID = id
	return context.WithValue(ctx, aboutKey{}, a)
}

// withModel does so with the job's model.
func withModel(ctx context.Context, model string) context.Context {
	a, _ := ctx.Value(aboutKey{}).(about)
	a.model = model
	return context.WithValue(ctx, aboutKey{}, a)
}

// logOf is the logger for lines about one job.
func (q *Queue) logOf(ctx context.Context, jobID string) *slog.Logger {
	a, _ := ctx.Value(aboutKey{}).(about)
	log := q.log.With(slog.String(schemas.LogRequestID, a.requestID), slog.String(schemas.LogJobID, jobID))
	if a.model != "" {
		log = log.With(slog.String(schemas.LogModel, a.model))
	}
	if s := trace.SpanContextFromContext(ctx); s.HasTraceID() {
		log = log.With(slog.String(schemas.LogTraceID, s.TraceID().String()))
	}
	return log
}

func requestOf(ctx context.Context) string {
	a, _ := ctx.Value(aboutKey{}).(about)
	return a.requestID
}

// aboutMessage is ctx for what concerns a job's message.
func aboutMessage(ctx context.Context, header nats.Header, subject string) context.Context {
	ctx = WithRequestID(ctx, header.Get(schemas.HeaderRequestID))
	if address, err := parseJobSubject(subject); err == nil {
		ctx = withModel(ctx, address.Model)
	}
	return trace.ContextWithRemoteSpanContext(ctx, traceOf(ctx, header))
}

// logOfMessage is the logger for lines about a claimed message.
func (q *Queue) logOfMessage(ctx context.Context, m *nats.Msg, jobID string) *slog.Logger {
	return q.logOf(aboutMessage(ctx, m.Header, m.Subject), jobID)
}
