package queue

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// JobStatus says where a job is in its life.
type JobStatus string

// The statuses. A job that its worker gave back is queued again; one whose worker
// died counts as running until another takes it.
const (
	StatusQueued    JobStatus = "queued"
	StatusRunning   JobStatus = "running"
	StatusDone      JobStatus = "done"
	StatusFailed    JobStatus = "failed"
	StatusCancelled JobStatus = "cancelled"
	StatusExpired   JobStatus = "expired"
)

// Ended reports whether nothing more can happen to the job.
func (s JobStatus) Ended() bool { return s != StatusQueued && s != StatusRunning }

// JobState is what is known of one job. Of a job that was published without a
// gateway, its log says neither model, nor class, nor the time it was stored:
// they are there while its message is and if its id is made of the message's
// place.
type JobState struct {
	JobID, Owner string
	Status       JobStatus
	Model        string
	Class        schemas.Class
	Flow         int
	// API is the dialect that its client asked in; nil if it came without a
	// gateway.
	API *schemas.API
	// Deadline is how long after StoredAt the job ends by itself; 0 where that is
	// not known.
	Deadline time.Duration
	// StoredAt is when the job was stored, by the server's clock; StartedAt when
	// the last attempt began, and EndedAt the end, by their writers' clocks. Zero
	// where that is not known, or has not happened.
	StoredAt, StartedAt, EndedAt time.Time
	// Attempts is the number of the last attempt, 0 if none began.
	Attempts int
	// Worker is who runs the job, or ran it last; "" if nobody did.
	Worker string
	// Usage is what the job used so far; nil if it never started.
	Usage *schemas.Usage
	// Events is the whole log. Its last event is the job's end, if it ended.
	Events []schemas.Event
	// Trace is that of the span that wrote the log's first event; not valid where
	// it was not traced.
	Trace trace.SpanContext
}

// N is the number of the last event of the log, 0 if there is none yet.
func (s JobState) N() int64 {
	if len(s.Events) == 0 {
		return 0
	}
	return s.Events[len(s.Events)-1].N
}

// SubmittedAt is as in [Ticket]; zero for a job that came without a gateway.
func (s JobState) SubmittedAt() time.Time {
	if len(s.Events) == 0 || s.Events[0].Submitted == nil {
		return time.Time{}
	}
	return s.Events[0].Time
}

// End is the terminal event; nil if the job has not ended.
func (s JobState) End() *schemas.Event {
	if n := len(s.Events); n > 0 && s.Events[n-1].Type.Terminal() {
		return &s.Events[n-1]
	}
	return nil
}

// State reads what the log says of one job, and for a job that was published
// without an id of its own what its message says. Errors: ErrNoJob where there is
// neither (never was, or is forgotten; a job published with an id of its own is
// found from its first event on), ErrInvalid, ErrUnavailable, and
// schemas.ErrNewerVersion for a log that a newer release writes.
func (q *Queue) State(ctx context.Context, owner, jobID string) (JobState, error) {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return JobState{}, err
	}
	var l jobLog
	if err := q.readLog(ctx, owner, jobID, &l); err != nil {
		return JobState{}, err
	}
	if l.Newer {
		return JobState{}, fmt.Errorf("queue: log of %s: %w", jobID, schemas.ErrNewerVersion)
	}
	s := JobState{JobID: jobID, Owner: owner, Status: StatusQueued, Usage: l.usage(), Events: l.events()}
	stored, err := q.readStored(ctx, &s)
	if err != nil {
		return JobState{}, err
	}
	if !stored && len(l.Entries) == 0 {
		return JobState{}, fmt.Errorf("%w: %s", ErrNoJob, jobID)
	}
	if len(l.Entries) > 0 {
		s.Trace = l.Entries[0].Trace
		if l.Entries[0].Event.Submitted != nil {
			s.StoredAt = l.Entries[0].Time
		}
	}
	for _, e := range s.Events {
		s.apply(e)
	}
	return s, nil
}

// readStored reads the message of a job whose id is made of the message's
// place; false if it is no such id, or the message is there no more.
func (q *Queue) readStored(ctx context.Context, s *JobState) (bool, error) {
	class, sequence, ok := parseSequenceID(s.JobID)
	if !ok {
		return false, nil
	}
	var m storedMessage
	var found bool
	err := q.retry(ctx, func(ctx context.Context) (err error) {
		m, found, err = q.leaderGet(ctx, jobsStream(class), getRequest{Sequence: sequence})
		return err
	})
	// One with an id of its own has not this one.
	if err != nil || !found || !bytes.HasSuffix([]byte(m.Subject), []byte("."+Slug(s.Owner))) ||
		deliveredID(m.Header.Get(schemas.HeaderJobID), class, sequence) != s.JobID {
		return false, err
	}
	address, err := parseJobSubject(m.Subject)
	if err != nil {
		return false, nil //nolint:nilerr // stored under a token that is no slug: nobody's job
	}
	s.Model, s.Class, s.Flow, s.StoredAt = address.Model, address.Class, address.Flow, m.Time
	return true, nil
}

// apply brings the state on by one event.
func (s *JobState) apply(e schemas.Event) {
	switch e.Type {
	case schemas.EventSubmitted:
		s.Model, s.API = e.Submitted.Model, e.Submitted.API
		s.Deadline = time.Duration(e.Submitted.DeadlineMS) * time.Millisecond
		if address, err := parseJobSubject(e.Submitted.Subject); err == nil {
			s.Class, s.Flow = address.Class, address.Flow
		}
	case schemas.EventStarted:
		s.Status, s.StartedAt = StatusRunning, e.Time
		s.Attempts, s.Worker = e.Started.Attempt, e.Started.Worker
	case schemas.EventDelta:
	case schemas.EventRequeued:
		s.Status = StatusQueued
	case schemas.EventDone:
		usage := e.Done.Usage
		s.Status, s.EndedAt, s.Usage = StatusDone, e.Time, &usage
	case schemas.EventFailed:
		s.Status, s.EndedAt = StatusFailed, e.Time
		s.used(e.Failed.Usage)
	case schemas.EventCancelled:
		s.Status, s.EndedAt = StatusCancelled, e.Time
		s.used(e.Cancelled.Usage)
	case schemas.EventExpired:
		s.Status, s.EndedAt = StatusExpired, e.Time
		s.used(e.Expired.Usage)
	}
}

// used takes over what the end says of the usage, which counts also what the
// prompt cost.
func (s *JobState) used(u *schemas.Usage) {
	if u != nil {
		s.Usage = u
	}
}
