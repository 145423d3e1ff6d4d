package queue

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semantic-worker/semantic/schemas"
)

// Options are what [Open] needs.
type Options struct {
	// URL of the server, or several separated by commas; empty takes those in
	// CredsFile. Not used with InProcess.
	URL string
	// InProcess, when set, connects without a socket (embedded.Server has it).
	InProcess interface {
		InProcessConn() (net.Conn, error)
	}
	// Name shows in the server's list of connections.
	Name string
	// CredsFile is a NATS credentials file, Token a plain token, CAFile the
	// certificate authority that signed the server's certificate (default: the one
	// in CredsFile, else the system's). All optional.
	CredsFile, Token, CAFile string
	// Logger takes what nobody is told otherwise. Default: discarded.
	Logger *slog.Logger
	// Registerer takes the metrics of what this process does. nil means none are
	// exported.
	Registerer prometheus.Registerer
	// Overview takes the metrics about the queue as a whole (depth, ages, storage, dead
	// jobs, what the leader does), for which every scrape asks the broker. They are the
	// same from everywhere: gateways export them, workers need not. May be the same
	// as Registerer; nil means none are exported.
	Overview prometheus.Registerer
	// TracerProvider makes the spans. nil means none.
	TracerProvider trace.TracerProvider
	// Connection is told when the connection is lost (false) and restored, for
	// people who wait. It must not block. Default: nobody.
	Connection func(connected bool)
	// DiskFull tells whether the disk of a sole broker in this process is full: the
	// broker itself does not answer then. Default: not known.
	DiskFull func() bool
	// Config tunes the queue. The zero Config means [DefaultConfig].
	Config Config
}

// Queue is a connection to the broker and what is read through it. Safe for
// concurrent use.
type Queue struct {
	config  Config
	log     *slog.Logger
	metrics *metrics
	tracer  trace.Tracer
	nc      *nats.Conn
	js      jetstream.JetStream
	link    *link

	diskFull func() bool
	streams  sync.Map // name → jetstream.Stream
	registry *registry
	keys     *keyCache
	pressure pressure
	rates    drainRates
	crowds   crowds
	recent   recentTickets
	secret   atomic.Pointer[knownSecret]
	skew     clockSkew
	// overview says that somebody reads the ages, which are what the leader saw last;
	// expected are the models that count as known before they are announced.
	overview bool
	ages     atomic.Pointer[ages]
	expected atomic.Pointer[[]string]
	refusals refusals
	// creds is what CredsFile says; zero without one.
	creds Creds
	// questions are asked about jobs that are attended to; one goroutine answers.
	questions chan *nats.Msg
	answering sync.WaitGroup

	// exports are the registered collectors; exportClaims adds those of who claims.
	exports      exports
	exportClaims func() error
	// disconnected is closed when the connection is closed for good.
	disconnected chan struct{}
	closeOnce    sync.Once
	closeErr     error
}

// closeTimeout bounds Close where the caller's context does not.
const closeTimeout = 5 * time.Second

// closedTimeout bounds how long a closed connection takes to say so.
const closedTimeout = time.Second

// pingInterval is how often the connection is checked.
const pingInterval = 5 * time.Second

