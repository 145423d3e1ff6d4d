package worker

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

const tracerName = "github.com/semantic-worker/semantic/worker"

// claimTrace are the spans of one claim: worker.job, as a child of what the job's
// message carries, and in it queue.wait, worker.claim and those of the engine.
// These are made from the timelines of the sequences, here and not in the engine's
// loop: no token waits for a span.
type claimTrace struct {
	tracer trace.Tracer
	// job is the whole claim.
	job trace.Span
	// since is when the wait began, claimed when it ended; opened says that there
	// are spans of the wait and of worker.claim.
	since, claimed time.Time
	opened         bool
}

// mostLinks bounds the earlier attempts that are linked: the latest.
const mostLinks = 16

// startTrace begins the spans of a claim. A job that carries no trace begins one;
// its later attempts go on with that, which its log carries.
func (w *Worker) startTrace(d *queue.Delivery) claimTrace {
	parent, before := d.Trace(), d.Attempts()
	for i := 0; i < len(before) && !parent.IsValid(); i++ {
		parent = before[i].Trace
	}
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), parent)
	_, job := w.tracer.Start(ctx, "worker.job", trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(d.ClaimedAt))
	// The wait is measured by the broker's clock alone, and shown by this one.
	waited := max(d.BrokerTime(d.ClaimedAt).Sub(d.WaitsSince()), 0)
	t := claimTrace{tracer: w.tracer, job: job, since: d.ClaimedAt.Add(-waited), claimed: d.ClaimedAt}
	if !job.IsRecording() {
		return t
	}
	job.SetAttributes(
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("claim"),
		semconv.GenAIProviderNameKey.String("semantic"), semconv.GenAIRequestModel(d.Model), semconv.GenAIResponseModel(w.model.Name),
		attribute.String("semantic.job", d.JobID), attribute.String("semantic.request_id", d.RequestID),
		attribute.String("semantic.class", string(d.Class)), attribute.Int("semantic.flow", d.Flow),
		attribute.String("semantic.worker", w.identity.ID), attribute.Int64("semantic.deliveries", int64(d.Deliveries)),
	)
	for _, a := range before[max(len(before)-mostLinks, 0):] {
		if a.Trace.IsValid() {
			job.AddLink(trace.Link{SpanContext: a.Trace, Attributes: []attribute.KeyValue{
				attribute.Int("semantic.attempt", a.Number), attribute.String("semantic.worker", a.Worker),
				attribute.Int("semantic.tokens", a.Tokens), attribute.Float64("semantic.seconds", a.Last.Sub(a.Began).Seconds()),
			}})
		}
	}
	return t
}

// context is that of everything that is done for the claim.
func (t *claimTrace) context(ctx context.Context) context.Context {
	return trace.ContextWithSpan(ctx, t.job)
}

// asked says what the job wants, once it can be read.
func (t *claimTrace) asked(job schemas.Job) {
	if !t.job.IsRecording() {
		return
	}
	attrs := []attribute.KeyValue{semconv.GenAIOperationNameChat}
	if job.Kind == schemas.KindCompletion {
		attrs[0] = semconv.GenAIOperationNameTextCompletion
	}
	asks(&attrs, semconv.GenAIRequestMaxTokens, job.MaxTokens)
	asks(&attrs, semconv.GenAIRequestChoiceCount, job.N)
	asks(&attrs, semconv.GenAIRequestTemperature, job.Temperature)
	asks(&attrs, semconv.GenAIRequestTopP, job.TopP)
	asks(&attrs, semconv.GenAIRequestPresencePenalty, job.PresencePenalty)
	asks(&attrs, semconv.GenAIRequestFrequencyPenalty, job.FrequencyPenalty)
	t.job.SetAttributes(attrs...)
}

// asks adds what a job sets by itself.
func asks[T any](attrs *[]attribute.KeyValue, name func(T) attribute.KeyValue, value *T) {
	if value != nil {
		*attrs = append(*attrs, name(*value))
	}
}

// submitted makes the spans until now, when the engine has the job.
func (t *claimTrace) submitted(ctx context.Context, task *task, choices []*choice) {
	if t.job.IsRecording() {
		t.open(ctx, choices[0].seq.Timeline().Submitted,
			semconv.GenAIUsageInputTokens(task.promptTokens()), attribute.Int("semantic.choices", len(choices)))
	}
}

// open makes queue.wait, and worker.claim until a time, once.
func (t *claimTrace) open(ctx context.Context, until time.Time, attrs ...attribute.KeyValue) {
	if t.opened {
		return
	}
	t.opened = true
	_, wait := t.tracer.Start(ctx, "queue.wait", trace.WithTimestamp(t.since))
	wait.End(trace.WithTimestamp(t.claimed))
	_, claim := t.tracer.Start(ctx, "worker.claim", trace.WithTimestamp(t.claimed), trace.WithAttributes(attrs...))
	claim.End(trace.WithTimestamp(until))
}

