package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// Submission is a job to be stored.
type Submission struct {
	// JobID is the id. "" draws a new one ([NewJobID]).
	JobID string
	// Owner is the identity of who asks. "" means [OwnerLocal].
	Owner string
	// Class is the priority class. "" means normal.
	Class schemas.Class
	// RequestID goes on every log line of the request, in every process.
	RequestID string
	// ReplayOf is the dead job that this one tries again; mostly none.
	ReplayOf string
	// Job is the body.
	Job schemas.Job
	// RequestHash is a hex SHA-256 by which a repeat is told from another job under
	// the same id, where model and deadline of the body may differ between repeats.
	// "": any difference of the bodies makes another job.
	RequestHash string
}

// Ticket is the receipt for a stored job.
type Ticket struct {
	// JobID and Owner name the job, Subject is where it was published.
	JobID, Owner, Subject string
	Class                 schemas.Class
	Flow                  int
	// Sequence is the job's sequence in the stream of its class; 0 if an
	// earlier Submit stored it and its place is not known any more.
	Sequence uint64
	// StoredAt is when the job was stored: this machine's clock at the server's
	// answer, or the server's clock for a job that was attached to.
	StoredAt time.Time
	// SubmittedAt is the time of the log's first event, by the clock of whoever wrote
	// it: no two logs under one id have the same.
	SubmittedAt time.Time
	// Attached is set when the same job had been submitted before.
	Attached bool
}

// Deadline is how long the job may wait and run: its own, else its class's.
func (q *Queue) Deadline(job schemas.Job, class schemas.Class) time.Duration {
	if job.DeadlineMS > 0 {
		return time.Duration(job.DeadlineMS) * time.Millisecond
	}
	if class == "" {
		class = schemas.ClassNormal
	}
	return q.config.DefaultDeadline[class]
}

// deadlineMargin is how much longer than the longest deadline a job's log lives, at
// least.
const deadlineMargin = time.Hour

// CheckDeadline is [Config.CheckDeadline].
func (q *Queue) CheckDeadline(job schemas.Job) error { return q.config.CheckDeadline(job) }

// CheckDeadline returns a *schemas.FieldError that names deadline_ms for a job
// whose deadline is so long that its log could lose its head before it ends, or
// before its retention is over. The deadlines of Config.DefaultDeadline always pass.
func (c Config) CheckDeadline(job schemas.Job) error {
	longest := c.longestDeadline()
	if job.DeadlineMS <= longest.Milliseconds() {
		return nil
	}
	return &schemas.FieldError{
		Field: "deadline_ms", Code: schemas.CodeInvalidRequest,
		Reason: fmt.Sprintf("is %d, more than the %d that this queue keeps a job's log for", job.DeadlineMS, longest.Milliseconds()),
	}
}

func (c Config) longestDeadline() time.Duration {
	longest := c.EventsMaxAge - max(deadlineMargin, c.EventRetention)
	for _, d := range c.DefaultDeadline {
		longest = max(longest, d)
	}
	return longest
}

// Submit stores a job durably: first a `submitted` event, which takes the job
// id, then the job. The same id with the same body (or RequestHash) attaches to the
// job, in whatever state it is. While the broker does not answer it tries for
// Config.SubmitTimeout.
//
// Errors: ErrQueueFull, ErrStorageFull (the job is not stored), ErrConflict,
// ErrTooLarge, ErrInvalid, *schemas.FieldError, and ErrUnavailable, after
// which the job may have been stored; submitting it again with the same id is
// safe.
func (q *Queue) Submit(ctx context.Context, s Submission) (Ticket, error) {
	if s.Class == "" {
		s.Class = schemas.ClassNormal
	}
	ctx, span := q.startSubmit(ctx, s)
	defer span.End()
	t, err := q.submit(ctx, s)
	class := s.Class
	if !slices.Contains(schemas.Classes(), class) {
		class = "unknown"
	}
	q.metrics.submitted.WithLabelValues(string(class), outcome(t, err)).Inc()
	if err != nil {
		failSubmit(span, err)
		return Ticket{}, err
	}
	endSubmit(span, t)
	return t, nil
}

func (q *Queue) submit(ctx context.Context, s Submission) (Ticket, error) {
	if err := q.Healthy(); err != nil {
		return Ticket{}, err
	}
	t, p, err := q.newTicket(s)
	if err != nil {
		return Ticket{}, err
	}
	bound := q.config.SubmitTimeout
	if p.large() {
		bound += q.transferTime(int64(len(p.job)))
	}
	ctx, cancel := context.WithTimeout(withModel(WithRequestID(ctx, s.RequestID), s.Job.Model), bound)
	defer cancel()
	if err := q.pressure.check(ctx, q, s.Class, p.large()); err != nil {
		return Ticket{}, err
	}
	ours := false
	for {
		stored := t
		fresh, err := q.store(ctx, &stored, s, p)
		ours = ours || fresh
		switch {
		case errors.Is(err, errOvertaken):
			continue
		case err != nil:
			return Ticket{}, err
		}
		stored.Attached = stored.Attached && !ours
		return stored, nil
	}
}