// Open connects. From then on a lost connection is restored for ever; calls
// made meanwhile wait or return [ErrUnavailable], as each says. Errors:
// ErrUnavailable, ErrUnauthorized, ErrJetStreamUnavailable, ErrInvalid.
func Open(ctx context.Context, o Options) (*Queue, error) {
	if reflect.ValueOf(o.Config).IsZero() {
		o.Config = DefaultConfig()
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Connection == nil {
		o.Connection = func(bool) {}
	}
	if o.DiskFull == nil {
		o.DiskFull = func() bool { return false }
	}
	if o.TracerProvider == nil {
		o.TracerProvider = noop.NewTracerProvider()
	}
	q := &Queue{
		config: o.Config, log: o.Logger, metrics: newMetrics(), link: newLink(),
		tracer:       o.TracerProvider.Tracer("github.com/semantic-worker/semantic/queue"),
		diskFull:     o.DiskFull,
		disconnected: make(chan struct{}),
		questions:    make(chan *nats.Msg, readersBuffer),
	}
	var err error
	if o.CredsFile != "" {
		if q.creds, err = ReadCreds(o.CredsFile); err != nil {
			return nil, err
		}
		if o.URL == "" && o.InProcess == nil {
			o.URL = strings.Join(q.creds.Servers, ",")
		}
	}
	q.registry, q.keys = newRegistry(q), newKeyCache(q)
	options, err := q.connectOptions(o)
	if err != nil {
		return nil, err
	}
	if q.nc, err = nats.Connect(o.URL, options...); err != nil {
		return nil, connectError(o.URL, err)
	}
	q.answering.Go(q.answerQuestions)
	q.link.set(true, nil)
	if err := q.checkJetStream(ctx); err != nil {
		return nil, errors.Join(err, q.Close(ctx))
	}
	if err := q.export(o); err != nil {
		return nil, errors.Join(err, q.Close(ctx))
	}
	return q, nil
}

// export registers the metrics.
func (q *Queue) export(o Options) error {
	q.exportClaims = sync.OnceValue(func() error { return q.exports.add(o.Registerer, q.metrics.claimers()...) })
	if err := q.exports.add(o.Registerer, append(q.metrics.own(), newSkewCollector(&q.skew))...); err != nil {
		return err
	}
	q.overview = o.Overview != nil
	return q.exports.add(o.Overview, append(q.metrics.leaders(),
		newDepthCollector(q), newAgeCollector(q), newWorkersCollector(q), newDeadCollector(q), newStorageCollector(q))...)
}

func (q *Queue) connectOptions(o Options) ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name(o.Name),
		nats.Timeout(q.config.ConnectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(q.config.ReconnectWait),
		nats.ReconnectJitter(q.config.ReconnectWait/4, q.config.ReconnectWait/4),
		nats.IgnoreAuthErrorAbort(),
		// A broker that hangs without closing is found in 15 s, not in minutes.
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		// What is published while disconnected fails at once and is settled by
		// the caller: replaying it later, out of order, would only be fenced.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if q.link.set(false, err) && err != nil {
				q.log.Warn("broker connection lost", slog.String(schemas.LogEvent, schemas.LogEventBrokerLost), slog.Any(schemas.LogError, err))
				o.Connection(false)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			q.refusals.forget()
			q.link.reconnected()
			q.metrics.reconnects.Inc()
			q.log.Info("broker connection restored", slog.String(schemas.LogEvent, schemas.LogEventBrokerBack),
				slog.String(schemas.LogServer, MaskURLs(nc.ConnectedUrl())))
			o.Connection(true)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { q.link.set(false, err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(q.disconnected) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			// A slow subscription is a follower's: it repairs itself from the log.
			if sub != nil && errors.Is(err, nats.ErrSlowConsumer) {
				return
			}
			if subject, refused := q.refusals.note(err); refused {
				q.link.refused(&ForbiddenError{Subject: subject})
			}
			q.log.Warn("broker", slog.Any(schemas.LogError, err))
		}),
	}
	if o.InProcess != nil {
		options = append(options, nats.InProcessServer(o.InProcess))
	} else if o.URL == "" {
		return nil, fmt.Errorf("%w: no broker URL", ErrInvalid)
	}
	if o.Token != "" {
		options = append(options, nats.Token(o.Token))
	}
	if o.CredsFile != "" {
		options = append(options, nats.UserCredentials(o.CredsFile))
	}
	if q.creds.Role != "" {
		options = append(options, nats.CustomInboxPrefix(inboxPrefix(q.creds.Key)))
	}
	authority, from := q.creds.CA, o.CredsFile
	if o.CAFile != "" {
		var err error
		if authority, err = os.ReadFile(o.CAFile); err != nil {
			return nil, fmt.Errorf("%w: certificate authority: %w", ErrInvalid, err)
		}
		from = o.CAFile
	}
	// A connection inside the process has no TLS, and needs none.
	if (o.CAFile != "" || len(authority) > 0) && o.InProcess == nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("%w: certificate authority: no certificate in %s", ErrInvalid, from)
		}
		options = append(options, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	return options, nil
}

// connectError names what the caller can do about a first connection that failed.
func connectError(url string, err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired),
		errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("%w: %s: %w", ErrUnauthorized, MaskURLs(url), err)
	}
	return fmt.Errorf("%w: connect to %s: %w", ErrUnavailable, MaskURLs(url), err)
}

// checkJetStream asks for the account's limits, which needs JetStream and the
// right to use it.
func (q *Queue) checkJetStream(ctx context.Context) error {
	js, err := jetstream.New(q.nc)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.js = js
	err = q.onceOn(ctx, apiPrefix+"INFO", func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		if err != nil {
			return fmt.Errorf("%w", err)
		}
		return nil
	})
	switch code := apiCode(err); {
	case err == nil:
		return nil
	case code == codeNotEnabled, errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: the server %s runs without it; start it with JetStream enabled (nats-server -js): %w",
			ErrJetStreamUnavailable, MaskURLs(q.nc.ConnectedUrl()), err)
	case code == codeNotEnabledAccount:
		return fmt.Errorf("%w: this account may not use it; enable JetStream for the account: %w", ErrJetStreamUnavailable, err)
	case errors.Is(err, ErrForbidden):
		return fmt.Errorf("%w: %w", ErrJetStreamUnavailable, err)
	}
	return err
}

// Config returns the configuration in use.
func (q *Queue) Config() Config { return q.config }

// Healthy returns nil while connected, else [ErrUnavailable] with the cause,
// [ErrClosed], or [ErrStorageFull] if the disk of the broker is known to be full.
func (q *Queue) Healthy() error {
	if q.diskFull() {
		return fmt.Errorf("%w: the disk of the broker is full", ErrStorageFull)
	}
	return q.link.health()
}

// Close drains the connection: what was published is sent, subscriptions end,
// every goroutine of the queue is joined. Close what was opened from it first.
// Bounded by ctx and by 5 s (and a second for the end itself). Idempotent; concurrent calls wait for the first.
func (q *Queue) Close(ctx context.Context) error {
	q.closeOnce.Do(func() { q.closeErr = q.close(ctx) })
	return q.closeErr
}

func (q *Queue) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	q.exports.takeBack()
	q.registry.close()
	q.keys.close()
	connected, _ := q.link.state()
	q.link.close()
	if connected {
		if err := q.nc.Drain(); err == nil {
			select {
			case <-q.disconnected:
				q.answering.Wait()
				return nil
			case <-ctx.Done():
			}
		}
	}
	q.nc.Close()
	// The connection says so at once, but on a goroutine of its own: ctx, which
	// may have ended, does not bound it.
	said := time.NewTimer(closedTimeout)
	defer said.Stop()
	select {
	case <-q.disconnected:
		q.answering.Wait()
		return nil
	case <-said.C:
		return errors.New("queue: close: the connection does not end")
	}
}
