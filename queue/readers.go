package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Whoever reads a job for a client subscribes to readersSubject, where others ask
// whether anybody does: if nobody does, the server says so at once. Nothing is
// stored, so a reader that dies is a reader no more. Readers answer on
// arrivalsSubject (nobody may publish to another's inbox), where they also say when
// they begin to read, for those that wait for one.

// readersBuffer is how many questions wait to be answered; more are dropped, and
// who asked takes it for a no.
const readersBuffer = 1024

// arrivalsBuffer is how many arrivals, and answers to others, wait to be looked at.
const arrivalsBuffer = 16

// Attendance says that a job is read, until Close.
type Attendance struct {
	sub  *nats.Subscription
	once sync.Once
}

// Attend tells the others that a job is being read here; they know it once the
// next request on this Queue was answered. ErrUnavailable, or ErrInvalid.
func (q *Queue) Attend(owner, jobID string) (*Attendance, error) {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return nil, err
	}
	sub, err := q.nc.ChanSubscribe(readersSubject(owner, jobID), q.questions)
	if err != nil {
		return nil, fmt.Errorf("%w: attend: %w", ErrUnavailable, err)
	}
	// What is not heard now is found by asking later.
	_ = q.nc.Publish(arrivalsSubject(owner, jobID), nil)
	return &Attendance{sub: sub}, nil
}

// Close ends the attendance before anything that is asked afterwards on the same
// Queue. Idempotent.
func (a *Attendance) Close() {
	a.once.Do(func() { _ = a.sub.Unsubscribe() }) // fails only if the connection is closed
}

// answerQuestions answers for every job that is attended to here, until the
// connection is closed.
func (q *Queue) answerQuestions() {
	for {
		select {
		case m := <-q.questions:
			subject := prefixArrivals + strings.TrimPrefix(m.Subject, prefixReaders)
			_ = q.nc.Publish(subject, []byte(m.Reply)) // who does not get it takes it for a no
		case <-q.disconnected:
			return
		}
	}
}

// Attended asks whether anybody reads a job. No answer within
// Config.RequestTimeout is a no. It waits out a broker that is away, until ctx
// ends: ErrUnavailable.
func (q *Queue) Attended(ctx context.Context, owner, jobID string) (bool, error) {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return false, err
	}
	attended := false
	err = q.retry(ctx, func(try context.Context) (err error) {
		attended, err = q.askReaders(try, owner, jobID)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return nil
		}
		return err
	})
	return attended, err
}

// askReaders asks once, until ctx ends.
func (q *Queue) askReaders(ctx context.Context, owner, jobID string) (bool, error) {
	answers, inbox := make(chan *nats.Msg, readersBuffer), q.nc.NewInbox()
	for _, subject := range []string{inbox, arrivalsSubject(owner, jobID)} {
		sub, err := q.nc.ChanSubscribe(subject, answers)
		if err != nil {
			return false, fmt.Errorf("queue: ask for readers: %w", err)
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	}
	if err := q.nc.PublishRequest(readersSubject(owner, jobID), inbox, nil); err != nil {
		return false, fmt.Errorf("queue: ask for readers: %w", err)
	}
	for {
		select {
		case m := <-answers:
			switch {
			case m.Subject == inbox:
				return false, nil // the server: there is nobody to ask
			case string(m.Data) == inbox:
				return true, nil
			}
		case <-ctx.Done():
			return false, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
	}
}

// AwaitReader waits until somebody reads a job, for at most d, and reports
// whether somebody did, if only for a while. Errors as of Attended, and the
// context's.
func (q *Queue) AwaitReader(ctx context.Context, owner, jobID string, d time.Duration) (bool, error) {
	owner, err := checkJob(owner, jobID)
	if err != nil {
		return false, err
	}
	arrived := make(chan *nats.Msg, arrivalsBuffer)
	sub, err := q.nc.ChanSubscribe(arrivalsSubject(owner, jobID), arrived)
	if err != nil {
		return false, fmt.Errorf("%w: await reader: %w", ErrUnavailable, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only if the connection is closed
	timer := time.NewTimer(d)
	defer timer.Stop()
	// Somebody may have come before the subscription, or while the broker was away.
	if attended, err := q.Attended(ctx, owner, jobID); attended || err != nil {
		return attended, err
	}
	for {
		select {
		case m := <-arrived:
			if len(m.Data) == 0 {
				return true, nil
			}
			// The answer to another's question, perhaps of the reader who has just left.
		case <-timer.C:
			return q.Attended(ctx, owner, jobID)
		case <-ctx.Done():
			return false, ctx.Err() //nolint:wrapcheck // the caller's own context
		}
	}
}
