package gateway

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// draining waits until new requests are refused.
func (b *bench) draining() {
	b.t.Helper()
	eventually(b.t, "the gateway is stopping", b.g.tracker.isStopping)
}

func TestDrainLetsStreamsFinish(t *testing.T) {
	b := startBench(t)
	goOn := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("before ")
		select {
		case <-goOn:
		case <-ctx.Done():
			return
		}
		j.delta("after")
		j.done()
	})
	resp := b.post(chatBody("", true))
	stream := newSSEReader(t, resp.Body)
	first, _ := stream.next()

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.g.Drain(b.context())
	}()
	b.draining()
	refused := b.post(chatBody("late", true))
	wantError(t, refused, schemas.CodeServerRestarting)
	if !refused.Close {
		t.Error("the connection to a stopping gateway is kept")
	}
	select {
	case <-drained:
		t.Fatal("Drain returned under a live stream")
	default:
	}
	close(goOn)
	if got := text(t, append([]sseEvent{first}, stream.rest()...)); got != "before after" {
		t.Errorf("text %q", got)
	}
	<-drained
	b.g.Drain(b.context())
	var events []any
	for _, line := range b.logs.lines(t) {
		if line[schemas.LogEvent] == schemas.LogEventDrainBegin || line[schemas.LogEvent] == schemas.LogEventDrainEnd {
			events = append(events, line[schemas.LogEvent])
		}
	}
	if !slices.Equal(events, []any{schemas.LogEventDrainBegin, schemas.LogEventDrainEnd}) {
		t.Errorf("logged %v", events)
	}
}

// At the end of its time Drain cuts: the stream says so, a request that is not
// streamed gets its status, and neither job is cancelled.
func TestDrainCutsAndCancelsNothing(t *testing.T) {
	b := startBench(t)
	goOn := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("half ")
		select {
		case <-goOn:
		case <-ctx.Done():
			t.Error("a job was cancelled by a stopping gateway")
			return
		}
		j.delta("whole")
		j.done()
	})
	streamed := b.post(chatBody("", true))
	stream := newSSEReader(t, streamed.Body)
	first, _ := stream.next()

	var whole reply
	var wg sync.WaitGroup
	wg.Go(func() { whole = b.post(chatBody("", false)) })
	eventually(t, "both jobs run", func() bool { return b.stored() == 2 })

	over, cancel := context.WithCancel(context.Background())
	cancel()
	b.g.Drain(over)
	wg.Wait()

	events := append([]sseEvent{first}, stream.rest()...)
	last := events[len(events)-1]
	job := streamed.Header.Get(headerJob)
	if !strings.Contains(last.data, string(schemas.CodeServerRestarting)) || !strings.Contains(last.data, job) || last.id != "" {
		t.Errorf("the stream ends with %+v", last)
	}
	wantError(t, whole, schemas.CodeServerRestarting)

	close(goOn)
	for _, id := range []string{job, whole.Header.Get(headerJob)} {
		eventually(t, "job "+id+" is done", func() bool {
			log, err := b.q.Log(b.context(), ownerLocal, id)
			return err == nil && log[len(log)-1].Type == schemas.EventDone
		})
	}
}

// Cut ends at once what a Drain waits for, wherever it is, and leaves the jobs.
func TestCutEndsADrain(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Expect = []string{"waiting"} })
	goOn := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		j.delta("half ")
		select {
		case <-goOn:
		case <-ctx.Done():
			t.Error("a job was cancelled by a stopping gateway")
			return
		}
		j.done()
	})
	begun := b.post(chatBody("", true))
	stream := newSSEReader(t, begun.Body)
	if first, _ := stream.next(); first.data == "" {
		t.Fatalf("the stream begins with %+v", first)
	}
	var held reply
	var wg sync.WaitGroup
	wg.Go(func() { held = b.post(strings.Replace(chatBody("", true), `"m"`, `"waiting"`, 1)) })
	eventually(t, "both jobs are stored", func() bool { return b.stored() == 2 })

	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.g.Drain(context.Background())
	}()
	b.draining()
	b.g.Cut(b.context())
	<-drained
	wg.Wait()
	b.g.Cut(b.context())

	events := stream.rest()
	last, job := events[len(events)-1], begun.Header.Get(headerJob)
	if !strings.Contains(last.data, string(schemas.CodeServerRestarting)) || !strings.Contains(last.data, job) {
		t.Errorf("the stream ends with %+v", last)
	}
	if got := wantError(t, held, schemas.CodeServerRestarting); !strings.Contains(got.Message, held.Header.Get(headerJob)) {
		t.Errorf("%q does not name the job", got.Message)
	}
	close(goOn)
	b.wantEnd(job, schemas.EventDone)
	eventually(t, "only the job that nobody had taken is left", func() bool { return b.stored() == 1 })
}

// A client that leaves because the gateway stops does not lose its job.
func TestDisconnectWhileDrainingCancelsNothing(t *testing.T) {
	b := startBench(t)
	goOn := make(chan struct{})
	ids := make(chan string, 1)
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		ids <- j.d.JobID
		select {
		case <-goOn:
		case <-ctx.Done():
			t.Error("cancelled")
			return
		}
		j.done()
	})
	leave := b.inBackground(chatBody("", true))
	id := <-ids
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.g.Drain(b.context())
	}()
	b.draining()
	leave()
	<-drained
	close(goOn)
	eventually(t, "the job is done", func() bool {
		log, err := b.q.Log(b.context(), ownerLocal, id)
		return err == nil && log[len(log)-1].Type == schemas.EventDone
	})
}

// A client that does not read cannot hold up the end of the gateway.
func TestDrainCutsAClientThatDoesNotRead(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.WriteTimeout = time.Hour })
	b.g.tracker.cutTimeout = cutWriteTimeout
	filled := make(chan struct{})
	b.work(func(ctx context.Context, j *claimed) {
		j.start()
		piece := strings.Repeat("x", 64<<10)
		for i := range 400 {
			j.delta(piece)
			if i == 200 {
				close(filled)
			}
			if ctx.Err() != nil {
				return
			}
		}
		j.done()
	})
	b.post(chatBody("", true)) // and never reads
	<-filled
	over, cancel := context.WithCancel(context.Background())
	cancel()
	b.g.Drain(over)
	for _, line := range b.logs.lines(t) {
		if line["level"] == "ERROR" {
			t.Errorf("Drain gave up: %v", line)
		}
	}
}

func TestDrainIdle(t *testing.T) {
	b := startBench(t)
	b.g.Drain(b.context())
	b.g.Drain(b.context())
}
