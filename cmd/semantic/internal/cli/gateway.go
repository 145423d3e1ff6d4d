package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/gateway"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// gatewayFlags are the settings of the HTTP side.
func gatewayFlags() []string {
	return []string{
		"host", "port", "allow-remote", "api-key-file", "no-auth", "tls-cert", "tls-key", "unknown-fields",
		"aliases", "allowed-hosts", "allowed-origins", "default-deadline", "drain-timeout",
		"admin-addr", "admin-key-file", "data-dir", "max-body", "max-open-streams", "refuse-late", "inline-bytes",
		"event-retention", "model-grace", "ready-pool-threshold",
	}
}

func newGatewayCommand(a *app) *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Run an HTTP gateway to a NATS server",
		Long: `Run a gateway: it turns OpenAI-style requests into jobs of the queue and streams
the answers that workers write there. Any number of gateways may serve one queue.

SIGTERM or Ctrl-C stops it: open streams get --drain-timeout to end, then they
are told that the server restarts; their jobs go on. A second signal tells them
at once.`,
		Example: `  semantic gateway --nats nats://mac-mini.local:4222 --nats-token-file token
  semantic gateway --host 0.0.0.0 --allow-remote --api-key-file keys --tls-cert cert.pem --tls-key key.pem`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return a.runGateway(cmd.Context(), c, readyFile)
		},
	}
	addConfigFlags(cmd, append(append(brokerFlags(), "replicas", logFileFlag), gatewayFlags()...)...)
	addReadyFlag(cmd, &readyFile)
	return cmd
}

func (a *app) runGateway(ctx context.Context, c *config.Loaded, readyFile string) error {
	if err := checkReadyFile(readyFile); err != nil {
		return err
	}
	a.Log = a.Log.With(schemas.LogRole, "gateway")
	down := teardown{log: a.Log}
	defer func() { down.run(ctx) }()
	front, err := a.listenHTTP(ctx, c)
	if err != nil {
		return err
	}
	down.add("stop listening", time.Second, front.close)
	if err := clearReadyFile(readyFile, &down); err != nil {
		return err
	}
	registry := telemetry.NewRegistry()
	if err := a.traces(ctx, serviceGateway, randomHex(8), false, registry, &down); err != nil {
		return err
	}
	if _, err := checkRole(c, queue.RoleGateway); err != nil {
		return err
	}
	q, err := a.openQueue(ctx, c, "semantic gateway", registry, registry)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	down.add("leave NATS", closeBound, q.Close)
	a.reconcile(ctx, q, nil, &down)
	if err := front.serve(ctx, q, registry, registry, nil); err != nil {
		return err
	}
	// Also where the run fails: streams hear of the stop before the queue leaves them.
	down.add("drain the gateway", drainBound, front.drain)
	dir, err := a.dataDir(c)
	if err != nil {
		return err
	}
	admin, err := a.serveAdmin(ctx, c, front, dir, &down)
	if err != nil {
		return err
	}
	broker, err := c.NATSURL()
	if err != nil {
		return err
	}
	if err := a.printf("semantic %s gateway: %s, queue %s\n", a.Release, front.url(), queue.MaskURLs(broker)); err != nil {
		a.Log.Warn("cannot say where the gateway is", schemas.LogError, err)
	}
	a.writeReadyFile(readyFile, readyInfo{HTTP: front.url(), Admin: admin, NATS: queue.MaskURLs(broker)})
	select {
	case <-ctx.Done():
	case err := <-front.failed:
		return err
	}
	a.Log.Info("stopping", schemas.LogEvent, schemas.LogEventDrainBegin,
		schemas.LogWhy, context.Cause(ctx), schemas.LogDrainTimeout, c.DrainTimeout)
	a.notef("Stopping: open streams get up to %s to end. Interrupt again to end at once.\n", c.DrainTimeout)
	soft, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.DrainTimeout)
	defer cancel()
	front.gateway.Drain(soft)
	return nil
}

// front is the HTTP side: a listener, and the gateway once it serves. It
// belongs to one goroutine.
type front struct {
	app      *app
	config   *config.Loaded
	keys     []string
	listener net.Listener
	tls      *tls.Config // nil without TLS
	server   *http.Server
	gateway  *gateway.Gateway
	served   chan struct{}
	// failed gets the error of a server that ended by itself.
	failed chan error
}

// listenHTTP checks the settings and takes the port.
func (a *app) listenHTTP(ctx context.Context, c *config.Loaded) (*front, error) {
	if err := errors.Join(c.CheckGateway(), c.CheckAdmin()); err != nil {
		return nil, err
	}
	keys, err := c.APIKeys()
	if err != nil {
		return nil, err
	}
	var certificate tls.Certificate
	if c.TLSCert != "" {
		if certificate, err = tls.LoadX509KeyPair(c.TLSCert, c.TLSKey); err != nil {
			return nil, &config.Error{Key: "tls-cert", Source: c.Source("tls-cert"), Err: err}
		}
	}
	l, err := listen(ctx, net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, withHint(fmt.Errorf("port %d of %s is in use by another program", c.Port, c.Host),
			"Choose another one with --port, or --port 0 for any.")
	}
	if err != nil {
		return nil, withHint(fmt.Errorf("gateway: %w", err), "--host and --port say where to listen.")
	}
	f := &front{app: a, config: c, keys: keys, listener: l, failed: make(chan error, 1)}
	if c.TLSCert != "" {
		f.tls = &tls.Config{
			Certificates: []tls.Certificate{certificate},
			NextProtos:   []string{"h2", "http/1.1"},
			MinVersion:   tls.VersionTLS12,
		}
		f.listener = tls.NewListener(l, f.tls)
	}
	return f, nil
}

