package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// Park keeps the job among the dead ones, with what Evidence said; failed is the
// end that its client will be told. It comes before that
// end, which the caller appends and acknowledges: a crash anywhere between is
// harmless, because the next claimer judges the same log, finds the entry and goes
// on from there. Idempotent, also among several workers.
//
// Errors: ErrStorageFull or ErrTooLarge (there is no room for it), ErrUnavailable
// when ctx ends first.
func (d *Delivery) Park(ctx context.Context, e Evidence, failed schemas.Failed) error {
	ctx = withModel(WithRequestID(ctx, d.RequestID), d.Model)
	p := schemas.Parked{
		Version: schemas.Version, Job: d.JobID, Owner: d.Owner, Model: d.Model, Class: d.Class,
		Subject: JobSubject(d.Model, d.Class, d.Flow, d.Owner), RequestID: d.RequestID,
		StoredAt: d.StoredAt, ParkedAt: time.Now(), ParkedBy: d.o.WorkerID,
		Code: failed.Code, Message: failed.Message, Attempts: e.Attempts,
	}
	e.log.quote(&p)
	err := d.keepBody(ctx, &p)
	if err == nil {
		err = d.q.keepDead(ctx, p)
	}
	switch {
	case err == nil:
		d.q.metrics.parked.WithLabelValues(parkedKept).Inc()
	case errors.Is(err, ErrStorageFull), errors.Is(err, ErrTooLarge):
		d.q.metrics.parked.WithLabelValues(parkedFull).Inc()
	}
	return err
}

// keepBody puts the job into its entry, or beside it where it is large.
func (d *Delivery) keepBody(ctx context.Context, p *schemas.Parked) error {
	d.jobMu.Lock()
	body := d.body
	if d.whole != nil {
		body = d.whole
	}
	d.jobMu.Unlock()
	if int64(len(body)) <= d.q.inlineBytes() {
		p.Body = string(body)
		return nil
	}
	p.Input = &schemas.InputRef{SHA256: bodyHash(body), Size: int64(len(body))}
	return d.q.keepObject(ctx, storeDead, deadInputName(p.Model, p.Owner, p.Job), body)
}

// keepDead stores the entry, unless the job has one. What is there and is no entry
// of this job gives way.
func (q *Queue) keepDead(ctx context.Context, p schemas.Parked) error {
	data, err := schemas.EncodeParked(p)
	if err != nil {
		return err
	}
	subject := deadSubject(p.Model, p.Owner, p.Job)
	return q.retry(ctx, func(ctx context.Context) error {
		m, found, err := q.leaderGet(ctx, streamDead, getRequest{LastFor: subject})
		if err != nil {
			return err
		}
		if found && readDead(m).Fault == nil {
			return nil
		}
		_, err = q.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data, Header: nats.Header{
			jetstream.ExpectedStreamHeader:      {streamDead},
			jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(m.Sequence, 10)},
		}}, jetstream.WithRetryAttempts(0))
		switch {
		case err == nil:
			return nil
		case fenced(err): // another was first: look again
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		case apiCode(err) == codeStoreFailed, apiCode(err) == codeNoResources:
			return fmt.Errorf("%w: dead jobs: %w", ErrStorageFull, err)
		case errors.Is(err, nats.ErrMaxPayload):
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		return fmt.Errorf("queue: keep dead job: %w", err)
	})
}

// DeadJob is an entry of the dead jobs.
type DeadJob struct {
	// Model, Owner and JobID are read from the entry's subject.
	Model, Owner, JobID string
	// StoredAt is when it was stored, by the server's clock, Bytes its size, without
	// a large job beside it.
	StoredAt time.Time
	Bytes    int
	// Parked is what it says; zero where Fault is set.
	Parked schemas.Parked
	// Fault is why it cannot be read: a newer release's, or no dead job at all.
	Fault error

	sequence uint64
	// replay is the job that its replay becomes, whoever asks for it: made of the
	// whole entry, which publishers cannot read, so that none can take the id.
	replay string
}

// readDead reads an entry. It must be about the job of its subject.
func readDead(m storedMessage) DeadJob {
	sum := sha256.Sum256(append(strconv.AppendUint([]byte("replay "), m.Sequence, 10), m.Data...))
	d := DeadJob{StoredAt: m.Time, Bytes: len(m.Data), sequence: m.Sequence, replay: hex.EncodeToString(sum[:16])}
	var ok bool
	if d.Model, d.Owner, d.JobID, ok = parseDeadSubject(m.Subject); !ok {
		d.JobID, d.Fault = m.Subject, fmt.Errorf("%w: the subject is no dead job's", ErrInvalid)
		return d
	}
	p, err := schemas.DecodeParked(m.Data)
	switch {
	case err != nil:
		d.Fault = fmt.Errorf("queue: dead job %s: %w", d.JobID, err)
	case p.Job != d.JobID || p.Owner != d.Owner || p.Model != d.Model:
		d.Fault = fmt.Errorf("%w: the entry is about job %s of owner %s and model %s", ErrInvalid, p.Job, p.Owner, p.Model)
	default:
		d.Parked = p
	}
	return d
}

