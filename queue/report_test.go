package queue_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestReportAndDrain: a worker is asked what it runs and told to drain; the
// sender hears what became of its jobs, also where the last word gets lost.
func TestReportAndDrain(t *testing.T) {
	srv := queuetest.Start(t)
	mine, operator := queuetest.Open(t, srv, fast, lasting), queuetest.Open(t, srv, fast, lasting)
	registration, err := mine.Register(t.Context(), schemas.WorkerStatus{
		ID: "w", Incarnation: "w-1", Model: model, Fingerprint: "f", Backend: "sim", StartedAt: time.Now(), UpdatedAt: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 2*time.Minute)
	if _, err := operator.Report(ctx, "nobody"); !errors.Is(err, queue.ErrSilent) {
		t.Errorf("nobody is there: %v", err)
	}
	waitFor(t, func() bool {
		live, err := operator.Reports(ctx)
		return err == nil && len(live) == 1 && errors.Is(live[0].Silent, queue.ErrSilent)
	})
	feed, err := mine.Control(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	report := queue.WorkerReport{Worker: "w", Incarnation: "w-1", Tokens: 7, Jobs: []queue.RunningJob{{JobID: "j", Owner: "o"}}}
	asked := make(chan queue.ControlMessage, 64)
	go func() {
		for {
			m, err := feed.Next(context.WithoutCancel(ctx))
			if err != nil {
				return
			}
			if m.Kind == queue.ControlDrain {
				asked <- m
			}
			feed.Answer(m, report)
		}
	}()
	// A worker has a second to answer: one that is held up for longer is asked again.
	var got queue.WorkerReport
	waitFor(t, func() bool {
		got, err = operator.Report(ctx, "w")
		return !errors.Is(err, queue.ErrSilent)
	})
	if err != nil || got.Tokens != 7 || len(got.Jobs) != 1 || got.Jobs[0].JobID != "j" {
		t.Fatalf("report %+v, %v", got, err)
	}
	var live []queue.LiveWorker
	waitFor(t, func() bool {
		live, err = operator.Reports(ctx)
		return err != nil || len(live) != 1 || !errors.Is(live[0].Silent, queue.ErrSilent)
	})
	if err != nil || len(live) != 1 || live[0].Silent != nil || live[0].Report == nil || live[0].Report.Tokens != 7 {
		t.Fatalf("reports %+v, %v", live, err)
	}

	timeout := 3 * time.Second
	var draining *queue.Draining
	waitFor(t, func() bool {
		draining, got, err = operator.Drain(ctx, "w", &timeout)
		return !errors.Is(err, queue.ErrSilent)
	})
	if err != nil || len(got.Jobs) != 1 {
		t.Fatalf("drain: %+v, %v", got, err)
	}
	defer draining.Close()
	last := report
	last.Drained = &queue.Drained{Ended: 1, HandedOver: 2}
	for len(asked) > 0 { // the one that was agreed upon is the last, or was told twice
		order := <-asked
		if order.TimeoutMS == nil || *order.TimeoutMS != 3000 {
			t.Errorf("told %+v", order)
		}
		feed.Answer(order, last)
	}
	if err := registration.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if drained, err := draining.Wait(ctx); err != nil || drained == nil || *drained != (queue.Drained{Ended: 1, HandedOver: 2}) {
		t.Errorf("drained %+v, %v", drained, err)
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := operator.Drain(over, "w", nil); err == nil {
		t.Error("drain with a context that has ended: no error")
	}
}

// TestPosition: who came later has more before it.
func TestPosition(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t))
	var tickets []queue.Ticket
	for range 11 {
		tickets = append(tickets, submit(t, q, queue.Submission{Job: body("x")}))
	}
	claim(t, claimer(t, q, "w"))
	if waiting, err := q.Waiting(t.Context(), model, schemas.ClassNormal); err != nil || waiting != 10 {
		t.Errorf("%d wait, %v; want 10", waiting, err)
	}
	position := func(stored time.Time) int64 {
		ahead, _, err := q.Position(t.Context(), model, schemas.ClassNormal, stored)
		if err != nil {
			t.Fatal(err)
		}
		return ahead
	}
	before := position(time.Time{})
	if before != 0 {
		t.Errorf("%d ahead of one that came before all, want 0", before)
	}
	for i, ticket := range tickets[1:] {
		state, err := q.State(t.Context(), "", ticket.JobID)
		if err != nil {
			t.Fatal(err)
		}
		ahead := position(state.StoredAt)
		if ahead < before || ahead > 9 {
			t.Errorf("job %d: %d ahead after %d", i+1, ahead, before)
		}
		before = ahead
	}
	if last := position(time.Now().Add(time.Hour)); last != 9 {
		t.Errorf("%d ahead of one that came after all, want 9", last)
	}
}
