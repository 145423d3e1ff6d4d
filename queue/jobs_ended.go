package queue

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// Windows of the search for ended jobs, in sequences of EVENTS.
const (
	firstWindow = 1 << 10
	mostWindow  = 1 << 14
)

// endedJobs finds the ended jobs whose logs are kept, the latest first: it looks
// for ends from the end of EVENTS backwards, window by window.
func (q *Queue) endedJobs(ctx context.Context, f JobFilter, limit int) (jobs []JobSummary, more bool, err error) {
	owner := "*"
	if f.Owner != "" {
		owner = Slug(f.Owner)
	}
	var info *jetstream.StreamInfo
	err = q.retry(ctx, func(ctx context.Context) (err error) {
		info, err = q.streamState(ctx, streamEvents, "")
		return err
	})
	if err != nil {
		return nil, false, err
	}
	left := newBudget()
	first, high, window := info.State.FirstSeq, info.State.LastSeq, uint64(firstWindow)
	for high >= first && high > 0 {
		low := first
		if high-first >= window {
			low = high - window + 1
		}
		ends, whole, err := q.endsBetween(ctx, prefixEvents+owner+".*", low, high, &left)
		if err != nil {
			return nil, false, err
		}
		for _, end := range slices.Backward(ends) {
			job, err := q.endedJob(ctx, end)
			if err != nil {
				return nil, false, err
			}
			if f.Class != "" && f.Class != job.Class || f.Model != "" && f.Model != job.Model {
				continue
			}
			if len(jobs) == limit {
				return jobs, true, nil
			}
			jobs = append(jobs, job)
		}
		if !whole {
			return jobs, true, nil
		}
		high, window = low-1, min(2*window, mostWindow)
	}
	return jobs, false, nil
}

// jobEnd is a terminal event and where it is.
type jobEnd struct {
	owner, jobID string
	subject      string
	event        schemas.Event
}

// endsBetween finds the ends between two sequences, both included, in their
// order; false if the budget did not last.
func (q *Queue) endsBetween(ctx context.Context, subject string, low, high uint64, left *budget) (ends []jobEnd, whole bool, err error) {
	for from, more := low, true; more && from <= high; {
		spent, start, begin := false, from, len(ends)
		err := q.retry(ctx, func(ctx context.Context) (err error) {
			ends = ends[:begin]
			from, more, err = q.directBatch(ctx, streamEvents, subject, start, func(m storedMessage) bool {
				if m.Sequence > high {
					return false
				}
				if spent = !left.take(m); spent {
					return false
				}
				owner, jobID, ok := eventOwner(m.Subject)
				if e, err := schemas.DecodeEvent(m.Data); ok && err == nil && e.Job == jobID && e.Type.Terminal() {
					ends = append(ends, jobEnd{owner: owner, jobID: jobID, subject: m.Subject, event: e})
				}
				return true
			})
			return err
		})
		if err != nil || spent {
			return ends, false, err
		}
	}
	return ends, true, nil
}

// endedJob is what the first and the last event of a log say.
func (q *Queue) endedJob(ctx context.Context, end jobEnd) (JobSummary, error) {
	s := JobState{JobID: end.jobID, Owner: end.owner}
	var first storedMessage
	var found bool
	err := q.retry(ctx, func(ctx context.Context) (err error) {
		first, found, err = q.leaderGet(ctx, streamEvents, getRequest{Sequence: 1, NextFor: end.subject})
		return err
	})
	if err != nil {
		return JobSummary{}, err
	}
	job := JobSummary{JobID: end.jobID, Owner: end.owner}
	if e, err := schemas.DecodeEvent(first.Data); found && err == nil && e.Submitted != nil && e.Job == end.jobID {
		s.apply(e)
		job.StoredAt = first.Time
	} else if class, _, ok := parseSequenceID(end.jobID); ok {
		s.Class = class
	}
	s.apply(end.event)
	job.Model, job.Class, job.Status, job.EndedAt = s.Model, s.Class, s.Status, s.EndedAt
	if s.Usage != nil {
		job.Tokens = s.Usage.CompletionTokens
	}
	return job, nil
}
