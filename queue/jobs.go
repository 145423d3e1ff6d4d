package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// JobFilter says which jobs to list. Zero values filter nothing.
type JobFilter struct {
	Owner, Model string
	Class        schemas.Class
	// Queued, Running and Ended choose; none of them means all three.
	Queued, Running, Ended bool
	// Limit is the most jobs of the list; at least 1.
	Limit int
}

// JobSummary is a job in a list.
type JobSummary struct {
	JobID string `json:"job"`
	Owner string `json:"owner"`
	// Model and Class are empty for a job that ended and came without a gateway:
	// its log does not say them.
	Model string        `json:"model,omitempty"`
	Class schemas.Class `json:"class,omitempty"`
	// Status is empty where a newer release wrote the log.
	Status JobStatus `json:"status,omitempty"`
	// StoredAt is by the server's clock; EndedAt by that of who ended it. Zero where
	// it is not known, or has not happened.
	StoredAt time.Time `json:"stored_at,omitzero"`
	EndedAt  time.Time `json:"ended_at,omitzero"`
	// Worker is who runs it, as the worker says itself; empty for all others, and
	// where that does not answer.
	Worker string `json:"worker,omitempty"`
	// Tokens is how many were generated, as far as that is known.
	Tokens int `json:"tokens"`
}

// JobList is what was found.
type JobList struct {
	// Jobs are the running ones, then those that wait, the longest there first,
	// then the ended ones, the latest first.
	Jobs []JobSummary `json:"jobs"`
	// More says that there are, or may be, more than were listed.
	More bool `json:"more"`
}

// Bounds of one listing: how much of the streams it reads.
const (
	listMessages = 32_768
	listBytes    = 128 << 20
)

// budget is what is left of them.
type budget struct{ messages, bytes int }

func newBudget() budget { return budget{listMessages, listBytes} }

func (b *budget) take(m storedMessage) bool {
	b.messages--
	b.bytes -= len(m.Data)
	return b.messages >= 0 && b.bytes >= 0
}

// Jobs lists jobs: those that are stored, with what their logs and the workers
// say of them, and those that ended, as far back as their logs are kept. It reads
// a bounded part of the streams, from replicas that may lag a little. Errors:
// ErrUnavailable, ErrNoTopology, ErrInvalid.
func (q *Queue) Jobs(ctx context.Context, f JobFilter) (JobList, error) {
	if f.Limit < 1 {
		return JobList{}, fmt.Errorf("%w: a list of %d jobs", ErrInvalid, f.Limit)
	}
	if !f.Queued && !f.Running && !f.Ended {
		f.Queued, f.Running, f.Ended = true, true, true
	}
	list := JobList{Jobs: []JobSummary{}}
	if f.Queued || f.Running {
		live, more, err := q.liveJobs(ctx, f)
		if err != nil {
			return JobList{}, err
		}
		list.Jobs, list.More = append(list.Jobs, live...), more
	}
	if left := f.Limit - len(list.Jobs); f.Ended && left > 0 {
		ended, more, err := q.endedJobs(ctx, f, left)
		if err != nil {
			return JobList{}, err
		}
		list.Jobs, list.More = append(list.Jobs, ended...), list.More || more
	} else if f.Ended {
		list.More = true
	}
	return list, nil
}

// liveJobs are the stored ones that have not ended.
func (q *Queue) liveJobs(ctx context.Context, f JobFilter) (jobs []JobSummary, more bool, err error) {
	left := newBudget()
	for _, class := range schemas.Classes() {
		if f.Class != "" && f.Class != class {
			continue
		}
		whole, err := q.storedJobs(ctx, class, f, &left, func(page []JobSummary) (bool, error) {
			if err := q.addStatus(ctx, page); err != nil {
				return false, err
			}
			for _, job := range page {
				if job.Status == StatusQueued && f.Queued || job.Status == StatusRunning && f.Running || job.Status == "" {
					jobs = append(jobs, job)
				}
			}
			// Running ones, which come first in the list, may follow those that wait.
			return f.Running || len(jobs) <= f.Limit, nil
		})
		if err != nil {
			return nil, false, err
		}
		more = more || !whole
	}
	rank := func(j JobSummary) int {
		if j.Status == StatusQueued {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(jobs, func(a, b JobSummary) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.StoredAt.Compare(b.StoredAt))
	})
	if len(jobs) > f.Limit {
		jobs, more = jobs[:f.Limit], true
	}
	return jobs, more, q.addWorkers(ctx, jobs)
}

