package chaos

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/cmd/semantic/e2e/simulated"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Jobs of class batch, published at once, for four workers of which the busiest is
// killed at a third: each has one result, and it is its own. There are 1,000 of
// them, or CHAOS_JOBS.
func TestBatchJobs(t *testing.T) {
	n := 1000
	if text := os.Getenv("CHAOS_JOBS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CHAOS_JOBS: %v", err)
		}
	}
	b := newBook()
	worker := []string{"--backend", "sim", "--model", "sim", "--sim-step", "2ms", "--parallel", "16"}
	f := makeFleet(t, b, "", 0, worker, worker, worker, worker)
	b.phase("publish")
	f.publishBatch(t, n)
	b.phase("work")
	w := f.watchBatch(t, n)
	if t.Failed() {
		return
	}
	b.phase("check")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.settle(ctx); err != nil {
		t.Error(err)
	}
	logs, err := f.logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	missing, twice, wrong := 0, 0, 0
	results, right := map[string]bool{}, newSimulation(t)
	for i := range n {
		ends, got := 0, newAnswer()
		log := logs[batchID(i)]
		if log == nil {
			missing++
			continue
		}
		for _, s := range log.events {
			got.add(s.event)
			if s.event.Type.Terminal() {
				ends++
			}
		}
		text := got.choice(0).text
		results[text] = true
		switch {
		case ends == 0:
			missing++
		case ends > 1:
			twice++
		case text != saidBy(t, right, batchPrompt(i)):
			wrong++
		}
	}
	b.phase("stop")
	f.leave()
	f.checkLogs()
	t.Logf("%d jobs, %d results, %d missing, %d twice, %d wrong; %s was killed with %d done and %d at hand; %d were taken up by others\n%s",
		n, len(results), missing, twice, wrong, w.victim, w.done[w.victim], w.atHand, w.resumed, b.report("batch", 0, 25))
	if missing+twice+wrong > 0 || len(results) != n || len(logs) != n || len(b.failures) > 0 {
		t.Errorf("%d logs of %d jobs", len(logs), n)
	}
}

func batchID(i int) string { return fmt.Sprintf("batch-%d", i) }

// batchPrompt asks for so many words that no two answers are alike.
func batchPrompt(i int) string { return fmt.Sprintf("Answer number %d. words=6", i) }

func batchJob(i int) schemas.Job {
	zero := 0.0
	return schemas.Job{
		Version: schemas.Version, Model: "sim", Temperature: &zero,
		Messages: []schemas.Message{{Role: schemas.RoleUser, Content: batchPrompt(i)}},
	}
}

// publishBatch stores all jobs.
func (f *fleet) publishBatch(t *testing.T, n int) {
	t.Helper()
	js, err := jetstream.New(f.nc, jetstream.WithPublishAsyncMaxPending(256), jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	acks := make([]jetstream.PubAckFuture, n)
	for i := range n {
		job := batchJob(i)
		data, err := schemas.EncodeJob(job)
		if err != nil {
			t.Fatal(err)
		}
		if acks[i], err = js.PublishMsgAsync(&nats.Msg{
			Subject: queue.JobSubject("sim", schemas.ClassBatch, queue.Flow(queue.OwnerLocal, job), queue.OwnerLocal),
			Header:  nats.Header{schemas.HeaderJobID: {batchID(i)}}, Data: data,
		}, jetstream.WithStallWait(patience)); err != nil {
			t.Fatal(err)
		}
	}
	for i, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			t.Fatalf("job %d: %v", i, err)
		}
	}
}

// work is what was seen of who did what.
type work struct {
	victim          string
	done            map[string]int
	atHand, resumed int
}

// watchBatch waits until all jobs have ended, and kills the busiest worker when a
// third has.
func (f *fleet) watchBatch(t *testing.T, n int) work {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	defer cancel()
	stream, err := f.js.Stream(ctx, "EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	w, holder := work{done: map[string]int{}}, map[string]string{}
	for ended := 0; ended < n; {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("after %d ends: %v", ended, err)
		}
		e, err := schemas.DecodeEvent(m.Data())
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Started != nil:
			if holder[e.Job] != "" {
				w.resumed++
			}
			holder[e.Job] = e.Started.Worker
		case e.Type.Terminal():
			ended++
			w.done[holder[e.Job]]++
			if e.Done == nil {
				t.Errorf("job %s ended as %s", e.Job, e.Type)
			}
			delete(holder, e.Job)
		}
		if w.victim == "" && ended >= n/3 {
			for id, done := range w.done {
				if w.victim == "" || done > w.done[w.victim] {
					w.victim = id
				}
			}
			for _, id := range holder {
				if id == w.victim {
					w.atHand++
				}
			}
			f.killWorker(t, w.victim)
		}
	}
	return w
}

// killWorker kills the worker with an id, for good.
func (f *fleet) killWorker(t *testing.T, id string) {
	t.Helper()
	m := f.workerOf(t, id)
	m.hold.Lock()
	f.book.fault(faultKillWorker, m.name)()
	m.kill()
}

// workerOf finds a worker by its id.
func (f *fleet) workerOf(t *testing.T, id string) *member {
	t.Helper()
	for _, m := range f.workers {
		if text, err := os.ReadFile(m.ready); err == nil && strings.Contains(string(text), `"`+id+`"`) {
			return m
		}
	}
	t.Fatalf("there is no worker %s", id)
	return nil
}

// newSimulation says what is right without a run.
func newSimulation(t *testing.T) *simulated.Model {
	t.Helper()
	model, err := simulated.New()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// saidBy is what the model says to a prompt that ends in words=N.
func saidBy(t *testing.T, model *simulated.Model, prompt string) string {
	t.Helper()
	text, err := model.Text(prompt)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
