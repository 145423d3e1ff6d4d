package worker_test

import (
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// A job that carries no trace begins one, and its later attempts stay in it: here
// the first one is given back at a drain.
func TestTraceOverAttempts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	spans := tracetest.NewSpanRecorder()
	traced := func(s *setup) { s.tracer = trace.NewTracerProvider(trace.WithSpanProcessor(spans)) }
	g := newGate(t)
	first := h.start(traced, gated(g), func(s *setup) { s.config.DrainTimeout = 0 })
	follower := h.follow(h.publish("untraced", `{"v":1,"model":"sim","messages":[{"role":"user","content":"x words=30"}]}`))
	g.step(t, 9)
	before := h.until(follower, 3)
	first.stop()
	requireNoError(t, first.join())
	second := h.start(traced)
	h.rest(follower, before).done()
	requireNoError(t, second.drained())

	var jobs, waits []trace.ReadOnlySpan
	for _, s := range spans.Ended() {
		switch s.Name() {
		case "worker.job":
			jobs = append(jobs, s)
		case "queue.wait":
			waits = append(waits, s)
		}
	}
	if len(jobs) != 2 || len(waits) != 2 {
		t.Fatalf("%d claims and %d waits", len(jobs), len(waits))
	}
	if jobs[0].Parent().IsValid() || jobs[1].SpanContext().TraceID() != jobs[0].SpanContext().TraceID() {
		t.Errorf("the attempts are in the traces %v and %v", jobs[0].SpanContext().TraceID(), jobs[1].SpanContext().TraceID())
	}
	if links := jobs[1].Links(); len(links) != 1 || links[0].SpanContext.SpanID() != jobs[0].SpanContext().SpanID() {
		t.Errorf("links %v", links)
	}
	if waits[1].StartTime().Before(jobs[0].StartTime()) {
		t.Errorf("the second wait begins at %v, before the first attempt at %v", waits[1].StartTime(), jobs[0].StartTime())
	}
}
