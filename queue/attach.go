package queue

import (
	"context"
	"fmt"

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
	if len(l.Entries) == 0 || l.Entries[0].Event.Submitted == nil {
		return false, fmt.Errorf("%w: %s", ErrConflict, t.JobID)
	}
	announced := *l.Entries[0].Event.Submitted
	same, known := payloadAs(announced, s, *p)
	if s.RequestHash != announced.RequestHash || s.RequestHash == "" && !known {
		return false, fmt.Errorf("%w: %s", ErrConflict, t.JobID)
	}
	t.Attached, t.StoredAt, t.Subject = true, l.Entries[0].Time, announced.Subject
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
