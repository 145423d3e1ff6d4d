package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// What clients do.
const (
	doStream   = "streamed"
	doWhole    = "answered in one piece"
	doLeave    = "left by its client"
	doDeadline = "with a short deadline"
	doPublish  = "published to NATS"
	doCancel   = "published to NATS and cancelled"
)

func doings() []choice {
	return []choice{{doStream, 55}, {doWhole, 12}, {doLeave, 8}, {doDeadline, 5}, {doPublish, 15}, {doCancel, 5}}
}

// client sends one request after the other.
type client struct {
	*fleet
	ledger *ledger
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
		switch {
		case err == nil:
			c.book.count("request " + what)
		case wanted.Err() != nil && errors.Is(err, errNotAccepted):
		case refusedAs(err, schemas.CodeWorkerLost): // the checker looks whether it deserved that
		case late:
			c.book.wronged(wrongEndless, "job %s (%s, %s) since %s: %v%s", job, s.kind, what, c.book.since(begin), err, c.history(job))
		default:
			var bad *badStream
			kind := wrongText
			if errors.As(err, &bad) {
				kind = bad.kind
			}
			c.book.wronged(kind, "job %s (%s, %s) since %s: %v%s", job, s.kind, what, c.book.since(begin), err, c.history(job))
		}
	}
}

// errNotAccepted: the request was not accepted before no more were wanted.
var errNotAccepted = errors.New("not accepted")

// badStream is what was wrong with one.
type badStream struct{ kind, problem string }

func (b *badStream) Error() string { return b.problem }

func (r *reading) err() error {
	if r.problem == "" {
		return nil
	}
	return &badStream{r.kind, r.problem}
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

// post sends a request until a gateway accepts it.
func (c *client) post(ctx, wanted context.Context, s *shape, what string) (*http.Response, error) {
	for {
		response, err := c.try(ctx, s, what)
		if err == nil {
			return response, nil
		}
		refused := new(refusal)
		if errors.As(err, &refused) && !refused.passing() {
			return nil, err
		}
		c.book.count("answer " + err.Error())
		if !pause(wanted, around(c.random, 200*time.Millisecond)) {
			return nil, errNotAccepted
		}
	}
}

// refusal is an answer that is none.
type refusal struct {
	status int
	code   string
}

func (r *refusal) Error() string { return strconv.Itoa(r.status) + " " + r.code }

// passing: to be tried again.
func (r *refusal) passing() bool {
	switch schemas.Code(r.code) {
	case schemas.CodeQueueUnavailable, schemas.CodeStorageFull, schemas.CodeQueueFull, schemas.CodeServerRestarting:
		return r.status == http.StatusServiceUnavailable || r.status == http.StatusTooManyRequests
	default:
		return false
	}
}

func refusedAs(err error, code schemas.Code) bool {
	r := new(refusal)
	return errors.As(err, &r) && r.code == string(code)
}

var errConnection = errors.New("broken connection")

func (c *client) try(ctx context.Context, s *shape, what string) (*http.Response, error) {
	url, err := c.anyGateway(ctx, c.random)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+s.path, bytes.NewReader(s.encode(what != doWhole)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Semantic-Agent", "agent-"+strconv.Itoa(c.random.IntN(12)))
	request.Header.Set("X-Semantic-Class", string(schemas.Classes()[c.random.IntN(3)]))
	if what == doDeadline {
		request.Header.Set("X-Semantic-Deadline", around(c.random, time.Second).String())
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, errConnection
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	return nil, refused(response)
}

func refused(response *http.Response) error {
	var d document
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return errConnection
	}
	if err := json.Unmarshal(data, &d); err != nil || d.Error == nil {
		return fmt.Errorf("status %d with the body %q", response.StatusCode, data)
	}
	return &refusal{status: response.StatusCode, code: d.Error.Code}
}

// whole asks for an answer in one piece. Who loses the connection does not know
// the job, and asks again.
func (c *client) whole(ctx, wanted context.Context, s *shape) (string, error) {
	for {
		response, err := c.post(ctx, wanted, s, doWhole)
		if err != nil {
			return "", err
		}
		job := response.Header.Get("X-Semantic-Job")
		c.ledger.put(job, s, doWhole)
		data, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			c.book.count("answer cut short by a gateway's end")
			continue
		}
		var d document
		if err := json.Unmarshal(data, &d); err != nil {
			return job, err
		}
		got := newAnswer()
		got.merge(d)
		if problem := got.equals(s.right); problem != "" {
			return job, &badStream{wrongText, problem}
		}
		return job, nil
	}
}

// stream reads a stream to its end, over as many gateways as it takes, or leaves
// it where that is what the client does.
func (c *client) stream(ctx, wanted context.Context, s *shape, what string) (string, error) {
	response, err := c.post(ctx, wanted, s, what)
	if what == doDeadline && refusedAs(err, schemas.CodeDeadlineExceeded) {
		c.book.count("deadline that passed before the first token")
		return "", nil
	}
	if err != nil {
		return "", err
	}
	r := newReading(s.right)
	r.job = response.Header.Get("X-Semantic-Job")
	c.ledger.put(r.job, s, what)
	leave := -1
	if what == doLeave {
		leave = c.random.IntN(12)
	}
	r.read(response.Body, func() bool { return leave >= 0 && r.chunks >= leave })
	_ = response.Body.Close()
	for leave < 0 && !r.over && r.problem == "" && !r.ended() {
		c.book.count("stream taken up at another gateway")
		if err := c.resume(ctx, r); err != nil {
			return r.job, err
		}
	}
	if r.over {
		r.check()
		c.book.paused(r.pause, r.job)
	} else if what == doDeadline && r.code == string(schemas.CodeDeadlineExceeded) {
		c.book.count("deadline that passed in mid-stream")
	} else if r.code == string(schemas.CodeWorkerLost) {
		// The checker looks whether it deserved that.
	} else if leave < 0 && r.problem == "" {
		return r.job, fmt.Errorf("the stream ended with the code %q", r.code)
	}
	return r.job, r.err()
}

// ended: by an error of the job, not of the gateway.
func (r *reading) ended() bool {
	switch schemas.Code(r.code) {
	case "", schemas.CodeServerRestarting:
		return false
	default:
		return true
	}
}

// resume goes on behind the last chunk.
func (c *client) resume(ctx context.Context, r *reading) error {
	r.code = ""
	follower, err := c.queue.Follow(ctx, queue.OwnerLocal, r.job, 0)
	if err != nil {
		return err
	}
	defer follower.Close()
	stream := openai.NewStream(openai.StreamOptions{})
	for {
		e, err := follower.Next(ctx)
		if err != nil {
			return err
		}
		if e.Submitted != nil {
			stream = openai.NewStream(openai.StreamOptions{Model: e.Submitted.Model, API: e.Submitted.API})
		}
		for _, chunk := range stream.Event(e) {
			if chunk.ID.After(r.last) {
				r.take(chunk.ID.String(), chunk.Data)
			}
		}
		if e.Type.Terminal() {
			r.over = e.Done != nil
			if !r.over && r.code == "" {
				r.code = string(e.Type)
			}
			return nil
		}
	}
}
