package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/awake"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/supervisor"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/worker"
)

// supervisedFlag makes the worker a child of `semantic serve`.
const supervisedFlag = "supervised"

// modelFlags are the settings of what computes.
func modelFlags() []string {
	return []string{"model", "backend", "ctx", "parallel", "kv-type", "gpu-layers", "threads", "sim-step", "sim-prefill-rate"}
}

func newWorkerCommand(a *app) *cobra.Command {
	var (
		supervised bool
		readyFile  string
	)
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run a worker that takes jobs from a NATS server",
		Long: `Run a worker: it loads a model and takes jobs for it from the queue, as fast as
it has room. Any number of workers, on any machines that reach the NATS server,
share the jobs of a model; they may come and go.

SIGTERM or Ctrl-C stops it, and so does 'semantic drain' from another machine:
running requests get --drain-timeout to finish, the rest is handed to other
workers, and it exits with 0 (a service manager should start it again on failure
only). A second signal ends it at once. It exits with 78 if starting it again
would not help (no such model, too little memory …), and with 70 if the native
engine failed under it: its jobs went back.`,
		Example: `  semantic worker --nats nats://mac-mini.local:4222 --nats-token-file token
  semantic worker --model ~/models/qwen3-4b-q8_0.gguf --ctx 16384
  semantic worker --backend sim --model sim --sim-step 20ms   # no model needed`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := &workerProcess{app: a, supervised: supervised, readyFile: readyFile, say: func(supervisor.Message) {}}
			if supervised {
				w.say = func(m supervisor.Message) { _ = supervisor.Announce(a.Out, m) }
				supervisor.WatchParent(a.In, func() { w.say(supervisor.Message{Alive: true}) }, func() { a.Exit(exitError) })
			}
			return w.finish(w.run(cmd.Context()))
		},
	}
	addConfigFlags(cmd, slices.Concat(brokerFlags(), modelFlags(), engineFlags(), []string{
		"reply-prefixes", "data-dir", "default-deadline", "drain-timeout", "metrics-addr", "ready-pool-threshold", "step-timeout",
		"no-prevent-sleep", "steal-after", "ack-wait", "max-attempts", logFileFlag, "log-content",
	})...)
	cmd.Flags().BoolVar(&supervised, supervisedFlag, false,
		"report to the parent on stdout, and exit when stdin ends (how `semantic serve` runs it)")
	addReadyFlag(cmd, &readyFile)
	_ = cmd.Flags().MarkHidden(supervisedFlag)
	return cmd
}

// engineFlags are the settings of how the batch engine works.
func engineFlags() []string {
	return []string{"batch-window", "inter-token-bound", "buffer-tokens", "buffer-bytes", "slow-consumer-timeout"}
}

func engineConfig(c *config.Loaded) engine.Config {
	e := engine.DefaultConfig()
	e.BatchWindow, e.InterTokenBound = c.BatchWindow, c.InterTokenBound
	e.BufferTokens, e.BufferBytes, e.SlowConsumerTimeout = c.BufferTokens, c.BufferBytes, c.SlowConsumerTimeout
	return e
}

// engineArgs are the settings of [engineFlags] as arguments of a child.
func engineArgs(c *config.Loaded) []string {
	return []string{
		"--batch-window", c.BatchWindow.String(), "--inter-token-bound", strconv.FormatFloat(c.InterTokenBound, 'g', -1, 64),
		"--buffer-tokens", strconv.Itoa(c.BufferTokens), "--buffer-bytes", strconv.Itoa(c.BufferBytes),
		"--slow-consumer-timeout", c.SlowConsumerTimeout.String(),
	}
}

// workerProcess is one run of the worker command.
type workerProcess struct {
	app        *app
	supervised bool
	readyFile  string
	// say tells the supervisor, if there is one.
	say func(supervisor.Message)
}

