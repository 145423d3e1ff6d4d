package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Bounds of what a message names.
const (
	namesShown = 50
	bytesShown = 200
)

// newerPause is after how long the log of a newer release is looked at again.
const newerPause = time.Minute

// judgeTries bounds how often one judgement begins anew because others append.
const judgeTries = 4

// judge does what is to be done about a stored job now, and sets when it is due
// again; never, if it is over.
func (c *classIndex) judge(ctx context.Context, job *storedJob) error {
	for range judgeTries {
		over, err := c.judgeOnce(ctx, job)
		switch {
		case errors.Is(err, ErrFenced):
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", job.log, err)
		case over:
			job.due = time.Time{}
		}
		return nil
	}
	job.due = c.clock.now().Add(c.r.q.config.ReconcileInterval)
	return nil
}

func (c *classIndex) judgeOnce(ctx context.Context, job *storedJob) (over bool, err error) {
	q := c.r.q
	var m storedMessage
	var found bool
	err = q.once(ctx, func(ctx context.Context) (err error) {
		m, found, err = q.leaderGet(ctx, jobsStream(c.class), getRequest{Sequence: job.sequence})
		return err
	})
	if err != nil || !found {
		return !found, err // gone: acknowledged
	}
	if !concreteSubject(job.log) {
		return true, c.remove(ctx, job, foundImpostor) // it cannot have a log
	}
	_, jobID, _ := logSubject(job.log)
	ctx = aboutMessage(ctx, m.Header, m.Subject)
	var l jobLog
	if err := q.readSubject(ctx, job.log, jobID, &l); err != nil {
		return false, err
	}
	switch {
	case l.Connection != c.r.connection:
		return false, errReconnected
	case l.Newer:
		job.due = c.clock.now().Add(newerPause)
		return false, nil
	case l.foreign(m.Data):
		q.logOf(ctx, jobID).WarnContext(ctx, "another job was published under this id; dropped, the log is not about it",
			slog.String(schemas.LogSubject, m.Subject))
		return true, c.remove(ctx, job, foundImpostor)
	case l.ended():
		end := l.Entries[len(l.Entries)-1]
		if data, err := schemas.EncodeEvent(end.Event); err == nil {
			c.reply(ctx, job, m, end.Sequence, data)
		}
		return true, c.remove(ctx, job, foundEnded)
	}
	event, kind := c.verdict(job, l)
	if event == nil {
		return false, nil
	}
	at, data, err := q.appendEnd(ctx, job.log, jobID, c.class, l, *event)
	if err != nil {
		return false, err
	}
	q.logOf(ctx, jobID).InfoContext(ctx, "job ended by the reconciler",
		slog.String(schemas.LogWhy, kind), slog.String(schemas.LogSubject, m.Subject), slog.Time(schemas.LogStoredAt, job.storedAt))
	c.reply(ctx, job, m, at, data)
	if running := l.running(); running != nil {
		owner, _ := Unslug(c.ownerToken(job))
		q.tell(ctx, running.Worker, ControlMessage{Kind: ControlCancel, Owner: owner, JobID: jobID, Reason: ReasonDeadline})
	}
	return true, c.remove(ctx, job, kind)
}

// verdict is the end that a job has earned, or none; then it is due later.
func (c *classIndex) verdict(job *storedJob, l jobLog) (event *schemas.Event, kind string) {
	config, now := c.r.q.config, c.clock.now()
	expires := job.storedAt.Add(job.deadline)
	if _, held := l.holder(); held {
		expires = expires.Add(config.DeadlineGrace)
	}
	if !now.Before(expires) {
		usage := l.usage()
		return &schemas.Event{
			Type:    schemas.EventExpired,
			Expired: &schemas.Expired{DeadlineMS: job.deadline.Milliseconds(), Started: usage != nil, Usage: usage},
		}, foundExpired
	}
	job.due = expires
	if c.r.knows(job.model) {
		return nil, ""
	}
	if grace := job.storedAt.Add(config.ModelGrace); now.Before(grace) {
		if grace.Before(expires) {
			job.due = grace
		}
		return nil, ""
	}
	return &schemas.Event{
		Type: schemas.EventFailed,
		Failed: &schemas.Failed{
			Code: schemas.CodeModelNotFound, Param: "model", Message: modelUnknown(job.model, c.r.known), Usage: l.usage(),
		},
	}, foundNoModel
}

// modelUnknown tells a publisher which models there are.
func modelUnknown(model string, known []string) string {
	if len(model) > bytesShown {
		model = strings.ToValidUTF8(model[:bytesShown], "") + "…"
	}
	text := fmt.Sprintf("The model %q is not known here", model)
	if len(known) == 0 {
		return text + "; no worker has announced any model yet."
	}
	more := ""
	if extra := len(known) - namesShown; extra > 0 {
		known, more = known[:namesShown], fmt.Sprintf(" and %d more", extra)
	}
	return text + ". Known models: " + strings.Join(known, ", ") + more + "."
}

func (c *classIndex) ownerToken(job *storedJob) string {
	owner, _, _ := logSubject(job.log)
	return owner
}

// reply tells a job's end to its reply_to, as a worker would.
func (c *classIndex) reply(ctx context.Context, job *storedJob, m storedMessage, sequence uint64, data []byte) {
	q := c.r.q
	replyTo := m.Header.Get(schemas.HeaderReplyTo)
	owner, err := Unslug(c.ownerToken(job))
	if replyTo == "" || err != nil {
		return
	}
	_, jobID, _ := logSubject(job.log)
	if !replyAllowed(replyTo, owner, q.config.ReplyPrefixes) {
		q.metrics.repliesRefused.Inc()
		return
	}
	if err := q.publishReply(replyTo, sequence, data); err != nil {
		q.logOf(ctx, jobID).DebugContext(ctx, "reply not sent", slog.Any(schemas.LogError, err))
	}
}

// remove deletes a job's message, whose log has its end or is not about it.
func (c *classIndex) remove(ctx context.Context, job *storedJob, kind string) error {
	q := c.r.q
	q.metrics.reconciled.WithLabelValues(kind).Inc()
	return c.r.drop(ctx, func(ctx context.Context) error { return q.deleteJob(ctx, c.class, job.sequence) })
}

// foreign reports whether a gateway took the id of the log for a job with another
// body than this message's.
func (l jobLog) foreign(message []byte) bool {
	if len(l.Entries) == 0 {
		return false
	}
	first := l.Entries[0].Event.Submitted
	return first != nil && first.BodyHash != bodyHash(message)
}
