package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// call is what the middlewares and the handler of one request tell each other.
// It belongs to the request's handler goroutine; nobody else reads or writes it.
type call struct {
	id    string
	start time.Time
	// base has the ids of request and trace; log has those of job, model and worker,
	// too, as soon as they are known. See about.
	base, log *slog.Logger
	// span is the request's in its trace; invalid without one.
	span trace.SpanContext
	// route is the pattern that the request matched, and api what it is counted by:
	// labels of bounded variety.
	route, api string
	// quiet routes are asked every few seconds by probes; they log at debug.
	quiet bool

	owner, agent string
	job, model   string
	// worker is the one that started the job last.
	worker string
	// modelLabel is model, or modelUnknown where nobody serves it.
	modelLabel string
	// alias is the name the client used, where it is not model.
	alias    string
	class    schemas.Class
	stream   bool
	warnings []string
	// received is how much of the body was read, in bytes.
	received int
	// accepted: there is a job for the request, one that it stored or one that was
	// there. What is refused before is a rejection.
	accepted bool
	// progress is what became of the job meanwhile.
	progress progress
	// code is the error that ended the request, if one did: also one that was
	// sent inside a stream.
	code schemas.Code
	// cause is what lies behind code, where the client is not told.
	cause error
	// gone is set when the client left before its answer was complete.
	gone bool

	// tracked is nil on routes that are not tracked.
	tracked *tracked
}

type callKey struct{}

// callOf returns the request's call; every request that came through
// [Gateway.Handler] has one.
func callOf(r *http.Request) *call {
	c, _ := r.Context().Value(callKey{}).(*call)
	return c
}

func withCall(r *http.Request, c *call) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callKey{}, c))
}

// about puts what is known of the job on every line from now on.
func (c *call) about() {
	var known []any
	for _, a := range []slog.Attr{
		slog.String(schemas.LogJobID, c.job), slog.String(schemas.LogModel, c.model), slog.String(schemas.LogWorker, c.worker),
	} {
		if a.Value.String() != "" {
			known = append(known, a)
		}
	}
	c.log = c.base.With(known...)
}

// status is the status a request counts under, given the one that was sent
// (zero: none).
func (c *call) status(sent int) int {
	switch {
	case c.gone:
		return statusClientClosedRequest
	case c.code != "":
		return answerFor(c.code).status
	case sent == 0:
		return http.StatusOK
	}
	return sent
}

// fail records what ended the request.
func (c *call) fail(f *failure) { c.code, c.cause = f.code, f.cause }

// leave records that the client did not wait for its answer.
func (c *call) leave(err error) { c.gone, c.cause = true, err }

// codeLabel is the code a request counts under.
func (c *call) codeLabel() string {
	switch {
	case c.gone:
		return codeLeft
	case c.code != "":
		return string(c.code)
	}
	return codeOK
}

// The outcomes of requests, in their last lines.
const (
	outcomeOK        = "ok"
	outcomeRefused   = "refused" // before there was a job
	outcomeFailed    = "failed"
	outcomeLeft      = "client_left"
	outcomeCancelled = "cancelled"
)

func (c *call) outcome() string {
	switch {
	case c.gone:
		return outcomeLeft
	case c.code == "":
		return outcomeOK
	case c.rejected():
		return outcomeRefused
	case c.code == schemas.CodeCancelled:
		return outcomeCancelled
	}
	return outcomeFailed
}

// rejected: the request ended with an error before there was a job for it. A fault
// of ours is no refusal.
func (c *call) rejected() bool {
	return c.code != "" && c.code != schemas.CodeInternal && !c.accepted && !c.gone
}
