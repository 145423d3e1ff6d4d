package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// leaseReconciler is the lease of who reconciles.
const leaseReconciler = "reconciler"

// Reconcile ends what nobody else ends, and forgets what is old, until ctx ends. Of
// all processes that call it one works, the leader; when that is gone, another does
// within Config.LeaseTTL, or within a second of its orderly end. The leader
//
//   - ends stored jobs whose deadline has passed: `expired`;
//   - ends stored jobs of a model that no worker ever announced, and none serves,
//     after Config.ModelGrace: `failed` with model_not_found, naming the known ones;
//   - removes the messages of jobs whose logs have their end;
//   - ends jobs that a log tells of but whose message is gone: `failed` with
//     job_lost. One that nothing but `submitted` is known of was perhaps never
//     stored, because its gateway died in between. It ends all the same, for its
//     publisher may have been told that it was accepted; until then the same
//     Submit stores it after all, later it is told of this end;
//   - purges logs, and what was kept for large jobs, Config.EventRetention after
//     their end;
//   - warns when a stream is nearly full.
//
// Every end is a fenced append, told also to the job's reply_to, and everything
// else may be done twice: a leader that was stopped and does not know yet that there
// is another does no harm. Times are the broker's, so clocks need not agree.
//
// expect are models that count as known before a worker announces them. Errors: those
// of the first look at the registry; nil when ctx ended.
func (q *Queue) Reconcile(ctx context.Context, expect []string) error {
	if err := q.registry.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // told to stop before it began
		}
		return err
	}
	expected := slices.Clone(expect) // scrapes read it while expect changes
	q.expected.Store(&expected)
	q.newLease(leaseReconciler).run(ctx, func(ctx context.Context) {
		r := newReconciler(q, expect)
		q.metrics.leader.Set(1)
		defer q.metrics.leader.Set(0)
		defer q.ages.Store(nil)
		q.log.Info("reconciler: leading")
		r.run(ctx)
		expect = r.expect
	})
	return nil
}

// reconciler is one term of a leader. It belongs to one goroutine, except that the
// jobs of one batch are judged by several.
type reconciler struct {
	q      *Queue
	expect []string
	// connection is the one that everything below was read from: another may lead to
	// a broker that has lost its last writes, and given their sequences again.
	connection uint64
	classes    []*classIndex
	// logs counts the stored jobs of each log.
	logs map[string]int
	// known are the models that are known now, sorted.
	known []string
	audit logAudit
	old   retention
	alarm storageAlarm
	// agesDue is when the ages are looked at again.
	agesDue time.Time
	// failing is set while passes fail, so that it is said once.
	failing bool
}

func newReconciler(q *Queue, expect []string) *reconciler {
	r := &reconciler{q: q, expect: slices.Clone(expect)}
	r.reset()
	return r
}

// reset forgets what is known of the broker.
func (r *reconciler) reset() {
	r.connection = r.q.link.connection()
	r.classes = nil
	r.logs = make(map[string]int)
	for _, class := range schemas.Classes() {
		r.classes = append(r.classes, newClassIndex(r, class))
	}
	r.audit, r.old, r.agesDue = logAudit{}, retention{}, time.Time{}
	r.audit.rest(0, r.q.config) // whatever has just begun comes first
}

func (r *reconciler) run(ctx context.Context) {
	for {
		if r.q.link.wait(ctx) != nil {
			return
		}
		if r.connection != r.q.link.connection() {
			r.reset()
		}
		more, err := r.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		if failing := err != nil; failing != r.failing {
			r.failing = failing
			if failing {
				r.q.log.Warn("reconciler: a pass failed, and is repeated", slog.Any(schemas.LogError, err))
			} else {
				r.q.log.Info("reconciler: passes succeed again")
			}
		}
		if more && err == nil {
			continue
		}
		if sleep(ctx, r.q.config.ReconcileInterval) != nil {
			return
		}
	}
}

// pass does a bounded amount of work; more says that there is more to do now.
func (r *reconciler) pass(ctx context.Context) (more bool, err error) {
	if err := r.learnModels(ctx); err != nil {
		return false, err
	}
	var failed []error
	for _, c := range r.classes {
		again, err := c.pass(ctx)
		more = more || again
		failed = append(failed, err)
	}
	// Also where a class failed: it may want for the room that these make.
	for _, work := range []func(context.Context) error{r.auditLogs, r.purgeOld, r.watchStorage, r.watchAges} {
		failed = append(failed, work(ctx))
	}
	return more, errors.Join(failed...)
}

