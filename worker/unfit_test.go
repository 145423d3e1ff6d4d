package worker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// unfitLine is what a worker says of a job that it leaves to others.
const unfitLine = "for another worker: this one cannot serve the job"

// A job of a newer release goes back, again and again but not in a hurry, and
// its neighbours are served meanwhile.
func TestNewerSchemaIsHandedBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	ticket := h.publish("newer", `{"v":99,"model":"sim","messages":[],"novelty":true}`)
	eventually(t, "handed back twice", func() bool { return w.metric("semantic_worker_jobs_total", "handed_back") >= 2 })
	h.result(h.submit(prompt("words=3"))).done()
	requireNoError(t, w.drained())
	events, err := h.queue.Log(t.Context(), ticket.Owner, ticket.JobID)
	requireNoError(t, err)
	if len(events) != 1 || events[0].Requeued == nil || events[0].Requeued.Reason != "unsupported" {
		t.Errorf("the log is %+v, want one requeued event", events)
	}
	depths, err := h.queue.Depth(t.Context())
	requireNoError(t, err)
	if !slices.ContainsFunc(depths, func(d queue.Depth) bool { return d.Queued+d.Running == 1 }) {
		t.Errorf("the job is gone: %+v", depths)
	}
}

// Three hundred jobs that this worker cannot serve, in front of one that it can:
// that one is answered while they wait, and each is worth one line.
func TestUnfitJobsStarveNobody(t *testing.T) {
	t.Parallel()
	const many = 300
	h := newHouse(t)
	for i := range many {
		h.publish(fmt.Sprintf("newer-%d", i), `{"v":99}`)
	}
	good := h.publish("good", `{"v":1,"model":"sim","messages":[{"role":"user","content":"x words=3"}]}`)
	w := h.start()
	h.result(good).done()
	handedBack := func() float64 { return w.metric("semantic_worker_jobs_total", "handed_back") }
	eventually(t, "each was handed back twice", func() bool { return handedBack() >= 2*many })
	times := handedBack()
	requireNoError(t, w.drained())
	if lines := len(w.logs.lines(t, unfitLine)); lines != many {
		t.Errorf("%d lines about %d jobs handed back %v times", lines, many, times)
	}
	depths, err := h.queue.Depth(t.Context())
	requireNoError(t, err)
	stored := int64(0)
	for _, d := range depths {
		stored += d.Queued + d.Running
	}
	if stored != many {
		t.Errorf("%d jobs stored, want %d", stored, many)
	}
}

// A job that nobody here can read ends at its deadline, as far as that can be
// read, or at its class's.
func TestNewerSchemaExpires(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start(func(s *setup) {
		s.queue = func(o *queue.Options) { o.Config.DefaultDeadline[schemas.ClassNormal] = time.Second }
	})
	tickets := make(map[string]queue.Ticket)
	bodies := map[string]struct {
		body     string
		deadline int64
	}{
		"own":        {`{"v":99,"deadline_ms":300}`, 300},
		"none":       {`{"v":99}`, 1000},
		"other type": {`{"v":99,"deadline_ms":{"soft":1}}`, 1000},
		"negative":   {`{"v":99,"deadline_ms":-5}`, 1000},
	}
	for name, b := range bodies {
		tickets[name] = h.publish(name, b.body)
	}
	for name, b := range bodies {
		r := h.result(tickets[name])
		expired := r.last().Expired
		if expired == nil || expired.DeadlineMS != b.deadline || expired.Started || expired.Usage != nil {
			t.Errorf("%s: ended as %+v", name, r.last())
		}
	}
	h.emptied()
}

// A log that a newer release writes is not touched: not by the worker that is
// offered its job, not by who wants to cancel it, also not after its deadline.
func TestNewerLogIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, js := h.dial()
	subject := queue.EventSubject("local", "job-newer-log")
	_, err := js.Publish(t.Context(), subject, []byte(`{"v":99,"job":"job-newer-log","n":1,"type":"novelty"}`))
	requireNoError(t, err)
	w := h.start(func(s *setup) { s.config.MaxRetryDelay = s.config.RetryDelay })
	h.publish("job-newer-log", `{"v":1,"model":"sim","deadline_ms":300,"messages":[{"role":"user","content":"x"}]}`)
	// Each time RetryDelay apart, so that the last ones are after the deadline.
	eventually(t, "offered ten times", func() bool { return w.metric("semantic_worker_jobs_total", "handed_back") >= 10 })
	requireError(t, h.queue.Cancel(t.Context(), "local", "job-newer-log", "requested"), schemas.ErrNewerVersion, "job-newer-log")
	requireNoError(t, w.drained())
	if lines := w.logs.lines(t, unfitLine); len(lines) != 1 {
		t.Errorf("%d lines about it", len(lines))
	}
	if n := h.eventCount(subject); n != 1 {
		t.Errorf("the log has %d entries", n)
	}
}

// eventCount is how many entries a log's subject has, readable or not.
func (h *house) eventCount(subject string) uint64 {
	h.t.Helper()
	_, js := h.dial()
	events, err := js.Stream(h.t.Context(), "EVENTS")
	requireNoError(h.t, err)
	info, err := events.Info(h.t.Context(), jetstream.WithSubjectFilter(subject))
	requireNoError(h.t, err)
	return info.State.Subjects[subject]
}