// store takes the id and stores the job, or attaches to the job that has the id.
// fresh says that the id was taken here, whatever came of it. errOvertaken: what
// others did under the same id meanwhile must be looked at anew.
func (q *Queue) store(ctx context.Context, t *Ticket, s Submission, p payload) (fresh bool, err error) {
	if fresh, err = q.takeID(ctx, t, s, bodyHash(p.message)); err != nil {
		return fresh, err
	}
	if !fresh {
		publish, err := q.attach(ctx, t, s, &p)
		if err != nil || !publish {
			return fresh, err
		}
	}
	connection := q.link.connection()
	err = q.storeJob(ctx, t, s, p)
	refused := errors.Is(err, ErrQueueFull) || errors.Is(err, ErrStorageFull)
	switch {
	case refused && s.RequestHash != "":
		return fresh, q.refuseRepeat(ctx, *t, p, err)
	case refused && fresh:
		return fresh, errors.Join(err, q.forget(ctx, *t, p))
	case err == nil:
		q.recent.put(*t, connection)
	}
	return fresh, err
}

func (q *Queue) newTicket(s Submission) (Ticket, payload, error) {
	if s.JobID == "" {
		s.JobID = NewJobID()
	}
	owner, err := checkJob(s.Owner, s.JobID)
	if err != nil {
		return Ticket{}, payload{}, err
	}
	if _, _, reserved := parseSequenceID(s.JobID); reserved {
		return Ticket{}, payload{}, fmt.Errorf("%w: job id %q is of the form kept for jobs without one", ErrInvalid, s.JobID)
	}
	if !slices.Contains(schemas.Classes(), s.Class) {
		return Ticket{}, payload{}, fmt.Errorf("%w: class %q", ErrInvalid, s.Class)
	}
	body, err := schemas.EncodeJob(s.Job)
	if err == nil {
		err = q.CheckDeadline(s.Job)
	}
	if err != nil {
		return Ticket{}, payload{}, err
	}
	p, err := q.payload(s.Job, body)
	if err != nil {
		return Ticket{}, payload{}, err
	}
	flow := Flow(owner, s.Job)
	return Ticket{
		JobID: s.JobID, Owner: owner, Class: s.Class, Flow: flow,
		Subject: JobSubject(s.Job.Model, s.Class, flow, owner),
	}, p, nil
}

// bodyHash tells two jobs apart that came under one id.
func bodyHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// takeID appends the `submitted` event; false if the log has one already.
func (q *Queue) takeID(ctx context.Context, t *Ticket, s Submission, hash string) (bool, error) {
	t.SubmittedAt = time.Now()
	data, err := schemas.EncodeEvent(schemas.Event{
		Version: schemas.Version, Job: t.JobID, N: 1, Type: schemas.EventSubmitted, Time: t.SubmittedAt,
		Submitted: &schemas.Submitted{
			BodyHash: hash, RequestHash: s.RequestHash, Subject: t.Subject, API: s.Job.API, Model: s.Job.Model,
			ReplayOf: s.ReplayOf, DeadlineMS: q.Deadline(s.Job, t.Class).Milliseconds(),
		},
	})
	if err != nil {
		return false, err
	}
	_, err = q.appendEvent(ctx, schemas.EventSubmitted, EventSubject(t.Owner, t.JobID), NewJobID(), logEnd{}, data)
	switch {
	case errors.Is(err, ErrFenced):
		return false, nil
	case err != nil:
		return false, err
	}
	q.metrics.appends.WithLabelValues(string(schemas.EventSubmitted)).Inc()
	return true, nil
}

// publishJob stores the job's message. A lost answer is settled by publishing
// again: the server recognises the id.
func (q *Queue) publishJob(ctx context.Context, t *Ticket, s Submission, body []byte) error {
	ttl := q.Deadline(s.Job, t.Class) + q.config.TTLMargin
	header := nats.Header{
		schemas.HeaderJobID:            {t.JobID},
		jetstream.MsgTTLHeader:         {ttl.Round(time.Second).String()},
		jetstream.ExpectedStreamHeader: {jobsStream(t.Class)},
	}
	if s.RequestID != "" {
		header.Set(schemas.HeaderRequestID, s.RequestID)
	}
	carryTrace(ctx, header)
	uncertain, again := false, false
	return q.retryOn(ctx, t.Subject, func(ctx context.Context) error {
		ack, err := q.js.PublishMsg(ctx, &nats.Msg{Subject: t.Subject, Header: header, Data: body}, jetstream.WithRetryAttempts(0))
		switch {
		case err == nil:
			t.Sequence = ack.Sequence
			if t.StoredAt.IsZero() {
				t.StoredAt = time.Now()
			}
			if ack.Duplicate && s.RequestHash != "" {
				return q.checkDuplicate(ctx, *t)
			}
			return nil
		case apiCode(err) == codeStoreFailed:
			full := q.fullError(ctx, *t, err)
			if errors.Is(full, ErrStorageFull) && !again {
				again = true // a bound that was met has room by now, or it is the disk
				return fmt.Errorf("%w: %w", ErrUnavailable, full)
			}
			return full
		case apiCode(err) == codeNoResources:
			return fmt.Errorf("%w: %w", ErrStorageFull, err)
		case errors.Is(err, nats.ErrMaxPayload):
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		case transient(err) && !uncertain:
			uncertain = true
			q.metrics.uncertain.Inc()
		}
		return fmt.Errorf("queue: publish job: %w", err)
	})
}

