package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/semantic-worker/semantic/schemas"
)

// Find is State for who knows a job's id and not its owner: the states of all jobs
// with the id, which are those of several owners in theory only. It also finds a
// job that was published with an id of its own and has no event yet, among those
// of the stored jobs that a listing would read. owner may be empty. Errors are
// those of State.
func (q *Queue) Find(ctx context.Context, owner, jobID string) ([]JobState, error) {
	if _, err := checkJob(owner, jobID); err != nil {
		return nil, err
	}
	owners, err := q.logOwners(ctx, jobID)
	if err != nil {
		return nil, err
	}
	if class, sequence, ok := parseSequenceID(jobID); ok {
		var m storedMessage
		var found bool
		err := q.retry(ctx, func(ctx context.Context) (err error) {
			m, found, err = q.leaderGet(ctx, jobsStream(class), getRequest{Sequence: sequence})
			return err
		})
		if err != nil {
			return nil, err
		}
		if address, err := parseJobSubject(m.Subject); found && err == nil {
			owners = append(owners, address.Owner)
		}
	}
	slices.Sort(owners)
	var states []JobState
	for _, o := range slices.Compact(owners) {
		if owner != "" && owner != o {
			continue
		}
		s, err := q.State(ctx, o, jobID)
		if errors.Is(err, ErrNoJob) {
			continue // gone just now
		}
		if err != nil {
			return nil, err
		}
		states = append(states, s)
	}
	if len(states) > 0 {
		return states, nil
	}
	return q.findStored(ctx, owner, jobID)
}

// logOwners are the owners that have a log with the id.
func (q *Queue) logOwners(ctx context.Context, jobID string) ([]string, error) {
	var owners []string
	err := q.retry(ctx, func(ctx context.Context) error {
		info, err := q.streamState(ctx, streamEvents, prefixEvents+"*."+jobID)
		if err != nil {
			return err
		}
		owners = owners[:0]
		for subject := range info.State.Subjects {
			if owner, _, ok := eventOwner(subject); ok {
				owners = append(owners, owner)
			}
		}
		return nil
	})
	return owners, err
}

// findStored looks for a job without a log among the stored ones.
func (q *Queue) findStored(ctx context.Context, owner, jobID string) ([]JobState, error) {
	var states []JobState
	left := newBudget()
	for _, class := range schemas.Classes() {
		whole, err := q.storedJobs(ctx, class, JobFilter{Owner: owner}, &left, func(page []JobSummary) (bool, error) {
			for _, job := range page {
				if job.JobID == jobID {
					states = append(states, JobState{
						JobID: jobID, Owner: job.Owner, Status: StatusQueued, Model: job.Model, Class: class, StoredAt: job.StoredAt,
					})
				}
			}
			return true, nil
		})
		if err != nil {
			return nil, err
		}
		if !whole && len(states) == 0 {
			return nil, fmt.Errorf("%w: %s (it has no log, and only the first %d stored jobs, or %d MiB of them, were looked at)",
				ErrNoJob, jobID, listMessages, listBytes>>20)
		}
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoJob, jobID)
	}
	return states, nil
}
