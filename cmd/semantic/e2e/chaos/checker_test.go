package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// ledger is what was asked under which job id. Safe for concurrent use.
type ledger struct {
	mu   sync.Mutex
	jobs map[string]entry
}

type entry struct {
	shape *shape
	what  string
	owner string
}

func newLedger() *ledger { return &ledger{jobs: map[string]entry{}} }

func (l *ledger) put(job string, e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs[job] = e
}

func (l *ledger) get(job string) (entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.jobs[job]
	return e, ok
}

// jobLog is a job's log as the broker has it.
type jobLog struct {
	owner  string
	events []storedEvent
}

// storedEvent is an entry of a log as the broker has it.
type storedEvent struct {
	event schemas.Event
	bad   error
}

// logs reads every log of the broker.
func (f *fleet) logs(ctx context.Context) (map[string]*jobLog, error) {
	stream, err := f.js.Stream(ctx, "EVENTS")
	if err != nil {
		return nil, err
	}
	left := stream.CachedInfo().State.Msgs
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	all := map[string]*jobLog{}
	for ; left > 0; left-- {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		e, bad := schemas.DecodeEvent(m.Data())
		token := strings.Split(m.Subject(), ".") // semantic.events.<owner>.<job>
		log := all[token[3]]
		if log == nil {
			owner, err := queue.Unslug(token[2])
			if err != nil {
				return nil, err
			}
			log = &jobLog{owner: owner}
			all[token[3]] = log
		}
		log.events = append(log.events, storedEvent{e, bad})
	}
	return all, nil
}

// settle waits until no message of a job is left.
func (f *fleet) settle(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left, what := uint64(0), ""
		for _, name := range []string{"JOBS_INTERACTIVE", "JOBS_NORMAL", "JOBS_BATCH"} {
			stream, err := f.js.Stream(ctx, name)
			if err != nil {
				left, what = left+1, err.Error()
				continue
			}
			if n := stream.CachedInfo().State.Msgs; n > 0 {
				left, what = left+n, what+fmt.Sprintf(" %d in %s", n, name)
			}
		}
		if left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("messages are left:%s", what)
		}
	}
}

// check holds every log of the broker against what was asked.
func (f *fleet) check(ctx context.Context, shapes []*shape) {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.settle(bounded); err != nil {
		f.book.wronged(wrongEndless, "%v", err)
	}
	logs, err := f.logs(ctx)
	if err != nil {
		f.book.fail("the harness: read the logs: %v", err)
		return
	}
	dead, err := f.parked(ctx)
	if err != nil {
		f.book.fail("the harness: read the dead jobs: %v", err)
		return
	}
	for job, log := range logs {
		f.checkLog(ctx, job, log, shapes, dead)
	}
	for job, e := range f.ledger.jobs { // nobody writes any more
		if logs[job] == nil {
			f.book.wronged(wrongLost, "job %s (%s, %s) has no log", job, e.shape.kind, e.what)
		}
	}
}

