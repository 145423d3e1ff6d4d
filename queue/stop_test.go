package queue_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestStoppingClaimerKeepsNothing: a claimer that is stopped while a job is on
// its way gives the job back at once; nobody has to wait for AckWait.
func TestStoppingClaimerKeepsNothing(t *testing.T) {
	srv := queuetest.Start(t)
	patient := func(o *queue.Options) { o.Config.AckWait = 10 * time.Minute }
	q := queuetest.Open(t, srv, patient)
	other := queuetest.Open(t, srv, patient)
	for i := range 40 {
		stopping := claimer(t, q, "stopping")
		ctx, cancel := context.WithCancel(t.Context())
		type result struct {
			d   *queue.Delivery
			err error
		}
		ended := make(chan result, 1)
		go func() {
			d, err := stopping.Next(ctx)
			ended <- result{d, err}
		}()
		ticket := submit(t, q, queue.Submission{Job: body("x")})
		pause := time.NewTimer(rand.N(600 * time.Microsecond))
		<-pause.C
		if i%2 == 0 {
			stopping.Close()
		} else {
			cancel()
		}
		r := <-ended
		cancel()
		stopping.Close()
		switch {
		case r.err == nil:
			if err := r.d.HandBack(t.Context()); err != nil {
				t.Fatal(err)
			}
		case !errors.Is(r.err, queue.ErrClosed) && !errors.Is(r.err, context.Canceled):
			t.Fatal(r.err)
		}
		c := claimer(t, other, "other")
		d := claim(t, c)
		if d.JobID != ticket.JobID {
			t.Fatalf("claimed %s, want %s", d.JobID, ticket.JobID)
		}
		add(t, d, done())
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
}

// TestUnreadableLog: a job whose log cannot be read is not taken, and not lost.
func TestUnreadableLog(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	nc, js := stranger(t, srv)
	if err := js.DeleteStream(t.Context(), "EVENTS"); err != nil {
		t.Fatal(err)
	}
	c := claimer(t, q, "w")
	if err := nc.Publish(queue.JobSubject(model, schemas.ClassNormal, 0, "ada"), encoded(t, body("x"))); err != nil {
		t.Fatal(err)
	}
	noClaim(t, c, 200*time.Millisecond)
	if err := q.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	add(t, claim(t, c), done())
}

// TestLostConsumer: somebody deleted the consumers; they are made again.
func TestLostConsumer(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast, unhurried)
	_, js := stranger(t, srv)
	d := claimed(t, q)
	add(t, d, done())
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := claimer(t, q, "w2")
	submit(t, q, queue.Submission{Job: body("x")})
	d = claim(t, c)
	add(t, d, done())
	if err := d.Ack(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), "JOBS_NORMAL")
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(t.Context()).Name() {
		if err := s.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	submit(t, q, queue.Submission{Job: body("x")})
	claim(t, c)
}

// TestNoTopology: what needs the streams says that they are missing.
func TestNoTopology(t *testing.T) {
	q := open(t, queuetest.Start(t))
	who := queue.ClaimOptions{Model: "m", WorkerID: "w", Incarnation: "i"}
	if _, err := q.NewClaimer(t.Context(), who); !errors.Is(err, queue.ErrNoTopology) {
		t.Errorf("claimer: %v", err)
	}
	if _, err := q.Workers(t.Context()); !errors.Is(err, queue.ErrNoTopology) {
		t.Errorf("workers: %v", err)
	}
	if _, err := q.Models(t.Context()); err == nil {
		t.Error("models without a bucket")
	}
}

// TestTrace: the submitter's span is the parent that the worker is told.
func TestTrace(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	q := queuetest.Open(t, queuetest.Start(t), func(o *queue.Options) { o.TracerProvider = provider })
	ctx, span := provider.Tracer("test").Start(t.Context(), "request")
	if _, err := q.Submit(ctx, queue.Submission{Job: body("x")}); err != nil {
		t.Fatal(err)
	}
	span.End()
	d := claim(t, claimer(t, q, "w"))
	stubs := spans.GetSpans()
	if len(stubs) != 2 || stubs[0].Name != "queue.submit" || stubs[0].Parent.SpanID() != span.SpanContext().SpanID() {
		t.Fatalf("spans %+v", stubs)
	}
	own := stubs[0].SpanContext
	if got := d.Trace(); got.TraceID() != own.TraceID() || got.SpanID() != own.SpanID() || !got.IsSampled() || !got.IsRemote() {
		t.Errorf("the job carries %+v, want %+v", got, own)
	}
}
