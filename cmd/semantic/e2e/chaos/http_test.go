package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// ask is a request that may have to be sent more than once: always with the same
// headers.
type ask struct {
	shape  *shape
	what   string
	header http.Header
	owner  string
	job    string
}

// newAsk draws the headers. With keys a repeat of the request means the same job;
// without, who lost the connection before the answer's head asks for another.
func (c *client) newAsk(s *shape, what string) *ask {
	a := &ask{shape: s, what: what, header: http.Header{}, owner: queue.OwnerLocal}
	a.header.Set("Content-Type", "application/json")
	a.header.Set("X-Semantic-Agent", "agent-"+strconv.Itoa(c.random.IntN(12)))
	a.header.Set("X-Semantic-Class", string(schemas.Classes()[c.random.IntN(3)]))
	if what == doDeadline {
		a.header.Set("X-Semantic-Deadline", around(c.random, time.Second).String())
	}
	if what == doStream {
		if stay := []string{"", "X-Semantic-Resumable", "X-Semantic-Durable"}[c.random.IntN(3)]; stay != "" {
			a.header.Set(stay, "true")
		}
	}
	if len(c.keys) > 0 {
		k := c.keys[c.random.IntN(len(c.keys))]
		a.owner = k.owner
		a.header.Set("Authorization", "Bearer "+k.key)
		a.header.Set("Idempotency-Key", strconv.FormatUint(c.random.Uint64(), 36))
	}
	return a
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

// errConnection is the end of the gateway that was asked.
var errConnection = errors.New("broken connection")

// passes reports whether the request is to be sent again.
func passes(err error) bool {
	r := new(refusal)
	return errors.Is(err, errConnection) || errors.As(err, &r) && r.passing()
}

// call sends a request to any gateway.
func (c *client) call(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	url, err := c.anyGateway(ctx, c.random)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	response, err := c.http.Do(request)
	if err != nil {
		return nil, errors.Join(errConnection, ctx.Err())
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, errConnection
	}
	var d document
	if err := json.Unmarshal(data, &d); err != nil || d.Error == nil {
		return nil, fmt.Errorf("status %d with the body %q", response.StatusCode, data)
	}
	return nil, &refusal{status: response.StatusCode, code: d.Error.Code}
}

// again sends a request until a gateway takes it, or until nobody wants it.
func (c *client) again(ctx, wanted context.Context, send func() (*http.Response, error)) (*http.Response, error) {
	for {
		response, err := send()
		if err == nil {
			return response, nil
		}
		if !passes(err) || ctx.Err() != nil {
			return nil, err
		}
		c.book.count("answer " + err.Error())
		if !pause(wanted, around(c.random, 200*time.Millisecond)) {
			return nil, errNotAccepted
		}
	}
}

// post sends the request until a gateway accepts it.
func (c *client) post(ctx, wanted context.Context, a *ask) (*http.Response, error) {
	response, err := c.again(ctx, wanted, func() (*http.Response, error) {
		return c.call(ctx, http.MethodPost, a.shape.path, a.header, a.shape.encode(a.what != doWhole))
	})
	if err != nil {
		return nil, err
	}
	a.accepted(response)
	c.ledger.put(a.job, entry{shape: a.shape, what: a.what, owner: a.owner})
	return response, nil
}

// accepted keeps what the response says of the job.
func (a *ask) accepted(response *http.Response) {
	a.job = response.Header.Get("X-Semantic-Job")
	if token := response.Header.Get("X-Semantic-Owner-Token"); token != "" {
		a.header.Set("X-Semantic-Owner-Token", token)
	}
}

// whole asks for an answer in one piece.
func (c *client) whole(ctx, wanted context.Context, s *shape) (string, error) {
	a := c.newAsk(s, doWhole)
	for {
		response, err := c.post(ctx, wanted, a)
		if err != nil {
			return a.job, err
		}
		data, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			c.book.count("answer cut short by a gateway's end")
			continue
		}
		var d document
		if err := json.Unmarshal(data, &d); err != nil {
			return a.job, err
		}
		got := newAnswer()
		got.merge(d)
		if problem := got.equals(s.right); problem != "" {
			return a.job, &streamError{wrongText, problem}
		}
		return a.job, nil
	}
}

// stream reads a stream to its end, over as many gateways as it takes, or leaves
// or deletes it where that is what the client does.
func (c *client) stream(ctx, wanted context.Context, s *shape, what string) (string, error) {
	a := c.newAsk(s, what)
	response, err := c.post(ctx, wanted, a)
	if what == doDeadline && refusedAs(err, schemas.CodeDeadlineExceeded) {
		c.book.count("deadline that passed before the first token")
		return "", nil
	}
	if err != nil {
		return "", err
	}
	r := newReading(s.right)
	r.job = a.job
	after := -1
	if what == doLeave || what == doDelete {
		after = c.random.IntN(12)
	}
	lines := linesOf(response.Body)
	r.read(lines, func() bool { return after >= 0 && r.chunks >= after })
	if what == doLeave {
		_ = response.Body.Close()
		return a.job, r.err()
	}
	if what == doDelete && !r.over && r.problem == "" {
		if err := c.delete(ctx, a); err != nil {
			_ = response.Body.Close()
			return a.job, fmt.Errorf("DELETE: %w", err)
		}
		r.read(lines, func() bool { return false })
	}
	_ = response.Body.Close()
	for !r.over && !r.failed && r.problem == "" {
		c.book.count("stream taken up at another gateway")
		if err := c.resume(ctx, a, r); err != nil {
			if refused := new(refusal); r.last.N == 0 && errors.As(err, &refused) {
				r.failed, r.code = true, refused.code // before the first chunk a status says it
				break
			}
			return a.job, fmt.Errorf("GET of the events behind %s: %w", r.last, err)
		}
	}
	switch code := schemas.Code(r.code); {
	case r.problem != "":
	case r.over:
		r.check()
		c.book.paused(r.pause, a.job)
	case what == doDeadline && code == schemas.CodeDeadlineExceeded:
		c.book.count("deadline that passed in mid-stream")
	case what == doDelete && code == schemas.CodeCancelled:
	case code == schemas.CodeWorkerLost: // the checker looks whether it deserved that
	default:
		r.fault(wrongText, "the stream ended with the code %q", r.code)
	}
	return a.job, r.err()
}

// resume goes on behind the last chunk, at any gateway.
func (c *client) resume(ctx context.Context, a *ask, r *reading) error {
	header := a.header.Clone()
	if r.last.N > 0 {
		header.Set("Last-Event-ID", r.last.String())
	}
	response, err := c.again(ctx, ctx, func() (*http.Response, error) {
		return c.call(ctx, http.MethodGet, "/v1/jobs/"+a.job+"/events", header, nil)
	})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	r.code = ""
	r.read(linesOf(response.Body), func() bool { return false })
	return nil
}

// delete cancels the job, at any gateway.
func (c *client) delete(ctx context.Context, a *ask) error {
	response, err := c.again(ctx, ctx, func() (*http.Response, error) {
		return c.call(ctx, http.MethodDelete, "/v1/jobs/"+a.job, a.header, nil)
	})
	if err == nil {
		_ = response.Body.Close()
	}
	return err
}
