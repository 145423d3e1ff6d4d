package gateway

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// The order of the middlewares, outermost first, is
//
//	identify → observe → recover → guard → (API routes:) track → authenticate → handler
//
// Each stands where it does for a reason. identify comes first, so that every
// line and every response carries the request's id. observe is outside of all
// that can refuse or panic, so that each refusal is counted and logged. guard
// (Host and Origin) precedes the rest, health included: a rebound page shall
// read nothing. Tracking includes the 503 while stopping and comes before
// authentication, so that a stopping gateway does no work for new requests;
// probes and metrics are not tracked, since they must answer while it stops.

// identify gives the request its id and its trace context.
func (g *Gateway) identify(next http.Handler) http.Handler {
	propagator := propagation.TraceContext{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := requestIDFrom(r.Header.Get(headerRequestID))
		w.Header().Set(headerRequestID, id)
		ctx := queue.WithRequestID(propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), id)
		log := g.log.With(schemas.LogRequestID, id)
		c := &call{id: id, base: log, log: log, start: time.Now(), route: apiOther, api: apiOther}
		next.ServeHTTP(w, withCall(r.WithContext(ctx), c))
	})
}

// observe measures and logs the request's end, and spans it.
func (g *Gateway) observe(next http.Handler) http.Handler {
	//nolint:contextcheck // startSpan's is the request's, with the span
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r)
		ctx, span := g.startSpan(w, r)
		if c.span = span.SpanContext(); c.span.HasTraceID() {
			c.base = c.base.With(schemas.LogTraceID, c.span.TraceID().String())
			c.log = c.base
		}
		r = r.WithContext(ctx) //nolint:contextcheck // as above
		c.began(r)
		rec := &recorder{ResponseWriter: w, head: r.Method == http.MethodHead}
		defer func() {
			took := time.Since(c.start)
			g.measure(c, rec, took)
			endSpan(span, c, r, rec.status)
			c.ended(ctx, r, rec, took)
		}()
		if r.Body != nil && r.Body != http.NoBody {
			// Also where the body is never read by a handler, the server reads
			// on to keep the connection; no client shall hold it for ever.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.config.BodyTimeout))
		}
		next.ServeHTTP(rec, r)
	})
}

// measure counts a request that has ended.
func (g *Gateway) measure(c *call, rec *recorder, took time.Duration) {
	m, class := g.metrics, string(c.class)
	m.requests.WithLabelValues(c.api, c.modelLabel, class, strconv.Itoa(c.status(rec.status)), c.codeLabel()).Inc()
	observe(m.duration.WithLabelValues(c.api, c.modelLabel, class), took, c.span)
	if !c.progress.stored.IsZero() {
		observe(m.lessDecode.WithLabelValues(c.api, c.modelLabel, class), took-c.progress.decode(), c.span)
	}
	m.bytes.WithLabelValues(c.api).Add(float64(rec.bytes))
	if c.rejected() {
		m.rejections.WithLabelValues(c.api, string(c.code)).Inc()
	}
}

// recorder remembers the status that was sent, and counts the body. Unwrap lets
// http.ResponseController reach the connection.
type recorder struct {
	http.ResponseWriter
	status int
	// bytes were written, as far as the connection took them.
	bytes int64
	// head: the server sends no body.
	head bool
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 && status >= http.StatusOK {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(p)
	if !rec.head {
		rec.bytes += int64(n)
	}
	return n, err //nolint:wrapcheck // a ResponseWriter passes its own errors on
}

func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// recoverPanic turns a panic of a handler into a 500 and keeps the process.
func (g *Gateway) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer g.recovered(w, r)
		next.ServeHTTP(w, r)
	})
}

// recovered is deferred, so that a panic ends in it.
func (g *Gateway) recovered(w http.ResponseWriter, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	c := callOf(r)
	c.log.ErrorContext(r.Context(), "a handler panicked",
		schemas.LogPanic, fmt.Sprint(p), schemas.LogStack, string(debug.Stack()))
	c.code = schemas.CodeInternal
	g.metrics.panics.Inc()
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		// Something was sent: only a broken connection is honest now.
		panic(http.ErrAbortHandler)
	}
	refuse(w, r, faulty())
}

// guard checks Host and Origin, and answers CORS where it is configured.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.origins.hostAllowed(r.Host) {
			refuse(w, r, &failure{code: schemas.CodeForbidden, message: fmt.Sprintf(
				"The host name %q is not served here (protection against DNS rebinding). "+
					"Use localhost or an IP address, or start the gateway with --allowed-hosts and this name.", shown(hostOf(r.Host)))})
			return
		}
		if len(g.origins.origins) > 0 {
			w.Header().Add("Vary", "Origin")
		}
		switch g.origins.verdict(r) {
		case originForeign:
			refuse(w, r, &failure{code: schemas.CodeForbidden, message: fmt.Sprintf(
				"Requests from the web origin %q are not served. To serve them, start the gateway with --allowed-origins and this origin.",
				shown(r.Header.Get("Origin")))})
			return
		case originListed:
			if isPreflight(r) {
				answerPreflight(w, r)
				return
			}
			setCORS(w.Header(), r.Header.Get("Origin"))
		case originNone, originSame:
		}
		next.ServeHTTP(w, r)
	})
}

// track admits the request to the set that stopping waits for.
func (g *Gateway) track(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r)
		t, ok := g.tracker.begin(w, g.config.WriteTimeout, c.api, c.start)
		if !ok {
			refuse(w, r, restarting())
			return
		}
		defer g.tracker.end(t)
		c.tracked = t
		next.ServeHTTP(w, r)
	})
}

func restarting() *failure {
	return &failure{code: schemas.CodeServerRestarting, message: "This gateway is stopping. Send the request again in a moment."}
}

// authenticate finds out whose request it is.
func (g *Gateway) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		owner, err := g.keys.owner(r)
		if err != nil {
			refuse(w, r, queueFailure(err))
			return
		}
		if owner == "" {
			message := "Incorrect API key."
			if strings.TrimSpace(keyFrom(r)) == "" {
				message = "An API key is needed: send it as \"Authorization: Bearer KEY\"."
			}
			refuse(w, r, &failure{code: schemas.CodeUnauthorized, message: message})
			return
		}
		callOf(r).owner = owner
		next.ServeHTTP(w, r)
	})
}
