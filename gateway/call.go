package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// call is what the middlewares and the handler of one request tell each other.
// It belongs to the request's handler goroutine; nobody else reads or writes it.
type call struct {
	id    string
	log   *slog.Logger
	start time.Time
	// route is the pattern that the request matched: a label of bounded variety.
	route string
	// quiet routes are asked every few seconds by probes; they log at debug.
	quiet bool

	owner string
	job   string
	model string
	// alias is the name the client used, where it is not model.
	alias    string
	class    schemas.Class
	warnings []string
	// events is how many events of the job were read.
	events int
	// ttft is zero until the first text, reasoning or call.
	ttft time.Duration
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

func (c *call) statusLabel(sent int) string { return strconv.Itoa(c.status(sent)) }

// attrs are the request's attributes for its last log line.
func (c *call) attrs(r *http.Request, sent int, took time.Duration) []slog.Attr {
	attrs := []slog.Attr{
		slog.String(schemas.LogMethod, shown(r.Method)),
		slog.String(schemas.LogPath, shown(r.URL.Path)),
		slog.String(schemas.LogRoute, c.route),
		slog.Int(schemas.LogStatus, c.status(sent)),
		slog.Duration(schemas.LogDuration, took),
		slog.String(schemas.LogRemote, r.RemoteAddr),
	}
	optional := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	optional(schemas.LogCode, string(c.code))
	optional(schemas.LogOwner, c.owner)
	optional(schemas.LogModel, c.model)
	optional(schemas.LogAlias, c.alias)
	optional(schemas.LogClass, string(c.class))
	if c.events > 0 {
		attrs = append(attrs, slog.Int(schemas.LogEvents, c.events))
	}
	if c.ttft > 0 {
		attrs = append(attrs, slog.Duration(schemas.LogTTFT, c.ttft))
	}
	if c.cause != nil {
		attrs = append(attrs, slog.Any(schemas.LogError, c.cause))
	}
	if len(c.warnings) > 0 {
		attrs = append(attrs, slog.Any(schemas.LogWarnings, c.warnings))
	}
	return attrs
}

func (c *call) level() slog.Level {
	switch {
	case c.code != "" && c.status(0) >= http.StatusInternalServerError:
		return slog.LevelWarn
	case c.quiet:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
