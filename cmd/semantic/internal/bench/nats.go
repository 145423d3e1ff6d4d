package bench

import (
	"context"
	"errors"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// CodeNotStored is the code of a [Result]: the queue did not take the job, for a reason that has no code.
const CodeNotStored = "not_stored"

// cancelBound is how long it may take to cancel what was cut.
const cancelBound = 5 * time.Second

// NATS asks through the queue, without a gateway. It is safe for concurrent use.
type NATS struct {
	queue *queue.Queue
	model string
}

// NewNATS asks through the queue, which stays the caller's.
func NewNATS(q *queue.Queue, model string) *NATS { return &NATS{queue: q, model: model} }

// Ask is that of [Target].
func (n *NATS) Ask(ctx context.Context, r Request, piece func(Piece)) Result {
	temperature, maxTokens := 0.0, r.MaxTokens
	ticket, err := n.queue.Submit(ctx, queue.Submission{Class: r.Class, Job: schemas.Job{
		Version: schemas.Version, Model: n.model, Messages: r.Messages, MaxTokens: &maxTokens, IgnoreEOS: r.Exact, Temperature: &temperature,
		Agent: r.Agent,
	}})
	if err != nil {
		return Result{Code: submitCode(err)}
	}
	result := n.follow(ctx, ticket, piece)
	result.Job = ticket.JobID
	if result.Code != "" && ctx.Err() != nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelBound)
		defer cancel()
		_ = n.queue.Cancel(bounded, ticket.Owner, ticket.JobID, "requested") // else its deadline ends it
	}
	return result
}

// follow reads the job's events to the end.
func (n *NATS) follow(ctx context.Context, t queue.Ticket, piece func(Piece)) Result {
	follower, err := n.queue.Follow(ctx, t.Owner, t.JobID, 0)
	if err != nil {
		return Result{Code: CodeBroken}
	}
	defer follower.Close()
	for {
		e, err := follower.Next(ctx)
		if err != nil {
			return Result{Code: CodeBroken}
		}
		switch e.Type {
		case schemas.EventSubmitted, schemas.EventStarted, schemas.EventRequeued:
		case schemas.EventDelta:
			piece(pieceOf(e.Delta.Output))
		case schemas.EventDone:
			piece(pieceOf(e.Done.Output))
			usage, timings := e.Done.Usage, e.Done.Timings
			return Result{Usage: &usage, Timings: &timings}
		case schemas.EventFailed:
			return Result{Code: string(e.Failed.Code)}
		case schemas.EventCancelled:
			return Result{Code: string(schemas.CodeCancelled)}
		case schemas.EventExpired:
			return Result{Code: string(schemas.CodeDeadlineExceeded)}
		}
	}
}

func pieceOf(o schemas.Output) Piece {
	p := Piece{Tokens: len(o.Tokens), Text: o.Reasoning + o.Text}
	for _, call := range o.ToolCalls {
		p.Text += call.Name + call.Arguments
	}
	return p
}

func submitCode(err error) string {
	field := new(schemas.FieldError)
	switch {
	case errors.As(err, &field):
		return string(field.Code)
	case errors.Is(err, queue.ErrQueueFull):
		return string(schemas.CodeQueueFull)
	case errors.Is(err, queue.ErrStorageFull):
		return string(schemas.CodeStorageFull)
	case errors.Is(err, queue.ErrUnavailable):
		return string(schemas.CodeQueueUnavailable)
	}
	return CodeNotStored
}
