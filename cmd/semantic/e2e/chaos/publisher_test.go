package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// publish is what a program does without a gateway: it publishes the job until
// the broker has it, and follows its log.
func (c *client) publish(ctx context.Context, s *shape, what string) (string, error) {
	job, err := s.job()
	if err != nil {
		return "", err
	}
	job.Agent = "program-" + strconv.Itoa(c.random.IntN(4))
	data, err := schemas.EncodeJob(job)
	if err != nil {
		return "", err
	}
	id, class := queue.NewJobID(), schemas.Classes()[c.random.IntN(3)]
	c.ledger.put(id, entry{shape: s, what: what, owner: queue.OwnerLocal})
	m := &nats.Msg{
		Subject: queue.JobSubject(job.Model, class, queue.Flow(queue.OwnerLocal, job), queue.OwnerLocal),
		Header:  nats.Header{schemas.HeaderJobID: {id}}, Data: data,
	}
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := c.js.PublishMsg(try, m, jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			break
		}
		c.book.count("publish tried again")
		if !pause(ctx, 100*time.Millisecond) {
			return id, err
		}
	}
	return id, c.follow(ctx, s, id, what)
}

// cancel ends a job; while the log takes nothing, it asks again.
func (c *client) cancel(ctx context.Context, id string) error {
	for {
		err := c.queue.Cancel(ctx, queue.OwnerLocal, id, "requested")
		if !errors.Is(err, queue.ErrStorageFull) || !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// follow reads a job's log to its end.
func (c *client) follow(ctx context.Context, s *shape, id, what string) error {
	follower, err := c.queue.Follow(ctx, queue.OwnerLocal, id, 0)
	if err != nil {
		return err
	}
	defer follower.Close()
	leave := -1
	if what == doCancel {
		leave = c.random.IntN(8)
	}
	got := newAnswer()
	for seen := 0; ; seen++ {
		if seen == leave {
			if err := c.cancel(ctx, id); err != nil {
				return fmt.Errorf("cancel: %w", err)
			}
		}
		e, err := follower.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		got.add(e)
		if problem := got.begins(s.right); problem != "" {
			return &streamError{wrongText, fmt.Sprintf("after event %d: %s", e.N, problem)}
		}
		if !e.Type.Terminal() {
			continue
		}
		if e.Done == nil {
			if what == doCancel && e.Cancelled != nil || e.Failed != nil && e.Failed.Code == schemas.CodeWorkerLost {
				return nil
			}
			return fmt.Errorf("ended as %s", e.Type)
		}
		if problem := got.equals(s.right); problem != "" {
			return &streamError{wrongLost, problem}
		}
		return nil
	}
}