// began makes the spans until a choice's first token: engine.admission and
// engine.prefill, once; of one that never got so far, as much as there is.
func (t *claimTrace) began(ctx context.Context, c *choice) {
	if c.traced || c.seq == nil || !t.job.IsRecording() {
		return
	}
	c.traced = true
	line := c.seq.Timeline()
	which := attribute.Int("semantic.choice", c.index)
	row := soonest(line.FirstRow, line.Ended)
	_, admission := t.tracer.Start(ctx, "engine.admission", trace.WithTimestamp(line.Submitted), trace.WithAttributes(which))
	if !line.Admitted.IsZero() {
		admission.AddEvent("admitted", trace.WithTimestamp(line.Admitted))
	}
	admission.End(trace.WithTimestamp(row))
	if line.FirstRow.IsZero() {
		return
	}
	_, prefill := t.tracer.Start(ctx, "engine.prefill", trace.WithTimestamp(row), trace.WithAttributes(
		which, semconv.GenAIUsageInputTokens(line.Prompt), semconv.GenAIUsageCacheReadInputTokens(line.Cached)))
	for _, read := range line.Reads {
		name := "chunk"
		if read.Replay {
			name = "replay"
		}
		prefill.AddEvent(name, trace.WithTimestamp(read.At.Add(read.Took)), trace.WithAttributes(
			attribute.Int("semantic.rows", read.Rows), attribute.Float64("semantic.step_seconds", read.Took.Seconds())))
	}
	addPauses(prefill, line, row, line.FirstToken)
	prefill.End(trace.WithTimestamp(soonest(line.FirstToken, line.Ended)))
}

// ended makes a choice's last span, engine.decode; err is what ended it, if that
// was not itself.
func (t *claimTrace) ended(ctx context.Context, c *choice, err error) {
	if c.seq == nil || c.over || !t.job.IsRecording() {
		return
	}
	t.began(ctx, c)
	c.over = true
	line := c.seq.Timeline()
	if line.FirstToken.IsZero() {
		return
	}
	_, decode := t.tracer.Start(ctx, "engine.decode", trace.WithTimestamp(line.FirstToken), trace.WithAttributes(
		attribute.Int("semantic.choice", c.index), semconv.GenAIUsageOutputTokens(line.Generated)))
	if n := line.Generated; n > 1 {
		decode.SetAttributes(attribute.Float64("gen_ai.server.time_per_output_token",
			line.LastToken.Sub(line.FirstToken).Seconds()/float64(n-1)))
	}
	addPauses(decode, line, line.FirstToken, time.Time{})
	if err != nil {
		decode.SetAttributes(semconv.ErrorTypeKey.String(endOf(err)))
	} else {
		decode.SetAttributes(semconv.GenAIResponseFinishReasons(string(c.ending(c.last))))
	}
	decode.End(trace.WithTimestamp(soonest(line.Ended)))
}

// addPauses tells of the times without a place that began between two others; a
// zero end is none.
func addPauses(span trace.Span, line engine.Timeline, from, to time.Time) {
	for _, pause := range line.Pauses {
		if pause.From.Before(from) || !to.IsZero() && !pause.From.Before(to) {
			continue
		}
		span.AddEvent("preempted", trace.WithTimestamp(pause.From))
		if !pause.To.IsZero() {
			span.AddEvent("resumed", trace.WithTimestamp(pause.To))
		}
	}
}

// soonest is the first time that has come; now if none has.
func soonest(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Now()
}

// endOf names what ended a sequence, in a few words of bounded variety.
func endOf(err error) string {
	for _, end := range []struct {
		err  error
		name string
	}{
		{engine.ErrCancelled, "cancelled"},
		{engine.ErrDrained, "drained"},
		{engine.ErrSlowConsumer, "slow_consumer"},
		{engine.ErrClosed, "closed"},
		{engine.ErrBackend, "backend"},
	} {
		if errors.Is(err, end.err) {
			return end.name
		}
	}
	return "_OTHER"
}

// concluded notes a job's end in the log.
func (t *claimTrace) concluded(event schemas.Event) {
	if !t.job.IsRecording() {
		return
	}
	switch {
	case event.Done != nil:
		t.job.SetAttributes(semconv.GenAIResponseFinishReasons(string(event.Done.FinishReason)),
			semconv.GenAIUsageCacheReadInputTokens(event.Done.Usage.CachedTokens))
	case event.Failed != nil:
		t.job.SetAttributes(semconv.ErrorTypeKey.String(string(event.Failed.Code)))
		t.job.SetStatus(codes.Error, string(event.Failed.Code))
	}
}

// end ends the claim. It is not called for one that only went on to another worker,
// as the same job does again and again until the right one takes it: that is part
// of the wait.
func (t *claimTrace) end(ctx context.Context, o outcome, usage schemas.Usage, attempt int, firstToken time.Duration) {
	if !t.job.IsRecording() {
		return
	}
	t.open(ctx, time.Now())
	t.job.SetAttributes(attribute.String("semantic.outcome", string(o)), attribute.Int("semantic.attempt", attempt))
	if usage.PromptTokens > 0 {
		t.job.SetAttributes(semconv.GenAIUsageInputTokens(usage.PromptTokens), semconv.GenAIUsageOutputTokens(usage.CompletionTokens))
	}
	if firstToken > 0 {
		t.job.SetAttributes(attribute.Float64("gen_ai.server.time_to_first_token", firstToken.Seconds()))
	}
	if o == outcomeFailed || o == outcomeAbandoned {
		t.job.SetStatus(codes.Error, string(o))
	}
	t.job.End()
}