// storedJobs visits the stored jobs of a class in pages, in the order in which
// they were stored, until visit says that it is enough or the budget is spent; it
// reports whether it has seen all.
func (q *Queue) storedJobs(
	ctx context.Context, class schemas.Class, f JobFilter, left *budget, visit func([]JobSummary) (bool, error),
) (whole bool, err error) {
	model, owner := "*", "*"
	if f.Model != "" {
		model = Slug(f.Model)
	}
	if f.Owner != "" {
		owner = Slug(f.Owner)
	}
	subject := prefixJobs + model + "." + string(class) + ".*." + owner
	// Without the stream a direct read has nobody to answer it.
	err = q.retry(ctx, func(ctx context.Context) error {
		_, err := q.stream(ctx, jobsStream(class))
		return err
	})
	if err != nil {
		return false, err
	}
	for from, more := uint64(1), true; more; {
		var page []JobSummary
		spent, start := false, from
		err := q.retry(ctx, func(ctx context.Context) (err error) {
			page = page[:0]
			from, more, err = q.directBatch(ctx, jobsStream(class), subject, start, func(m storedMessage) bool {
				if spent = !left.take(m); spent {
					return false
				}
				if address, err := parseJobSubject(m.Subject); err == nil {
					page = append(page, JobSummary{
						JobID: deliveredID(m.Header.Get(schemas.HeaderJobID), class, m.Sequence), Owner: address.Owner,
						Model: address.Model, Class: class, Status: StatusQueued, StoredAt: m.Time,
					})
				}
				return true
			})
			return err
		})
		if err != nil {
			return false, err
		}
		if goOn, err := visit(page); err != nil || !goOn {
			return !more && !spent, err
		}
		if spent {
			return false, nil
		}
	}
	return true, nil
}

// maxMultiLast bounds the subjects of one question; the server answers for at
// most 1,024.
const maxMultiLast = 512

// addStatus brings the jobs up to the last events of their logs.
func (q *Queue) addStatus(ctx context.Context, jobs []JobSummary) error {
	for part := range slices.Chunk(jobs, maxMultiLast) {
		at := make(map[string]*JobSummary, len(part))
		subjects := make([]string, 0, len(part))
		for i := range part {
			subject := EventSubject(part[i].Owner, part[i].JobID)
			at[subject] = &part[i]
			subjects = append(subjects, subject)
		}
		err := q.retry(ctx, func(ctx context.Context) error {
			_, _, err := q.directGet(ctx, streamEvents, getRequest{MultiLast: subjects}, func(m storedMessage) bool {
				if job := at[m.Subject]; job != nil {
					job.Status = statusAfter(m, job.JobID)
				}
				return true
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// statusAfter is the status of a job whose last event is m.
func statusAfter(m storedMessage, jobID string) JobStatus {
	event, err := schemas.DecodeEvent(m.Data)
	switch {
	case errors.Is(err, schemas.ErrNewerVersion):
		return ""
	case err != nil || event.Job != jobID:
		return StatusQueued // no event of it: the log has begun with junk
	}
	switch event.Type {
	case schemas.EventSubmitted, schemas.EventRequeued:
		return StatusQueued
	case schemas.EventStarted, schemas.EventDelta:
		return StatusRunning
	case schemas.EventDone:
		return StatusDone
	case schemas.EventFailed:
		return StatusFailed
	case schemas.EventCancelled:
		return StatusCancelled
	case schemas.EventExpired:
		return StatusExpired
	}
	return ""
}

// addWorkers adds what the workers say of the jobs that they run.
func (q *Queue) addWorkers(ctx context.Context, jobs []JobSummary) error {
	if !slices.ContainsFunc(jobs, func(j JobSummary) bool { return j.Status == StatusRunning }) {
		return nil
	}
	workers, err := q.Reports(ctx)
	if err != nil {
		return err
	}
	at := make(map[string]*JobSummary, len(jobs))
	for i := range jobs {
		at[ticketKey(jobs[i].Owner, jobs[i].JobID)] = &jobs[i]
	}
	for _, w := range workers {
		if w.Report == nil {
			continue
		}
		for _, running := range w.Report.Jobs {
			if job := at[ticketKey(running.Owner, running.JobID)]; job != nil && job.Status == StatusRunning {
				job.Worker, job.Tokens = w.ID, running.Tokens
			}
		}
	}
	return nil
}

// eventOwner reads the owner of an event subject; false if it is none.
func eventOwner(subject string) (owner, jobID string, ok bool) {
	token := strings.Split(strings.TrimPrefix(subject, prefixEvents), ".")
	if len(token) != 2 || !ValidJobID(token[1]) {
		return "", "", false
	}
	owner, err := Unslug(token[0])
	return owner, token[1], err == nil
}
