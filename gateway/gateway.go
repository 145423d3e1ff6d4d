package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// cutGrace is how much longer than its slowest bounded step a handler may take
// to return once it was cut.
const cutGrace = 2 * time.Second

// CutTimeout is how long [Gateway.Cut] takes at most to end the streams of
// clients that do not read; those of clients that read end at once.
const CutTimeout = cutWriteTimeout + cutGrace

// Options are what a gateway is made of.
type Options struct {
	// Queue is where jobs go; the caller opens it and closes it after Drain.
	// Required.
	Queue *queue.Queue
	// Logger receives one line for each request and what goes wrong behind the
	// client's back. Nil discards.
	Logger *slog.Logger
	// Registerer takes the gateway's metrics; nil: none are exported.
	Registerer prometheus.Registerer
	// Gatherer is what /metrics shows; nil: the route answers 404.
	Gatherer prometheus.Gatherer
	// TracerProvider makes the spans of requests. Nil: no spans.
	TracerProvider trace.TracerProvider
	// Expect are models regarded as known before any worker announced them:
	// serve names the model that its worker is still loading, so that a request
	// for it waits.
	Expect []string
	// Config is validated by New.
	Config Config
}

// Gateway turns HTTP requests into jobs and their events into responses. It is
// safe for concurrent use, and needs no start; [Gateway.Drain] ends it. The only
// goroutines that outlive their request wait for a client that may come back.
type Gateway struct {
	config   Config
	log      *slog.Logger
	tracer   trace.Tracer
	metrics  *metrics
	gatherer prometheus.Gatherer
	queue    *queue.Queue
	keys     *keyring
	origins  *origins
	models   *catalogue
	tracker  *tracker
	// graces are waited for by Drain; they end at once when the gateway stops.
	graces sync.WaitGroup
	http   http.Handler
	// streams counts the requests that wait for their jobs.
	streams atomic.Int64
	// born is when the gateway was made.
	born time.Time
	// probe knows whether the queue takes jobs.
	probe *probe
	// started is set once a worker was seen, for /health/startup.
	started atomic.Bool
}

// New makes a gateway. An error wraps [ErrInvalidConfig], or is the
// registerer's.
func New(o Options) (*Gateway, error) {
	if o.Queue == nil {
		return nil, fmt.Errorf("%w: Options.Queue is required", ErrInvalidConfig)
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TracerProvider == nil {
		o.TracerProvider = noop.NewTracerProvider()
	}
	t := newTracker()
	m, err := newMetrics(o.Registerer, t)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		config:   o.Config,
		log:      o.Logger,
		tracer:   o.TracerProvider.Tracer("github.com/semantic-worker/semantic/gateway"),
		metrics:  m,
		gatherer: o.Gatherer,
		queue:    o.Queue,
		keys:     newKeyring(o.Queue, o.Config.APIKeys),
		origins:  newOrigins(o.Config),
		models:   newCatalogue(o.Queue, slices.Clone(o.Expect), slices.Clone(o.Config.Aliases)),
		tracker:  t,
		born:     time.Now(),
	}
	g.probe = newProbe(g.storing)
	g.http = g.handler()
	return g, nil
}

// Handler serves every route.
func (g *Gateway) Handler() http.Handler { return g.http }

// Refuse is the first step of Drain alone: readiness turns 503, new API requests
// get 503 server_restarting, and no job is cancelled any more. Open requests go
// on. Idempotent.
func (g *Gateway) Refuse() { g.tracker.stop() }

// Drain stops the gateway. At once, as by Refuse, readiness turns 503 and new API requests
// get 503 server_restarting; from now on no job is cancelled, whatever clients
// do. Open requests go on until they end or ctx does; then the rest is ended as
// by Cut. Drain returns when every API handler has returned, and may be called
// again.
//
// The HTTP server is the caller's: shut it down afterwards.
func (g *Gateway) Drain(ctx context.Context) {
	if open := g.tracker.stop(); open > 0 {
		began := time.Now()
		g.log.InfoContext(ctx, "gateway: stopping, waiting for open requests",
			schemas.LogEvent, schemas.LogEventDrainBegin, schemas.LogActive, open)
		defer func() {
			g.log.InfoContext(ctx, "gateway: the drain is over",
				schemas.LogEvent, schemas.LogEventDrainEnd, schemas.LogTook, time.Since(began))
		}()
	}
	if g.tracker.wait(ctx) {
		g.graces.Wait()
		return
	}
	// Everything a handler still does is bounded, by cutWriteTimeout or by
	// QueueTimeout; the bound here is for faults.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.config.QueueTimeout+cutGrace)
	defer cancel()
	g.Cut(last)
}

// Cut ends what is open without waiting for it: each request is ended with
// server_restarting and the id of its job, inside its stream where it has begun,
// and its job goes on without it. Cut returns when every API handler has
// returned or ctx ends; [CutTimeout] is enough, but for a queue that does not
// answer. It may be called during a Drain, and again.
//
// A whole answer's last bytes are the HTTP server's to send: shut it down
// afterwards.
func (g *Gateway) Cut(ctx context.Context) {
	g.tracker.stop()
	if cut := g.tracker.cutAll(); cut > 0 {
		g.log.InfoContext(ctx, "gateway: requests are cut, their jobs go on", schemas.LogCut, cut)
	}
	if !g.tracker.wait(ctx) {
		g.log.ErrorContext(ctx, "gateway: handlers did not return", schemas.LogActive, g.tracker.stop())
		return
	}
	g.graces.Wait()
}
