package gateway

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// script is what a test worker does with a job. Its context ends with the test
// or when the job is cancelled.
type script func(ctx context.Context, j *claimed)

// testWorker is the smallest worker there can be: a claimer, a registration,
// a control feed, and a script in place of an engine.
type testWorker struct {
	b   *bench
	reg *queue.Registration

	mu      sync.Mutex
	running map[string]context.CancelCauseFunc
}

var errCancelled = errors.New("cancelled by its owner")

// announce enters a worker into the registry without claiming anything.
func (b *bench) announce(status schemas.WorkerStatus) *queue.Registration {
	b.t.Helper()
	status.Version = schemas.Version
	now := time.Now().UTC()
	for field, value := range map[*string]string{
		&status.ID: "w", &status.Incarnation: "i", &status.Host: "host", &status.Release: "test",
		&status.Model: "m", &status.Fingerprint: "f", &status.Backend: "sim",
	} {
		if *field == "" {
			*field = value
		}
	}
	if status.Cells == 0 {
		status.Context, status.Cells, status.CellsFree, status.Capacity = 4096, 1000, 1000, 4
	}
	status.StartedAt, status.UpdatedAt = now, now
	reg, err := b.q.Register(b.context(), status)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = reg.Close(ctx)
	})
	return reg
}

// work starts a worker for the model "m" that ends with the test.
func (b *bench) work(do script) *testWorker {
	b.t.Helper()
	w := &testWorker{b: b, running: map[string]context.CancelCauseFunc{}}
	w.reg = b.announce(schemas.WorkerStatus{})

	ctx, stop := context.WithCancel(context.Background())
	claimer, err := b.q.NewClaimer(ctx, queue.ClaimOptions{Model: "m", WorkerID: "w", Incarnation: "i"})
	if err != nil {
		b.t.Fatal(err)
	}
	control, err := b.q.Control(ctx, "w")
	if err != nil {
		b.t.Fatal(err)
	}
	var wg sync.WaitGroup
	b.t.Cleanup(func() {
		stop()
		claimer.Close()
		control.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			m, err := control.Next(ctx)
			if err != nil {
				return
			}
			w.mu.Lock()
			if cancel, ok := w.running[m.JobID]; ok && m.Reason == "deadline" {
				cancel(nil) // who sent this ends the job
			} else if ok {
				cancel(errCancelled)
			}
			w.mu.Unlock()
		}
	})
	wg.Go(func() {
		for {
			d, err := claimer.Next(ctx)
			if err != nil {
				return
			}
			wg.Go(func() { w.run(ctx, d, do) })
		}
	})
	return w
}

func (w *testWorker) run(ctx context.Context, d *queue.Delivery, do script) {
	job, err := d.Job()
	if err != nil {
		w.b.t.Errorf("the gateway stored a bad job: %v", err)
		return
	}
	beating, stopBeating := context.WithCancel(ctx)
	var beat sync.WaitGroup
	beat.Go(func() { _ = d.KeepAlive(beating) })
	defer beat.Wait()
	defer stopBeating()

	jobCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w.mu.Lock()
	w.running[d.JobID] = cancel
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.running, d.JobID)
		w.mu.Unlock()
	}()

	j := &claimed{t: w.b.t, ctx: ctx, d: d, job: job}
	do(jobCtx, j)
	if errors.Is(context.Cause(jobCtx), errCancelled) {
		j.append(schemas.Event{Type: schemas.EventCancelled, Cancelled: &schemas.Cancelled{Reason: "client_disconnected"}})
	}
	if ctx.Err() == nil {
		if err := d.Ack(ctx); err != nil && !errors.Is(err, queue.ErrNotTerminal) && ctx.Err() == nil {
			w.b.t.Errorf("ack: %v", err)
		}
	}
}

// claimed is a job in a script's hands.
type claimed struct {
	t   *testing.T
	ctx context.Context // the worker's: appends outlive the script's context
	d   *queue.Delivery
	job schemas.Job

	tokens int
}

func (j *claimed) append(e schemas.Event) {
	err := j.d.Append(j.ctx, e)
	if err != nil && j.ctx.Err() == nil && !errors.Is(err, queue.ErrFenced) && !errors.Is(err, queue.ErrTerminal) {
		j.t.Errorf("append %s: %v", e.Type, err)
	}
}

func (j *claimed) start() {
	j.append(schemas.Event{Type: schemas.EventStarted, Started: &schemas.Started{
		Attempt: 1, Worker: "w", Incarnation: "i", Fingerprint: "f", Seed: 1, PromptTokens: 3,
	}})
}

func (j *claimed) delta(text string) {
	j.tokens++
	output := schemas.Output{Tokens: []int32{int32(j.tokens)}, Text: text}
	j.append(schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: output}})
}

func (j *claimed) usage() schemas.Usage {
	return schemas.Usage{PromptTokens: 3, CompletionTokens: j.tokens}
}

func (j *claimed) done() {
	j.append(schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{
		FinishReason: schemas.FinishStop, Usage: j.usage(),
	}})
}

func (j *claimed) fail(code schemas.Code, message string) {
	u := j.usage()
	j.append(schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{Code: code, Message: message, Usage: &u}})
}

// echo answers with the words of the last message.
func echo(_ context.Context, j *claimed) {
	j.start()
	last := j.job.Messages[len(j.job.Messages)-1].Content
	for _, word := range strings.SplitAfter(last, " ") {
		j.delta(word)
	}
	j.done()
}
