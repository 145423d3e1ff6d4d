package queue_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestTraceOfStrangers: a direct publisher's trace context is the job's, in
// whatever capitals its library writes the header; what is none is none.
func TestTraceOfStrangers(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	_, js := stranger(t, srv)
	c := claimer(t, q, "w")
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, header := range []struct{ parent, state, value, want string }{
		{"traceparent", "tracestate", parent, "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"Traceparent", "Tracestate", parent, "4bf92f3577b34da6a3ce929d0e0e4736"},
		{"traceparent", "tracestate", "00-" + parent, "00000000000000000000000000000000"},
	} {
		msg := nats.NewMsg(queue.JobSubject(model, schemas.ClassNormal, 3, "local"))
		msg.Data = encoded(t, body("x"))
		msg.Header.Set(header.parent, header.value)
		msg.Header.Set(header.state, "vendor=1")
		if _, err := js.PublishMsg(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
		d := claim(t, c)
		got := d.Trace()
		if got.TraceID().String() != header.want || got.IsValid() && got.TraceState().Get("vendor") != "1" {
			t.Errorf("%s: the job carries %+v", header.parent, got)
		}
		add(t, d, started("w", "w-1", 1), done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTraceOfAttempts: the log tells whose spans came before, and since when
// nobody has worked on the job. Deltas carry no trace.
func TestTraceOfAttempts(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, unhurried)
	c := claimer(t, q, "w")
	submit(t, q, queue.Submission{JobID: "job", Job: body("x")})
	ctx, span := trace.NewTracerProvider().Tracer("test").Start(t.Context(), "attempt")
	d := claim(t, c)
	if len(d.Attempts()) != 0 || !d.WaitsSince().Equal(d.StoredAt) || d.ClaimedAt.IsZero() {
		t.Errorf("the first claim: attempts %v, waits since %v", d.Attempts(), d.WaitsSince())
	}
	for _, e := range []schemas.Event{started("w", "w-1", 1), delta("a"), delta("b"), requeued("w", "w-1")} {
		if err := d.Append(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.HandBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := claim(t, c)
	got := again.Attempts()
	if len(got) != 1 || got[0].Number != 1 || got[0].Worker != "w" || got[0].Tokens != 2 || got[0].Last.Before(got[0].Began) ||
		!got[0].Trace.Equal(span.SpanContext().WithRemote(true)) {
		t.Errorf("attempts %+v, want one of %+v", got, span.SpanContext())
	}
	if since := again.WaitsSince(); since.Before(got[0].Last) {
		t.Errorf("it waits since %v, and was worked on at %v", since, got[0].Last)
	}
	nc, _ := stranger(t, srv)
	for n, want := range map[uint64]bool{2: true, 3: false, 4: false, 5: true} {
		m, err := nc.Request("$JS.API.DIRECT.GET.EVENTS", []byte(`{"seq":`+string(rune('0'+n))+`}`), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Header.Get(schemas.HeaderTraceParent) != ""; got != want {
			t.Errorf("event %d has a trace: %v", n, got)
		}
	}
}
