package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// attach compares with the job that has the id, and reports whether its
// message must be published (again): the first submitter may have died between
// the event and the job. Then p is made the message that was announced: a claimer
// takes no other.
func (q *Queue) attach(ctx context.Context, t *Ticket, s Submission, p *payload) (publish bool, err error) {
	var l jobLog
	if err := q.readLog(ctx, t.Owner, t.JobID, &l); err != nil {
		return false, err
	}
	switch {
	case l.Last == 0:
		return false, errOvertaken // forgotten since it kept us from the id
	case l.refusedRepeat():
		q.recent.drop(t.Owner, t.JobID)
		return false, errors.Join(errOvertaken, q.purgeLog(ctx, t.Owner, t.JobID, l.Last))
	case len(l.Entries) == 0 || l.Entries[0].Event.Submitted == nil:
		return false, fmt.Errorf("%w: %s", ErrConflict, t.JobID)
	}
	announced := *l.Entries[0].Event.Submitted
	same, known := payloadAs(announced, s, *p)
	if s.RequestHash != announced.RequestHash || s.RequestHash == "" && !known {
		return false, fmt.Errorf("%w: %s", ErrConflict, t.JobID)
	}
	t.Attached, t.StoredAt, t.Subject = true, l.Entries[0].Time, announced.Subject
	t.SubmittedAt = l.Entries[0].Event.Time
	address, err := parseJobSubject(t.Subject)
	if err != nil {
		return false, fmt.Errorf("%w: %s: %w", ErrConflict, t.JobID, err)
	}
	t.Class, t.Flow = address.Class, address.Flow
	if len(l.Entries) > 1 {
		return false, nil
	}
	sequence, found, err := q.findJob(ctx, *t)
	t.Sequence = sequence
	if err != nil || found {
		return false, err
	}
	if !known {
		return false, fmt.Errorf("%w: %s was announced by another release", ErrConflict, t.JobID)
	}
	*p = same
	return true, nil
}

// payloadAs makes the message that was announced by a submitter who may have had
// another limit of what is large, and where requests are compared (not bodies)
// other defaults. False if it cannot be made of this submission.
func payloadAs(announced schemas.Submitted, s Submission, p payload) (payload, bool) {
	same := func(job schemas.Job, body []byte) (payload, bool) {
		if bodyHash(body) == announced.BodyHash {
			return payload{job: body, message: body}, true
		}
		large, err := referring(job, body)
		return large, err == nil && bodyHash(large.message) == announced.BodyHash
	}
	if made, ok := same(s.Job, p.job); ok || s.RequestHash == "" {
		return made, ok
	}
	job := s.Job
	job.Model, job.DeadlineMS = announced.Model, announced.DeadlineMS
	body, err := schemas.EncodeJob(job)
	if err != nil {
		return payload{}, false
	}
	return same(job, body)
}

// errOvertaken: another submitter of the same job came before.
var errOvertaken = errors.New("queue: overtaken by a repeat of the submission")

// refuseRepeat ends what was announced of a job that does not fit in. Others may
// submit the same job at this moment, so its log is not just forgotten: its second
// event, which is fenced, decides between this refusal and the start of a job that
// another one has stored. The next repeat clears it away and begins anew. Returns
// the cause, or errOvertaken where the job is another's success.
func (q *Queue) refuseRepeat(ctx context.Context, t Ticket, p payload, cause error) error {
	var l jobLog
	if err := q.readLog(ctx, t.Owner, t.JobID, &l); err != nil {
		return errors.Join(cause, err)
	}
	switch {
	case l.Last == 0, l.refusedRepeat():
		return cause
	case len(l.Entries) != 1:
		return errOvertaken
	}
	code := schemas.CodeQueueFull
	if !errors.Is(cause, ErrQueueFull) {
		code = schemas.CodeStorageFull
	}
	err := q.appendTerminal(ctx, t.Owner, t.JobID, l, schemas.Event{
		Type:   schemas.EventFailed,
		Failed: &schemas.Failed{Code: code, Message: "The queue had no room for the job when it was submitted."},
	})
	switch {
	case errors.Is(err, ErrFenced):
		return errOvertaken
	case err == nil && p.large():
		err = q.removeInput(ctx, t.Owner, t.JobID)
	}
	return errors.Join(cause, err)
}

// refusedRepeat reports whether a log is what refuseRepeat leaves.
func (l jobLog) refusedRepeat() bool {
	if len(l.Entries) != 2 {
		return false
	}
	submitted, failed := l.Entries[0].Event.Submitted, l.Entries[1].Event.Failed
	return submitted != nil && submitted.RequestHash != "" && failed != nil &&
		(failed.Code == schemas.CodeQueueFull || failed.Code == schemas.CodeStorageFull)
}

// checkDuplicate looks what became of a message that the server says it has: it
// remembers ids for a while, also those of messages that are gone. The job was
// stored by another, and may have ended since; or its id is that of a job that was
// refused after all, and is free in a moment.
func (q *Queue) checkDuplicate(ctx context.Context, t Ticket) error {
	m, found, err := q.leaderGet(ctx, jobsStream(t.Class), getRequest{Sequence: t.Sequence})
	if err != nil || found && m.Header.Get(schemas.HeaderJobID) == t.JobID {
		return err
	}
	return fmt.Errorf("%w: the id was in use a moment ago", ErrQueueFull)
}

// purgeLog removes a log up to its entry with a sequence, 0 for all of it; what was
// written since stays.
func (q *Queue) purgeLog(ctx context.Context, owner, jobID string, last uint64) error {
	options := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(EventSubject(owner, jobID))}
	if last > 0 {
		options = append(options, jetstream.WithPurgeSequence(last+1))
	}
	return q.retry(ctx, func(ctx context.Context) error {
		stream, err := q.stream(ctx, streamEvents)
		if err == nil {
			err = stream.Purge(ctx, options...)
		}
		if err != nil {
			return fmt.Errorf("queue: purge log: %w", err)
		}
		return nil
	})
}