// serve starts the gateway on the listener.
func (f *front) serve(ctx context.Context, q *queue.Queue, r prometheus.Registerer, g prometheus.Gatherer, expect []string) error {
	gc := gateway.DefaultConfig()
	gc.APIKeys = f.keys
	gc.AllowedHosts = append(slices.Clone(f.config.AllowedHosts), f.ownNames()...)
	gc.AllowedOrigins = f.config.AllowedOrigins
	gc.UnknownFields = f.config.UnknownFields
	for _, alias := range f.config.Aliases {
		gc.Aliases = append(gc.Aliases, gateway.Alias{Pattern: alias.Pattern, Model: alias.Model})
	}
	gc.DefaultDeadline = f.config.DefaultDeadline
	gc.MaxBodyBytes = int64(f.config.MaxBody)
	gc.MaxOpenStreams, gc.RefuseLate = f.config.MaxOpenStreams, f.config.RefuseLate
	gc.ReadyPoolThreshold = f.config.ReadyPoolThreshold
	gc.Release = f.app.Release
	var err error
	f.gateway, err = gateway.New(gateway.Options{
		Queue: q, Logger: f.app.Log, Registerer: r, Gatherer: g, TracerProvider: f.app.Tracer, Expect: expect, Config: gc,
	})
	if err != nil {
		return err
	}
	f.server = gateway.NewHTTPServer(f.gateway)
	f.served = make(chan struct{})
	go func() {
		defer close(f.served)
		if err := f.server.Serve(f.listener); !errors.Is(err, http.ErrServerClosed) {
			f.failed <- fmt.Errorf("gateway: %w", err)
		}
	}()
	cut := f.cut
	f.app.lastWords.Store(&cut)
	f.app.Log.Info("gateway listening", schemas.LogURL, f.url(), schemas.LogAuth, len(f.keys) > 0)
	f.checkAliases(ctx, q, expect)
	return nil
}

// checkAliases warns of aliases that lead nowhere. No more than that: a worker
// for the model may yet come.
func (f *front) checkAliases(ctx context.Context, q *queue.Queue, expect []string) {
	if len(f.config.Aliases) == 0 {
		return
	}
	known, err := q.Models(ctx)
	if err != nil {
		f.app.Log.Warn("cannot check the aliases", schemas.LogError, err)
		return
	}
	known = append(known, expect...)
	slices.Sort(known)
	known = slices.Compact(known)
	for _, alias := range f.config.Aliases {
		if !slices.Contains(known, alias.Model) {
			f.app.Log.Warn("an alias leads to a model that no worker has announced",
				schemas.LogAlias, alias.Pattern, schemas.LogModel, alias.Model, schemas.LogKnown, known)
		}
	}
}

// ownNames are the names under which other machines reach a gateway that
// serves them.
func (f *front) ownNames() []string {
	if config.Loopback(f.config.Host) {
		return nil
	}
	names := []string{hostName()}
	if short, _, _ := strings.Cut(hostName(), "."); short != "" {
		names = append(names, short, short+".local")
	}
	if net.ParseIP(f.config.Host) == nil {
		names = append(names, f.config.Host)
	}
	return names
}

// beginDrain drains the gateway in the background, after readiness and new
// requests got their 503; the channel closes at the end of the drain.
func (f *front) beginDrain(soft context.Context) <-chan struct{} {
	f.gateway.Refuse()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		f.gateway.Drain(soft)
	}()
	return drained
}

// drain ends what is open, while the queue is still there, and closes the
// server. Nothing works on the streams any more: they get as long as it takes
// to read what is stored.
func (f *front) drain(ctx context.Context) error {
	soft, cancel := context.WithTimeout(ctx, handoverGrace)
	defer cancel()
	f.gateway.Drain(soft)
	return f.close(ctx)
}

// cut ends every open stream with its error, and sends what is written, before
// a forced end of the process. Safe beside a drain; a process does it once.
func (f *front) cut() {
	ctx, cancel := context.WithTimeout(context.Background(), gateway.CutTimeout)
	defer cancel()
	f.gateway.Cut(ctx)
	// Its error is that the time was not enough; the process ends anyway.
	_ = f.server.Shutdown(ctx)
}

// close stops the server, or frees the port if it never served. Streams are
// to have been drained.
func (f *front) close(ctx context.Context) error {
	if f.server == nil {
		if err := f.listener.Close(); err != nil {
			return fmt.Errorf("free the port: %w", err)
		}
		return nil
	}
	err := f.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, f.server.Close())
	}
	<-f.served
	if err != nil {
		return fmt.Errorf("close the connections: %w", err)
	}
	return nil
}

// url is where clients on this machine reach the gateway.
func (f *front) url() string {
	scheme := "http"
	if f.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + reachable(f.config.Host, f.listener.Addr().(*net.TCPAddr).Port)
}

// reachable is an address that this machine can connect to, where host may be
// the unspecified one.
func reachable(host string, port int) string {
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
