package natsinit_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// TestOperate: observers list jobs, find them and ask workers what they run, but
// drain, change and cancel nothing; gateways do, and hear the end of it.
func TestOperate(t *testing.T) {
	c := start(t, natsinit.Options{})
	gateway := c.open(t, "gateway")
	if err := gateway.Ensure(within(t)); err != nil {
		t.Fatal(err)
	}
	worker := c.open(t, "worker")
	entry, err := worker.Register(within(t), status(machine))
	if err != nil {
		t.Fatal(err)
	}
	feed, err := worker.Control(within(t), machine)
	if err != nil {
		t.Fatal(err)
	}
	// Whoever gets no answer soon asks again, so that a message may come twice.
	drains := make(chan map[string]bool, 1)
	go func() {
		told := make(map[string]bool) // by the token of the answer
		defer func() { drains <- told }()
		for {
			m, err := feed.Next(t.Context())
			if err != nil {
				return
			}
			settings := &queue.WorkerSettings{}
			report := queue.WorkerReport{
				Worker: machine, Incarnation: status(machine).Incarnation, Tokens: 7, Settings: settings, Before: settings,
			}
			if feed.Answer(m, report); m.Kind == queue.ControlDrain {
				report.Drained = &queue.Drained{HandedOver: 2}
				feed.Answer(m, report)
				told[m.Answer] = true
			}
		}
	}()
	ticket, err := gateway.Submit(within(t), queue.Submission{Job: schemas.Job{
		Version: schemas.Version, Model: "sim", Messages: []schemas.Message{{Role: schemas.RoleUser, Content: "x"}},
	}})
	if err != nil {
		t.Fatal(err)
	}

	// What is refused is told to the caller, not to the log.
	observer := c.open(t, "observer", func(o *queue.Options) { o.Logger = slog.New(slog.DiscardHandler) })
	workers, err := observer.Reports(within(t))
	for ctx := within(t); err == nil && len(workers) == 1 && workers[0].Report == nil && ctx.Err() == nil; { // not within a second
		workers, err = observer.Reports(ctx)
	}
	if err != nil || len(workers) != 1 || workers[0].Report == nil || workers[0].Report.Tokens != 7 {
		t.Errorf("reports: %+v, %v", workers, err)
	}
	list, err := observer.Jobs(within(t), queue.JobFilter{Limit: 10})
	if err != nil || len(list.Jobs) != 1 || list.Jobs[0].Status != queue.StatusQueued {
		t.Errorf("jobs: %+v, %v", list, err)
	}
	if states, err := observer.Find(within(t), "", ticket.JobID); err != nil || len(states) != 1 {
		t.Errorf("find: %+v, %v", states, err)
	}
	if oldest, err := observer.Oldest(within(t), "sim", schemas.ClassNormal); err != nil || oldest.IsZero() {
		t.Errorf("oldest: %v, %v", oldest, err)
	}
	if _, err := observer.Topology(within(t)); err != nil {
		t.Errorf("topology: %v", err)
	}
	if _, _, err := observer.Drain(within(t), machine, nil); !errors.Is(err, queue.ErrForbidden) {
		t.Errorf("an observer drains: %v", err)
	}
	if err := observer.Cancel(within(t), "", ticket.JobID, "requested"); !errors.Is(err, queue.ErrForbidden) {
		t.Errorf("an observer cancels: %v", err)
	}
	if _, err := observer.SetBatchWindow(within(t), machine, 1); !errors.Is(err, queue.ErrForbidden) {
		t.Errorf("an observer sets the batch window: %v", err)
	}
	err = answered(t, func(ctx context.Context) error {
		_, err := gateway.SetBatchWindow(ctx, machine, 1)
		return err
	})
	if err != nil {
		t.Errorf("a gateway sets the batch window: %v", err)
	}

	var draining *queue.Draining
	tries := 0
	err = answered(t, func(ctx context.Context) (err error) {
		tries++
		draining, _, err = gateway.Drain(ctx, machine, nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer draining.Close()
	if err := entry.Close(within(t)); err != nil {
		t.Fatal(err)
	}
	if drained, err := draining.Wait(within(t)); err != nil || drained == nil || drained.HandedOver != 2 {
		t.Errorf("drained: %+v, %v", drained, err)
	}
	feed.Close()
	if told := <-drains; len(told) == 0 || len(told) > tries {
		t.Errorf("the worker was told to drain %d times, want %d", len(told), tries)
	}
}

// answered asks a worker until it answers: it has a second, which is short where the
// worker shares a busy machine with the test.
func answered(t *testing.T, ask func(context.Context) error) error {
	t.Helper()
	ctx := within(t)
	err := ask(ctx)
	for errors.Is(err, queue.ErrSilent) && ctx.Err() == nil {
		err = ask(ctx)
	}
	return err
}