// learnModels reads which models are known. When one was forgotten, the jobs that
// wait for it are looked at again.
func (r *reconciler) learnModels(ctx context.Context) error {
	known, err := r.q.Models(ctx)
	if err != nil {
		return err
	}
	// One that was announced is known by that, and may be forgotten.
	r.expect = slices.DeleteFunc(r.expect, func(m string) bool { return slices.Contains(known, m) })
	known = append(known, r.expect...)
	for _, e := range r.q.registry.live() {
		known = append(known, e.status.Model)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	before := r.known
	r.known = known
	if slices.ContainsFunc(before, func(m string) bool { return !r.knows(m) }) {
		for _, c := range r.classes {
			c.lookAgain()
		}
	}
	return nil
}

func (r *reconciler) knows(model string) bool {
	_, known := slices.BinarySearch(r.known, model)
	return known
}

// knowsStored reports whether all stored jobs were read once.
func (r *reconciler) knowsStored() bool {
	return !slices.ContainsFunc(r.classes, func(c *classIndex) bool { return !c.complete })
}

// brokerClock tells the time of the server that stamps the messages of a stream.
type brokerClock struct{ server, local time.Time }

func clockOf(info *jetstream.StreamInfo, asked time.Time) brokerClock {
	if info.TimeStamp.IsZero() { // an old server
		return brokerClock{server: time.Now(), local: time.Now()}
	}
	return brokerClock{server: info.TimeStamp, local: asked}
}

// now is not ahead of the server's clock by more than the answer took.
func (c brokerClock) now() time.Time { return c.server.Add(time.Since(c.local)) }

// look reads the state of a stream and the time there.
func (q *Queue) look(ctx context.Context, stream string) (*jetstream.StreamInfo, brokerClock, error) {
	var info *jetstream.StreamInfo
	var asked time.Time
	err := q.once(ctx, func(ctx context.Context) (err error) {
		asked = time.Now()
		info, err = q.streamState(ctx, stream, "")
		return err
	})
	if err != nil {
		return nil, brokerClock{}, err
	}
	return info, clockOf(info, asked), nil
}

// atOnce is how many requests the leader has under way.
const atOnce = 8

// each calls do for every item, several at once, and returns the first error; after
// one, no more are begun.
func each[T any](ctx context.Context, items []T, do func(ctx context.Context, item T) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan T)
	var workers sync.WaitGroup
	for range min(atOnce, len(items)) {
		workers.Go(func() {
			for item := range next {
				if err := do(ctx, item); err != nil {
					stop(err)
				}
			}
		})
	}
feed:
	for _, item := range items {
		select {
		case next <- item:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx) //nolint:wrapcheck // do's error, or the caller's own context
	}
	return nil
}

// multiLast reads the last entries of logs, by subject.
func (q *Queue) multiLast(ctx context.Context, subjects []string, visit func(storedMessage)) error {
	for part := range slices.Chunk(subjects, maxMultiLast) {
		var got []storedMessage
		err := q.once(ctx, func(ctx context.Context) error {
			got = got[:0]
			_, _, err := q.directGet(ctx, streamEvents, getRequest{MultiLast: part}, func(m storedMessage) bool {
				got = append(got, m)
				return true
			})
			return err
		})
		if err != nil {
			return err
		}
		for _, m := range got {
			visit(m)
		}
	}
	return nil
}

// logSubject reads what an event subject says: its owner's token, which may be no
// slug, and the job.
func logSubject(subject string) (owner, jobID string, ok bool) {
	owner, jobID, ok = strings.Cut(strings.TrimPrefix(subject, prefixEvents), ".")
	return owner, jobID, ok && ValidJobID(jobID)
}

// endOf reports whether a log's entry is the end of its job.
func endOf(m storedMessage) bool {
	_, jobID, ok := logSubject(m.Subject)
	e, err := schemas.DecodeEvent(m.Data)
	return ok && err == nil && e.Job == jobID && e.Type.Terminal()
}

// drop purges or deletes, and never repeats that over another connection, where the
// same sequence may be another message's.
func (r *reconciler) drop(ctx context.Context, op func(ctx context.Context) error) error {
	if r.q.link.connection() != r.connection {
		return errReconnected
	}
	return r.q.once(ctx, op)
}

// errReconnected ends a pass whose connection was replaced.
var errReconnected = errors.Join(ErrUnavailable, errors.New("queue: reconnected meanwhile"))
