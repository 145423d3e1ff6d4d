package queue

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// headerCarrier are a message's headers. nats.Header keeps names as they are
// written: in lower case here, in capitals by publishers that use Go's
// propagation.HeaderCarrier.
type headerCarrier nats.Header

func (c headerCarrier) Get(name string) string {
	if value := nats.Header(c).Get(name); value != "" {
		return value
	}
	return nats.Header(c).Get(http.CanonicalHeaderKey(name))
}

func (c headerCarrier) Set(name, value string) { nats.Header(c).Set(name, value) }

func (c headerCarrier) Keys() []string {
	return []string{schemas.HeaderTraceParent, schemas.HeaderTraceState}
}

// carryTrace writes the trace context of ctx into a message's header.
func carryTrace(ctx context.Context, header nats.Header) {
	propagation.TraceContext{}.Inject(ctx, headerCarrier(header))
}

// traceOf reads the trace context of a message; not valid where there is none.
func traceOf(ctx context.Context, header nats.Header) trace.SpanContext {
	carrier := headerCarrier(header)
	if carrier.Get(schemas.HeaderTraceParent) == "" {
		return trace.SpanContext{}
	}
	none := trace.ContextWithSpanContext(ctx, trace.SpanContext{})
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(none, carrier))
}

// Attempt is one that a job's log tells of.
type Attempt struct {
	// Number is the attempt's, from 1, and Worker who made it.
	Number int
	Worker string
	// Trace is the span of the claim, in that worker; not valid where it made none.
	Trace trace.SpanContext
	// Tokens is how many tokens it added to the log.
	Tokens int
	// Began and Last are when its first and last events were stored, by the
	// server's clock.
	Began, Last time.Time
}

// Attempts are those before this claim, in their order.
func (d *Delivery) Attempts() (all []Attempt) {
	for _, e := range d.log.Entries {
		if s := e.Event.Started; s != nil {
			all = append(all, Attempt{Number: s.Attempt, Worker: s.Worker, Trace: e.Trace, Began: e.Time})
		}
		if len(all) == 0 || e.Event.Requeued != nil {
			continue
		}
		last := &all[len(all)-1]
		last.Last = e.Time
		if e.Event.Delta != nil {
			last.Tokens += len(e.Event.Delta.Tokens)
		}
	}
	return all
}

// WaitsSince is since when nobody has worked on the job: since it was stored or,
// once it was begun, since the last word of whoever had it; by the server's clock.
func (d *Delivery) WaitsSince() time.Time {
	if !slices.ContainsFunc(d.log.Entries, func(e logEntry) bool { return e.Event.Started != nil }) {
		return d.StoredAt
	}
	return d.log.Entries[len(d.log.Entries)-1].Time
}

// Trace is the trace context that the job's message carries; not valid where it
// carries none.
func (d *Delivery) Trace() trace.SpanContext { return d.trace }

// startSubmit begins the span of one Submit: of a whole one, with its tries while
// the broker is away.
func (q *Queue) startSubmit(ctx context.Context, s Submission) (context.Context, trace.Span) {
	return q.tracer.Start(ctx, "queue.submit", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("publish"),
		semconv.MessagingDestinationName(jobsStream(s.Class)),
		semconv.GenAIRequestModel(s.Job.Model), attribute.String("semantic.class", string(s.Class))))
}

func endSubmit(span trace.Span, t Ticket) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("semantic.job", t.JobID), attribute.Int("semantic.flow", t.Flow),
			attribute.Bool("semantic.attached", t.Attached))
	}
}

func failSubmit(span trace.Span, err error) {
	span.SetAttributes(semconv.ErrorTypeKey.String(outcome(Ticket{}, err)))
	span.SetStatus(codes.Error, err.Error())
}