// finish gives the error its exit code and, under a supervisor, leaves the
// telling to that.
func (w *workerProcess) finish(err error) error {
	if err == nil {
		return nil
	}
	if stopped := new(stoppedError); errors.As(err, &stopped) {
		return nil // told to stop while it was starting
	}
	code := exitError
	switch {
	case errors.Is(err, worker.ErrEngineLost):
		code = exitEngine
	case permanent(err):
		code = supervisor.ExitPermanent
	}
	if !w.supervised {
		if isUsage(err) {
			return err
		}
		return withCode(err, code)
	}
	failure := &supervisor.Failure{Message: err.Error()}
	if hint := hinter(nil); errors.As(err, &hint) {
		failure.Hint = hint.Hint()
	}
	w.say(supervisor.Message{Failed: failure})
	return &codeError{err: errSilent, code: code}
}

// permanent tells errors that a new start would meet again. An unknown error
// is one: before the worker was ready nearly everything is a matter of
// configuration, and one that died later is started again anyway.
func permanent(err error) bool {
	for _, passing := range []error{
		queue.ErrUnavailable, queue.ErrNoTopology, queue.ErrStorageFull, worker.ErrEngineLost, context.DeadlineExceeded,
	} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return true
}

func (w *workerProcess) run(ctx context.Context) error {
	a := w.app
	c, err := a.config()
	if err != nil {
		return err
	}
	if err := c.CheckWorker(); err != nil {
		return err
	}
	if err := checkReadyFile(w.readyFile); err != nil {
		return err
	}
	a.Log = a.Log.With(schemas.LogRole, "worker")
	if !w.supervised { // else its parent has
		a.warnOfContent(c)
	}
	down := teardown{log: a.Log}
	defer func() { down.run(ctx) }()

	creds, err := checkRole(c, queue.RoleWorker)
	if err != nil {
		return err
	}
	place, err := w.seat(ctx, c)
	if err != nil {
		return err
	}
	down.add("give up the worker's id", time.Second, place.leave)
	if err := place.named(creds); err != nil {
		return err
	}
	log := a.Log // the worker adds its id by itself
	a.Log = a.Log.With(schemas.LogWorker, place.id)
	if err := clearReadyFile(w.readyFile, &down); err != nil {
		return err
	}

	registry := telemetry.NewRegistry()
	if err := a.traces(ctx, serviceWorker, place.id, w.supervised, registry, &down); err != nil {
		return err
	}
	// Before the model: who asks is told that it loads.
	health := newWorkerHealth(ctx, a.Release, c.ReadyPoolThreshold)
	metricsAddr, err := w.serveMetrics(ctx, c, place.id, registry, health, &down)
	if err != nil {
		return err
	}
	// Before the model: a broker that is not there is told at once.
	q, err := a.openQueue(ctx, c, "semantic worker "+place.id, registry, nil)
	if err != nil {
		return stopOr(ctx, err)
	}
	down.add("leave NATS", closeBound, q.Close)
	health.connected(q)

	program := a.KeepAwake
	if c.NoPreventSleep {
		program = ""
	}
	keeper := awake.New(awake.Options{Program: program, Linger: awake.Linger, Logger: a.Log})
	down.add("let the machine sleep", time.Second, func(context.Context) error { keeper.Close(); return nil })
	sleepy := keeper.Hold()
	defer sleepy()

	began := time.Now()
	w.say(supervisor.Message{Loading: a.shownModel(c)})
	backend, template, err := a.openBackend(ctx, c)
	if err != nil {
		return stopOr(ctx, err)
	}
	if a.Backend != nil {
		backend = a.Backend(backend)
	}
	info, limits := backend.Info(), backend.Limits()
	loaded := a.Log.With(schemas.LogModel, info.Name, schemas.LogBackend, info.Backend, schemas.LogArchitecture, info.Architecture,
		schemas.LogQuantisation, info.Quantisation, schemas.LogContext, limits.Context, schemas.LogCells, limits.Cells,
		schemas.LogParallel, limits.Sequences,
		schemas.LogTook, time.Since(began).Round(time.Millisecond))
	if !w.supervised { // else `semantic serve` prints it
		loaded = loaded.With(schemas.LogWhy, info.ContextReason)
	}
	loaded.Info("model loaded", schemas.LogEvent, schemas.LogEventModelLoad)
	e, err := engine.New(engine.Options{
		Backend: backend, Logger: a.Log.With(schemas.LogModel, info.Name), Registerer: registry, TracerProvider: a.Tracer,
		Config: engineConfig(c),
	})
	if err != nil {
		return err
	}
	down.add("close the model", 30*time.Second, func(context.Context) error { return e.Close() })
	down.add("stop watching the steps", time.Second, watchSteps(ctx, a.Log, e, c.StepTimeout))

	wc := worker.DefaultConfig()
	wc.DrainTimeout, wc.MaxAttempts = c.DrainTimeout, c.MaxAttempts
	if c.StepTimeout > 0 { // else the worker would count as hung in its window
		wc.MaxBatchWindow = min(wc.MaxBatchWindow, c.StepTimeout-1)
	}
	one, err := worker.New(worker.Options{
		Queue: q, Engine: e, Template: template, Logger: log, Registerer: registry, TracerProvider: a.Tracer, Config: wc,
		Working: keeper.Hold, LogContent: c.LogContent, Level: a.Level, MetricsAddr: metricsAddr,
		Identity: worker.Identity{ID: place.id, Incarnation: randomHex(8), Host: hostName(), Release: a.Release},
	})
	if err != nil {
		return err
	}
	sleepy()
	health.loaded(one)
	watching := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-one.Ready():
			w.ready(ctx, q, info.Name, place.id)
		case <-over:
		}
	}()
	err = one.Run(ctx)
	close(over)
	<-watching
	if err == nil && ctx.Err() == nil {
		a.Log.Info("drained, as it was asked to; this process ends")
		w.say(supervisor.Message{Drained: true})
	}
	if errors.Is(err, worker.ErrEngineLost) {
		return withHint(err, "Its requests went back to the queue. A worker that starts now gets a new engine; "+
			"if that fails too, `semantic doctor` looks for the cause.")
	}
	return err
}