// DeadJobs lists the dead jobs, the last parked first; those with the id, where it
// is not empty. Two owners, and two models, may have jobs of one id. ErrUnavailable
// when ctx ends before the broker answered.
func (q *Queue) DeadJobs(ctx context.Context, jobID string) ([]DeadJob, error) {
	filter := prefixDead + ">"
	if jobID != "" {
		if !ValidJobID(jobID) {
			return nil, fmt.Errorf("%w: job id %q", ErrInvalid, jobID)
		}
		filter = prefixDead + "*.*." + jobID
	}
	var list []DeadJob
	err := q.retry(ctx, func(ctx context.Context) error {
		_, err := q.stream(ctx, streamDead)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil // nobody has ever worked here
	}
	if err != nil {
		return nil, err
	}
	next, more := uint64(1), true
	for more {
		err := q.retry(ctx, func(ctx context.Context) error {
			var err error
			_, more, err = q.directBatch(ctx, streamDead, filter, next, func(m storedMessage) bool {
				list, next = append(list, readDead(m)), m.Sequence+1
				return true
			})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b DeadJob) int { return cmp.Compare(b.sequence, a.sequence) })
	return list, nil
}

// DeadBody is the job of a dead one, as it was published. Errors: the entry's
// Fault, *InputError where it was large and its object is gone or damaged,
// ErrUnavailable.
func (q *Queue) DeadBody(ctx context.Context, d DeadJob) ([]byte, error) {
	if d.Fault != nil {
		return nil, d.Fault
	}
	if d.Parked.Input == nil {
		return []byte(d.Parked.Body), nil
	}
	return q.getObject(ctx, storeDead, deadInputName(d.Model, d.Owner, d.JobID), *d.Parked.Input)
}

// Replay submits a dead job again, as a new job of the same owner, class and body,
// whose log says what it is a replay of. The entry is removed once the new job is
// stored, and a Replay that was cut off in between goes on with the same new job.
// With keep the entry stays, and each call makes another job.
//
// Errors: ErrNotDead where the entry is gone, those of DeadBody and of Submit.
func (q *Queue) Replay(ctx context.Context, d DeadJob, keep bool) (Ticket, error) {
	body, err := q.DeadBody(ctx, d)
	if err != nil {
		return Ticket{}, err
	}
	job, err := schemas.DecodeJob(body)
	if err != nil {
		return Ticket{}, err
	}
	if there, err := q.deadThere(ctx, d); err != nil || !there {
		return Ticket{}, errors.Join(err, notDead(d, there))
	}
	id := NewJobID()
	if !keep {
		id = d.replay
	}
	t, err := q.Submit(ctx, Submission{
		JobID: id, Owner: d.Owner, Class: d.Parked.Class, RequestID: d.Parked.RequestID, ReplayOf: d.JobID, Job: job,
	})
	if err != nil {
		return Ticket{}, err
	}
	q.metrics.replayed.Inc()
	if keep {
		return t, nil
	}
	if err := q.DropDead(ctx, d); err != nil && !errors.Is(err, ErrNotDead) {
		return t, fmt.Errorf("queue: the job was submitted again as %s, but its entry is still there: %w", t.JobID, err)
	}
	return t, nil
}

// deadThere reports whether the entry is still there.
func (q *Queue) deadThere(ctx context.Context, d DeadJob) (bool, error) {
	var there bool
	err := q.retry(ctx, func(ctx context.Context) error {
		var err error
		_, there, err = q.leaderGet(ctx, streamDead, getRequest{Sequence: d.sequence})
		return err
	})
	return there, err
}

func notDead(d DeadJob, there bool) error {
	if there {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNotDead, d.JobID)
}

// DropDead removes a dead job for good; an unreadable entry, too. ErrNotDead where
// it is gone, ErrUnavailable when ctx ends first.
func (q *Queue) DropDead(ctx context.Context, d DeadJob) error {
	uncertain, gone := false, false
	err := q.retry(ctx, func(ctx context.Context) error {
		_, there, err := q.leaderGet(ctx, streamDead, getRequest{Sequence: d.sequence})
		if err != nil {
			return err
		}
		if !there {
			gone = !uncertain // else it was our own try, whose answer was lost
			return nil
		}
		stream, err := q.stream(ctx, streamDead)
		if err != nil {
			return err
		}
		err = stream.DeleteMsg(ctx, d.sequence)
		uncertain = uncertain || transient(err)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && !transient(err):
			// Another was first, or the server cannot: look again.
			return fmt.Errorf("%w: drop dead job %s: %w", ErrUnavailable, d.JobID, err)
		}
		return fmt.Errorf("queue: drop dead job %s: %w", d.JobID, err)
	})
	if err != nil {
		return err
	}
	if gone {
		return notDead(d, false)
	}
	if d.Parked.Input == nil {
		return nil
	}
	return q.removeObject(ctx, storeDead, deadInputName(d.Model, d.Owner, d.JobID))
}