// checkLog checks one log: no gap, one end and the right one.
func (f *fleet) checkLog(ctx context.Context, job string, log *jobLog, shapes []*shape, dead map[string]schemas.Parked) {
	got, ends, starts := newAnswer(), 0, 0
	e, known := f.ledger.get(job)
	if !known {
		e = entry{what: doLeave, owner: log.owner}
		f.ledger.put(job, e) // for its history
	}
	for i, s := range log.events {
		switch {
		case s.bad != nil:
			f.book.wronged(wrongText, "job %s: entry %d is no event: %v", job, i+1, s.bad)
			return
		case s.event.N != int64(i+1):
			f.book.wronged(wrongLost, "job %s: event %d is number %d%s", job, i+1, s.event.N, f.history(ctx, job))
			return
		case s.event.Started != nil:
			starts++
		}
		if s.event.Type.Terminal() {
			ends++
		}
		got.add(s.event)
	}
	last := log.events[len(log.events)-1].event
	if !known {
		// Its client never heard of it, and asked again.
		f.book.count("job that lost its client before it had its id")
		e.shape = f.guess(got, shapes)
	}
	f.book.count("job that ended as " + string(last.Type))
	if starts > 1 {
		f.book.count("job that was taken up by another worker")
	}
	fail := func(kind, format string, args ...any) {
		f.book.wronged(kind, "job %s (%s, %s): %s%s", job, e.shape.kind, e.what, fmt.Sprintf(format, args...), f.history(ctx, job))
	}
	switch {
	case !known && log.events[0].event.Submitted != nil && neverStored(log.events):
		// Its gateway died before the job was stored, and nobody was told that it is;
		// the reconciler ends it after a while.
		f.book.count("job that its gateway announced, and did not live to store")
	case !known && refusedRepeat(log.events):
		// It was refused for want of room under its Idempotency-Key, and its client was
		// told so and did not ask again: a repeat would have cleared it away.
		f.book.count("job that was refused under its key, and not asked for again")
	case ends != 1 || !last.Type.Terminal():
		fail(wrongEndless, "%d ends, the last event is %s", ends, last.Type)
	case last.Failed != nil && last.Failed.Code == schemas.CodeWorkerLost && dead[job].Job == job:
		f.book.count("job that was given up after three deaths under it")
		if problem := f.deserved(dead[job]); problem != "" {
			fail(wrongText, "given up: %s", problem)
		}
	case last.Failed != nil:
		fail(wrongText, "failed as %s: %s", last.Failed.Code, last.Failed.Message)
	case last.Cancelled != nil && e.what != doLeave && e.what != doDelete && e.what != doCancel:
		fail(wrongLost, "cancelled: %s", last.Cancelled.Reason)
	case last.Expired != nil && e.what != doDeadline && known:
		fail(wrongLost, "expired")
	case last.Done != nil:
		if problem := got.equals(e.shape.right); problem != "" {
			fail(wrongText, "%s", problem)
		}
	default:
		if problem := got.begins(e.shape.right); problem != "" {
			fail(wrongText, "%s", problem)
		}
	}
}

// neverStored: nothing is known of it but that it was to be stored, or that it was not.
func neverStored(log []storedEvent) bool {
	return len(log) == 1 || len(log) == 2 && log[1].event.Failed != nil && log[1].event.Failed.Code == schemas.CodeJobLost
}

// refusedRepeat: the whole log is what a full queue leaves of a request with an
// Idempotency-Key (queue/attach.go): it never began, and nobody was told that it is
// accepted.
func refusedRepeat(log []storedEvent) bool {
	if len(log) != 2 || log[0].event.Submitted == nil || log[0].event.Submitted.RequestHash == "" {
		return false
	}
	failed := log[1].event.Failed
	return failed != nil && (failed.Code == schemas.CodeQueueFull || failed.Code == schemas.CodeStorageFull)
}

// guess finds the request that a log is of.
func (f *fleet) guess(got *answer, shapes []*shape) *shape {
	for _, s := range shapes {
		if got.begins(s.right) == "" {
			return s
		}
	}
	return shapes[0]
}

// history is a job's log with the faults near it.
func (f *fleet) history(ctx context.Context, job string) string {
	known, ok := f.ledger.get(job)
	if !ok || f.queue == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	events, err := f.queue.Log(ctx, known.owner, job)
	if err != nil {
		return fmt.Sprintf("\n    (its log: %v)", err)
	}
	var text strings.Builder
	for i, e := range events {
		if e.Delta != nil && i > 0 && i < len(events)-1 && events[i-1].Delta != nil && events[i+1].Delta != nil {
			continue
		}
		data, _ := json.Marshal(e)
		fmt.Fprintf(&text, "\n    %s  %.220s", f.book.since(e.Time), data)
	}
	if len(events) > 0 {
		for _, near := range f.book.near(events[0].Time, events[len(events)-1].Time) {
			to := "on"
			if !near.to.IsZero() {
				to = f.book.since(near.to)
			}
			fmt.Fprintf(&text, "\n    fault %s to %s: %s: %s", f.book.since(near.from), to, near.who, near.kind)
		}
	}
	return text.String()
}