// ready tells the supervisor, and scripts, that the worker takes jobs.
func (w *workerProcess) ready(ctx context.Context, q *queue.Queue, model, id string) {
	if !w.supervised {
		w.app.writeReadyFile(w.readyFile, readyInfo{Model: model, Worker: id})
		return
	}
	workers, err := q.Workers(ctx)
	if err != nil {
		return // the broker went away just now; the worker's log says so
	}
	for i := range workers {
		if workers[i].ID == id {
			w.say(supervisor.Message{Ready: &workers[i]})
			return
		}
	}
}

func (w *workerProcess) seat(ctx context.Context, c *config.Loaded) (*seat, error) {
	dir, err := w.app.dataDir(c)
	if err != nil {
		return nil, err
	}
	if w.supervised {
		return takeSupervisedSeat(ctx, dir)
	}
	return takeSeat(dir)
}

// serveMetrics serves the registry and the worker's health where the configuration
// says; under a supervisor, which shows the metrics on its own page, on any free
// loopback port. It returns where others find them; empty where they do not.
func (w *workerProcess) serveMetrics(
	ctx context.Context, c *config.Loaded, id string, g prometheus.Gatherer, health *workerHealth, down *teardown,
) (string, error) {
	addr := c.MetricsAddr
	if addr == "" {
		if !w.supervised {
			return "", nil
		}
		addr = "127.0.0.1:0"
	}
	l, err := listen(ctx, addr)
	if err != nil {
		return "", withHint(fmt.Errorf("metrics: %w", err), "Choose another --metrics-addr address.")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", telemetry.MetricsHandler(g, w.app.Log))
	health.route(mux)
	// They are served to the very end of the drain, hence not under ctx.
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- telemetry.Serve(serving, l, mux, w.app.Log) }()
	down.add("stop serving metrics", 5*time.Second, func(context.Context) error {
		cancel()
		return <-done
	})
	w.say(supervisor.Message{Metrics: &supervisor.Metrics{Addr: l.Addr().String(), Worker: id}})
	level := slog.LevelInfo
	if w.supervised { // its address concerns nobody but the supervisor
		level = slog.LevelDebug
	}
	w.app.Log.Log(ctx, level, "serving metrics", schemas.LogURL, "http://"+l.Addr().String()+"/metrics")
	if w.supervised {
		return "", nil
	}
	return announced(l.Addr().(*net.TCPAddr)), nil
}

// announced is a listener's address as other machines may reach it.
func announced(addr *net.TCPAddr) string {
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = hostName()
	}
	return net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

// stopOr prefers the signal that ended ctx to the error that it caused.
func stopOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
	}
	return err
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}