// fullError tells what is full. The server answers a full stream, a full
// subject and a full disk with the same code.
func (q *Queue) fullError(ctx context.Context, t Ticket, cause error) error {
	info, err := q.streamState(ctx, jobsStream(t.Class), t.Subject)
	if err != nil {
		return err
	}
	c, s := info.Config, info.State
	full := &FullError{Class: t.Class, Flow: t.Flow, cause: cause}
	switch perFlow := s.Subjects[t.Subject]; {
	case c.MaxMsgsPerSubject > 0 && perFlow >= uint64(c.MaxMsgsPerSubject):
		full.OwnFlow, full.Stored, full.Limit = true, int64(perFlow), c.MaxMsgsPerSubject
	case c.MaxMsgs > 0 && s.Msgs >= uint64(c.MaxMsgs):
		full.Stored, full.Limit = int64(s.Msgs), c.MaxMsgs
	}
	if full.Limit > 0 {
		q.rates.add(t.Class, s, time.Now())
		if address, err := parseJobSubject(t.Subject); err == nil {
			full.Model = address.Model
		}
		lately, waiting := q.refuse(ctx, full.Model, t.Class)
		full.Waiting, full.RetryAfter = waiting, q.rates.wait(t.Class, lately, time.Now())
		return full
	}
	return fmt.Errorf("%w: class %s holds %d of %d bytes: %w", ErrStorageFull, t.Class, s.Bytes, c.MaxBytes, cause)
}

// findJob looks for a job's message: where it was stored, if that was lately and
// from here, else by reading its subject.
func (q *Queue) findJob(ctx context.Context, t Ticket) (sequence uint64, found bool, err error) {
	if sequence, ok := q.recent.get(t.Owner, t.JobID, q.link.connection()); ok {
		err := q.retry(ctx, func(ctx context.Context) error {
			m, there, err := q.leaderGet(ctx, jobsStream(t.Class), getRequest{Sequence: sequence})
			found = there && m.Header.Get(schemas.HeaderJobID) == t.JobID
			return err
		})
		return sequence, found, err
	}
	err = q.retry(ctx, func(ctx context.Context) error {
		from, more := uint64(1), true
		for more && !found {
			var err error
			from, more, err = q.directBatch(ctx, jobsStream(t.Class), t.Subject, from, func(m storedMessage) bool {
				found = m.Header.Get(schemas.HeaderJobID) == t.JobID
				sequence = m.Sequence
				return !found
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if !found {
		sequence = 0
	}
	return sequence, found, err
}

// removeJob deletes a job's message where its place can be found. Only room is
// at stake: a claimer that meets the message finds the end in the log and acks.
func (q *Queue) removeJob(ctx context.Context, owner, jobID string, l jobLog) {
	about := ctx
	err := func() error {
		var class schemas.Class
		var sequence uint64
		if c, n, ok := parseSequenceID(jobID); ok {
			m, found, err := q.leaderGet(ctx, jobsStream(c), getRequest{Sequence: n})
			if err != nil || !found || !strings.HasSuffix(m.Subject, "."+Slug(owner)) ||
				deliveredID(m.Header.Get(schemas.HeaderJobID), c, n) != jobID {
				return err
			}
			class, sequence = c, n
		} else {
			if len(l.Entries) == 0 || l.Entries[0].Event.Submitted == nil {
				return nil
			}
			address, err := parseJobSubject(l.Entries[0].Event.Submitted.Subject)
			if err != nil {
				return err
			}
			about = withModel(ctx, address.Model)
			n, found, err := q.findJob(ctx, Ticket{
				JobID: jobID, Owner: owner, Subject: l.Entries[0].Event.Submitted.Subject, Class: address.Class,
			})
			if err != nil || !found {
				return err
			}
			class, sequence = address.Class, n
		}
		return q.deleteJob(ctx, class, sequence)
	}()
	q.recent.drop(owner, jobID)
	if err != nil {
		q.logOf(about, jobID).DebugContext(ctx, "ended job's message stays until it is claimed", slog.Any(schemas.LogError, err))
	}
}

// deleteJob deletes a job's message; nil if it is there no more.
func (q *Queue) deleteJob(ctx context.Context, class schemas.Class, sequence uint64) error {
	stream, err := q.stream(ctx, jobsStream(class))
	if err != nil {
		return err
	}
	err = stream.DeleteMsg(ctx, sequence)
	if err != nil && apiCode(err) != codeNoMessage && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("queue: delete job: %w", err)
	}
	return nil
}
