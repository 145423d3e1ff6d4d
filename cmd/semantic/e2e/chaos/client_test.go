package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// What clients do.
const (
	doStream   = "streamed"
	doWhole    = "answered in one piece"
	doLeave    = "left by its client"
	doDelete   = "deleted by its client"
	doDeadline = "with a short deadline"
	doPublish  = "published to NATS"
	doCancel   = "published to NATS and cancelled"
)

func doings() []choice {
	return []choice{{doStream, 52}, {doWhole, 12}, {doLeave, 8}, {doDelete, 4}, {doDeadline, 5}, {doPublish, 14}, {doCancel, 5}}
}

// client sends one request after the other.
type client struct {
	*fleet
	shapes []*shape
	random *rand.Rand
	http   *http.Client
}

// run sends requests until no more are wanted, and sees each to its end.
func (c *client) run(ctx, wanted context.Context) {
	defer c.http.CloseIdleConnections()
	for wanted.Err() == nil {
		s, what := c.shapes[c.random.IntN(len(c.shapes))], draw(c.random, doings())
		bounded, cancel := context.WithTimeout(ctx, patience)
		begin := time.Now()
		job, err := c.do(bounded, wanted, s, what)
		late := bounded.Err() != nil && ctx.Err() == nil
		cancel()
		kind := wrongText
		if bad := new(streamError); errors.As(err, &bad) {
			kind = bad.kind
		}
		switch {
		case err == nil:
			c.book.count("request " + what)
			continue
		case wanted.Err() != nil && errors.Is(err, errNotAccepted):
			continue
		case refusedAs(err, schemas.CodeWorkerLost): // the checker looks whether it deserved that
			continue
		case late:
			kind = wrongEndless
		}
		c.book.wronged(kind, "job %s (%s, %s) since %s: %v%s", job, s.kind, what, c.book.since(begin), err, c.history(ctx, job))
	}
}

// errNotAccepted: the request was not accepted before no more were wanted.
var errNotAccepted = errors.New("not accepted")

// streamError is what was wrong with a stream.
type streamError struct{ kind, problem string }

func (b *streamError) Error() string { return b.problem }

func (r *reading) err() error {
	if r.problem == "" {
		return nil
	}
	return &streamError{r.kind, r.problem}
}

func (c *client) do(ctx, wanted context.Context, s *shape, what string) (string, error) {
	switch what {
	case doPublish, doCancel:
		return c.publish(ctx, s, what)
	case doWhole:
		return c.whole(ctx, wanted, s)
	default:
		return c.stream(ctx, wanted, s, what)
	}
}
