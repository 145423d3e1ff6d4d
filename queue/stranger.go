package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// endStranger ends a job that was published under an owner token that is no
// slug: nobody could ever take it. Its publisher finds the reason where it would
// look for the log, under the token as it was written. An error means that the
// broker did not answer, or has no room now: the job is to be offered again.
func (c *Claimer) endStranger(ctx context.Context, m *nats.Msg) error {
	jobID, err := claimedID(m)
	if err != nil {
		return err
	}
	owner := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	ctx, cancel := context.WithTimeout(ctx, c.q.config.AckWait/2)
	defer cancel()
	err = c.failStranger(ctx, prefixEvents+owner+"."+jobID, jobID, owner)
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrStorageFull) {
		return err
	}
	c.q.logOfMessage(ctx, m, jobID).Warn("job under an owner token that is not allowed, ended",
		slog.String(schemas.LogSubject, m.Subject), slog.Any(schemas.LogError, err))
	_ = m.Term() // if it gets lost, the job is offered again and its log has its end
	return nil
}

// claimedID is the id of a claimed job, also where its owner token is no slug:
// the consumer's filter has checked the tokens before it.
func claimedID(m *nats.Msg) (string, error) {
	meta, err := m.Metadata()
	if err != nil {
		return "", fmt.Errorf("queue: claimed message: %w", err)
	}
	class := schemas.Class(strings.Split(strings.TrimPrefix(m.Subject, prefixJobs), ".")[1])
	return deliveredID(m.Header.Get(schemas.HeaderJobID), class, meta.Sequence.Stream), nil
}

// failStranger appends the end to the log, unless it is there.
func (c *Claimer) failStranger(ctx context.Context, subject, jobID, owner string) error {
	if !concreteSubject(subject) {
		return fmt.Errorf("%w: event subject %q", ErrInvalid, subject)
	}
	for {
		var l jobLog
		if err := c.q.readSubject(ctx, subject, jobID, &l); err != nil {
			return err
		}
		if l.ended() {
			return nil
		}
		_, _, err := c.q.appendEnd(ctx, subject, jobID, l.class(jobID), l, schemas.Event{
			Type: schemas.EventFailed,
			Failed: &schemas.Failed{
				Code: schemas.CodeInvalidRequest, Param: "subject.owner",
				Message: fmt.Sprintf("the owner token %q is not allowed: letters, digits, _ and - stand for themselves, "+
					"every other byte is =XX in upper-case hex", owner),
			},
		})
		if !errors.Is(err, ErrFenced) {
			return err
		}
	}
}
