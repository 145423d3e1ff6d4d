package queue

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Bounds of the audit of the logs: the logs that one pass looks at, and by how much
// longer than an audit took the next one is away.
const (
	auditLogsPage = 8 * maxMultiLast
	auditRest     = 100
)

// logAudit looks for logs without an end whose jobs are not stored. A log is ended
// only by the second audit in a row that finds it so: nothing that was read at an
// unlucky moment counts.
type logAudit struct {
	due   time.Time
	began time.Time
	clock brokerClock
	// left are the logs that this audit has not looked at.
	left []string
	// before are those that the last audit suspected, suspects those of this one.
	before, suspects map[string]struct{}
}

// auditLogs does a part of an audit. It begins when every stored job is known.
func (r *reconciler) auditLogs(ctx context.Context) error {
	if !r.knowsStored() {
		return nil
	}
	a := &r.audit
	if a.began.IsZero() {
		began := time.Now()
		if began.Before(a.due) {
			return nil
		}
		if err := r.beginAudit(ctx); err != nil {
			a.rest(time.Since(began), r.q.config) // it may be too much for the broker
			return err
		}
	}
	part := a.left[:min(len(a.left), auditLogsPage)]
	var found []string
	settled := a.clock.now().Add(-r.q.submitMost() - r.q.config.SubmitGrace)
	err := r.q.multiLast(ctx, part, func(m storedMessage) {
		if m.Time.Before(settled) && !endOf(m) && r.logs[m.Subject] == 0 {
			found = append(found, m.Subject)
		}
	})
	if err != nil {
		return err
	}
	if err := each(ctx, found, r.suspect); err != nil {
		return err
	}
	for _, subject := range found {
		a.suspects[subject] = struct{}{}
	}
	a.left = a.left[len(part):]
	if len(a.left) == 0 {
		took := time.Since(a.began)
		*a = logAudit{before: a.suspects}
		a.rest(took, r.q.config)
	}
	return nil
}

// rest puts off the next audit after one that took so long.
func (a *logAudit) rest(took time.Duration, c Config) {
	a.due = time.Now().Add(max(auditRest*took, min(auditEvery, 30*c.ReconcileInterval)))
}

// listPatience is by how much longer than another request the list of all logs may
// take.
const listPatience = 10

// beginAudit lists the logs whose jobs are not stored.
func (r *reconciler) beginAudit(ctx context.Context) error {
	a := &r.audit
	began := time.Now()
	err := r.q.onceWithin(ctx, listPatience*r.q.config.RequestTimeout, func(ctx context.Context) error {
		info, err := r.q.streamState(ctx, streamEvents, prefixEvents+"*.*")
		if err != nil {
			return err
		}
		a.clock = clockOf(info, began)
		a.left = slices.Grow(a.left[:0], len(info.State.Subjects))
		for subject := range info.State.Subjects {
			if _, _, ok := logSubject(subject); ok && r.logs[subject] == 0 && concreteSubject(subject) {
				a.left = append(a.left, subject)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.began, a.suspects = began, make(map[string]struct{})
	return nil
}

// submitMost is the longest that a Submit may be under way.
func (q *Queue) submitMost() time.Duration {
	return q.config.SubmitTimeout + q.transferTime(q.config.MaxJobBytes)
}

// suspect ends a log that is suspected for the second time, unless somebody has the
// job in his hands, or it is stored after all.
func (r *reconciler) suspect(ctx context.Context, subject string) error {
	if _, again := r.audit.before[subject]; !again {
		return nil
	}
	_, jobID, _ := logSubject(subject)
	var l jobLog
	if err := r.q.readSubject(ctx, subject, jobID, &l); err != nil {
		return err
	}
	if l.Connection != r.connection {
		return errReconnected
	}
	if len(l.Entries) == 0 || l.Newer || l.ended() {
		return nil
	}
	if who, held := l.holder(); held && !r.q.registry.dead(who.worker, who.id) {
		return nil
	}
	stored, err := r.isStored(ctx, jobID, l)
	if err != nil || stored {
		return err
	}
	_, _, err = r.q.appendEnd(ctx, subject, jobID, l.class(jobID), l, schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{
		Code: schemas.CodeJobLost, Usage: l.usage(),
		Message: "The job had not ended, and is not in the queue: whoever submitted it was gone before it was stored, or it was removed. " +
			"Submit it again; an Idempotency-Key that it came with stands for this end.",
	}})
	if errors.Is(err, ErrFenced) {
		return nil // it is alive
	}
	if err != nil {
		return err
	}
	only := l.Entries[0].Event.Submitted != nil && len(l.Entries) == 1
	if only {
		r.q.metrics.reconciled.WithLabelValues(foundNeverStored).Inc()
	} else {
		r.q.metrics.anomalies.WithLabelValues(anomalyLost).Inc()
	}
	r.q.logOf(ctx, jobID).WarnContext(ctx, "job without a message ended",
		slog.String(schemas.LogLog, subject), slog.Bool(schemas.LogBegan, !only))
	return nil
}

// isStored looks for the message of a job that the index does not have. One that was
// published with an id of its own and without a gateway has no other trace.
func (r *reconciler) isStored(ctx context.Context, jobID string, l jobLog) (stored bool, err error) {
	if class, sequence, ok := parseSequenceID(jobID); ok {
		err := r.q.once(ctx, func(ctx context.Context) (err error) {
			_, stored, err = r.q.leaderGet(ctx, jobsStream(class), getRequest{Sequence: sequence})
			return err
		})
		return stored, err
	}
	submitted := l.Entries[0].Event.Submitted
	if submitted == nil {
		return false, nil
	}
	address, err := parseJobSubject(submitted.Subject)
	if err != nil {
		return false, nil //nolint:nilerr // no job is stored under such a subject
	}
	from, more := uint64(1), true
	for more && !stored {
		start := from
		err := r.q.once(ctx, func(ctx context.Context) (err error) {
			from, more, err = r.q.directBatch(ctx, jobsStream(address.Class), submitted.Subject, start, func(m storedMessage) bool {
				stored = m.Header.Get(schemas.HeaderJobID) == jobID
				return !stored
			})
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return stored, nil
}
