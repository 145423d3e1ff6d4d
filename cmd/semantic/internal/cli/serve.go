package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/supervisor"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
	"github.com/semantic-worker/semantic/schemas"
)

const (
	// handoverGrace is what streams get to read the last events of a worker
	// that is gone, before they are told that the server restarts.
	handoverGrace = time.Second
	// drainBound is for faults: the handover, the cut of what is left, and the
	// close of the connections have shorter bounds of their own.
	drainBound = 20 * time.Second
	// stopMargin is how much longer than its drain timeout the worker may take
	// before it is killed: handing back, closing the model.
	stopMargin = 15 * time.Second
)

func newServeCommand(a *app) *cobra.Command {
	var readyFile string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run everything on this machine: queue, gateway and worker",
		Long: `Run the whole product: an embedded NATS server with the durable queue, the HTTP
gateway, and a worker in a process of its own, which is started again if it
dies. What is missing (the native runtime, the default model) is fetched first.

SIGTERM or Ctrl-C stops it: running requests get --drain-timeout to finish while
their streams go on; what is left is kept in the queue for the next start. A
second signal ends it at once; nothing accepted is lost then either.

Only this machine reaches it, unless you say otherwise: --host with
--allow-remote opens the gateway, --cluster opens NATS for workers elsewhere, with
TLS and credentials for each of them (semantic nats init makes what it needs).
--nats-host opens it without: no TLS, and jobs, answers and the token of
--nats-token-file go over the network in clear text. Do that only inside a network
that you trust.`,
		Example: `  semantic serve
  semantic serve --port 9000 --nats-port 4333 --data-dir ./data
  semantic serve --backend sim --sim-step 20ms      # made-up text, no model
  semantic serve --host 0.0.0.0 --allow-remote --api-key-file keys
  semantic serve --cluster cluster/brokers/mini-local`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			a.Log = a.Log.With(schemas.LogRole, "serve")
			a.warnOfContent(c)
			s := &serveProcess{app: a, config: c, down: teardown{log: a.Log}, readyFile: readyFile, began: time.Now()}
			return s.run(cmd.Context())
		},
	}
	keys := append(gatewayFlags(), "nats-host", "nats-port", "nats-token-file", "no-nats-auth", "cluster", "replicas",
		"reply-prefixes", "sync", "sync-interval", "step-timeout", "hang-timeout", "no-prevent-sleep", "steal-after",
		"ack-wait", "max-attempts", logFileFlag, "log-content")
	addConfigFlags(cmd, slices.Concat(keys, modelFlags(), engineFlags())...)
	addReadyFlag(cmd, &readyFile)
	return cmd
}

// serveProcess is one run of `semantic serve`. It belongs to the goroutine of
// run, except where a field says otherwise.
type serveProcess struct {
	app       *app
	config    *config.Loaded
	down      teardown
	readyFile string
	began     time.Time

	dataDir string
	front   *front
	admin   string // the admin interface's URL; empty for none
	nats    *embedded.Server
	queue   *queue.Queue
	// registry has this process's metrics; metrics is the worker child's page.
	// Both are safe for concurrent use.
	registry *prometheus.Registry
	metrics  *telemetry.Child
	// workerID is the worker's, once it was ready; safe for concurrent use.
	workerID atomic.Pointer[string]
	// announced and ready, the status of the worker that runs once it was ready,
	// belong to onMessage and onExit, of which one runs at a time.
	announced bool
	ready     *schemas.WorkerStatus
}

func (s *serveProcess) run(ctx context.Context) error {
	defer func() { s.down.run(ctx) }()
	if err := s.start(ctx); err != nil {
		return s.unlessStopped(ctx, err)
	}
	if err := s.app.fetchParts(ctx, s.config); err != nil {
		return s.unlessStopped(ctx, err)
	}
	return s.supervise(ctx)
}

// unlessStopped drops errors that come from being told to stop during the
// start.
func (s *serveProcess) unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// start brings up everything but the worker: from then on requests are
// accepted, and wait.
func (s *serveProcess) start(ctx context.Context) error {
	c := s.config
	if err := checkReadyFile(s.readyFile); err != nil {
		return err
	}
	if err := c.CheckWorker(); err != nil {
		return err
	}
	if err := c.CheckEmbeddedNATS(); err != nil {
		return err
	}
	if err := c.CheckPorts(); err != nil {
		return err
	}
	token, err := c.NATSToken()
	if err != nil {
		return err
	}
	if err := c.CheckGateway(); err != nil {
		return err
	}
	expect, err := s.app.expectedModels(ctx, c)
	if err != nil {
		return err
	}
	// The port before the data directory: two servers at once meet here first.
	s.front, err = s.app.listenHTTP(ctx, c)
	if err != nil {
		return err
	}
	s.down.add("stop the gateway", 5*time.Second, s.front.close)

	if s.dataDir, err = s.app.dataDir(c); err != nil {
		return err
	}
	lock, err := lockDataDir(s.dataDir)
	if err != nil {
		return err
	}
	s.down.add("unlock the data directory", time.Second, func(context.Context) error { return unlock(lock) })
	if err := clearReadyFile(s.readyFile, &s.down); err != nil {
		return err
	}

	registry := telemetry.NewRegistry()
	s.registry = registry
	if err := s.app.traces(ctx, serviceGateway, randomHex(8), false, registry, &s.down); err != nil {
		return err
	}
	if err := s.openBroker(ctx, token); err != nil {
		return err
	}
	s.app.reconcile(ctx, s.queue, expect, &s.down)
	s.metrics = telemetry.NewChild()
	page := telemetry.WithChild(registry, s.metrics)
	if err := s.front.serve(ctx, s.queue, registry, page, expect); err != nil {
		return err
	}
	// However the run ends: streams hear of the stop before the queue leaves
	// them. After the drain of a whole run nothing is left to wait for.
	s.down.add("drain the gateway", drainBound, s.front.drain)
	s.admin, err = s.app.serveAdmin(ctx, c, s.front, s.dataDir, &s.down)
	return err
}

// supervise runs the worker until ctx ends or something cannot go on.
func (s *serveProcess) supervise(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	sc := supervisor.DefaultConfig()
	sc.StopTimeout = s.config.DrainTimeout + stopMargin
	sc.HangTimeout = s.config.HangTimeout
	stderr, flush := s.app.childLog()
	child, err := supervisor.New(supervisor.Options{
		Name: "worker", Path: self, Args: s.workerArgs(), Env: s.app.childEnviron(), Stderr: stderr, Logger: s.app.Log,
		Registerer: s.registry, OnMessage: s.onMessage, Config: sc,
		OnExit: func(e supervisor.Exit) { flush(); s.onExit(ctx, e) },
	})
	if err != nil {
		return err
	}
	supervision, stopWorker := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorker()
	gone := make(chan error, 1)
	go func() { gone <- child.Run(supervision) }()

	select {
	case <-ctx.Done():
		s.drain(ctx, stopWorker, gone)
		return nil
	case err := <-s.front.failed:
		stopWorker()
		return errors.Join(err, <-gone)
	case err := <-gone:
		return workerHint(err)
	}
}

// workerHint gives the worker's own hint to the error of its supervisor.
func workerHint(err error) error {
	if exit := new(supervisor.ExitError); errors.As(err, &exit) {
		if exit.Failure != nil && exit.Failure.Hint != "" {
			return withHint(err, "%s", exit.Failure.Hint)
		}
		if exit.Failure != nil {
			return err
		}
		if exit.Hung {
			return withHint(err, "It was killed because it gave no sign of life; --hang-timeout says for how long it may be so.")
		}
		return withHint(err, "Its messages are above; `semantic doctor` looks for the cause.")
	}
	return err
}

// drain is the stop in its order: the gateway answers 503 to new requests and
// goes on with the streams, the worker finishes or hands back what runs.
func (s *serveProcess) drain(ctx context.Context, stopWorker context.CancelFunc, gone <-chan error) {
	began := time.Now()
	s.app.Log.Info("stopping", schemas.LogEvent, schemas.LogEventDrainBegin,
		schemas.LogWhy, context.Cause(ctx), schemas.LogDrainTimeout, s.config.DrainTimeout)
	after := context.WithoutCancel(ctx)
	soft, cut := context.WithCancel(after)
	defer cut()
	drained := s.front.beginDrain(soft)
	s.app.notef("Stopping: waiting up to %s for %s. Interrupt again to end at once.\n",
		s.config.DrainTimeout, s.waitingFor(after))
	stopWorker()
	reminder := time.NewTicker(5 * time.Second)
	defer reminder.Stop()
	for over := false; !over; {
		select {
		case err := <-gone:
			over = true
			if err != nil {
				s.app.Log.Error("the worker ended before it was asked to", schemas.LogError, err)
			}
		case <-reminder.C:
			left := max(s.config.DrainTimeout-time.Since(began), 0).Round(time.Second)
			s.app.notef("Still waiting for %s, %s left.\n", s.waitingFor(after), left)
		}
	}
	grace := time.NewTimer(handoverGrace)
	defer grace.Stop()
	select {
	case <-drained:
	case <-grace.C:
		cut()
		<-drained
	}
	s.app.Log.Info("stopped serving", schemas.LogEvent, schemas.LogEventDrainEnd, schemas.LogTook, time.Since(began).Round(time.Millisecond))
	s.sayKept(after)
}

// sayKept tells what the next start will go on with.
func (s *serveProcess) sayKept(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, closeBound)
	defer cancel()
	depth, err := s.queue.Depth(bounded)
	if err != nil {
		return // it was the last question to a server that is about to stop
	}
	kept := 0
	for _, d := range depth {
		kept += int(d.Queued + d.Running)
	}
	if kept > 0 {
		s.app.notef("Kept in the queue for the next start: %s.\n", things(kept, "request"))
	}
}

// waitingFor says in words what a stop waits for: the requests that this
// server's own worker runs. Others' go on without it.
func (s *serveProcess) waitingFor(ctx context.Context) string {
	const unknown = "the worker"
	id := s.workerID.Load()
	if id == nil {
		return unknown
	}
	bounded, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	workers, err := s.queue.Workers(bounded)
	if err != nil {
		return unknown
	}
	own := slices.IndexFunc(workers, func(w schemas.WorkerStatus) bool { return w.ID == *id })
	if own < 0 || workers[own].Running == 0 {
		return unknown
	}
	return things(workers[own].Running, "running request")
}

// workerArgs are the arguments of the child: every setting that the worker
// has, so that it depends on no file or variable.
func (s *serveProcess) workerArgs() []string {
	c := s.config
	prefixes := make([]string, len(c.ReplyPrefixes))
	for i, p := range c.ReplyPrefixes { // the flag reads CSV
		prefixes[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return slices.Concat([]string{
		"worker", "--" + supervisedFlag, "--config", os.DevNull,
		"--nats", s.natsURL(), "--nats-token-file", c.NATSTokenFile, "--nats-creds", s.workerCreds(), "--nats-ca", "",
		"--data-dir", s.dataDir, "--drain-timeout", c.DrainTimeout.String(),
		"--reply-prefixes", strings.Join(prefixes, ","),
		"--default-deadline", c.DefaultDeadline.String(), "--metrics-addr", "",
		"--ready-pool-threshold", strconv.FormatFloat(c.ReadyPoolThreshold, 'g', -1, 64),
		"--step-timeout", c.StepTimeout.String(), "--no-prevent-sleep=" + strconv.FormatBool(c.NoPreventSleep),
		"--steal-after", c.StealAfter.String(), "--ack-wait", c.AckWait.String(), "--max-attempts", strconv.Itoa(c.MaxAttempts),
		"--log-level", c.LogLevel, "--log-format", childFormat(c), "--log-file", "",
		"--log-content=" + strconv.FormatBool(c.LogContent),
	}, modelArgs(c), engineArgs(c))
}

// onMessage hears the worker child.
func (s *serveProcess) onMessage(m supervisor.Message) {
	switch {
	case m.Loading != "" && !s.announced:
		s.app.notef("Loading %s. Requests are taken already, and wait for it.\n", m.Loading)
	case m.Metrics != nil:
		s.metrics.Set(m.Metrics.Addr, "worker", m.Metrics.Worker)
	case m.Ready != nil:
		s.ready = m.Ready
		s.workerID.Store(&m.Ready.ID)
		if s.announced {
			s.app.Log.Info("worker is back", schemas.LogWorker, m.Ready.ID)
			return
		}
		s.announced = true
		s.announce(m.Ready)
	case m.Drained:
		s.app.notef("The worker was drained, and is not started again: requests wait for other workers. " +
			"Restart the server to have one here.\n")
	case m.Failed != nil && s.announced: // else the command ends with it
		s.app.Log.Error("worker failed", schemas.LogError, m.Failed.Message)
	}
}

// The arithmetic behind the context is longer than a line of a terminal.
const (
	announceWidth  = 88
	announceIndent = "\n           "
)

// announce tells people, and scripts, that requests are answered now.
func (s *serveProcess) announce(w *schemas.WorkerStatus) {
	url := s.front.url()
	err := s.app.printf("semantic %s is ready after %s.\n\n%s",
		s.app.Release, time.Since(s.began).Round(10*time.Millisecond), readyText(url, s.natsURL(), s.dataDir, w))
	if err != nil {
		s.app.Log.Warn("cannot say that the server is ready", schemas.LogError, err)
	}
	s.app.writeReadyFile(s.readyFile, readyInfo{HTTP: url, Admin: s.admin, NATS: s.natsURL(), Model: w.Model, Worker: w.ID})
}

// readyText is what a person wants to know of a server that has begun.
func readyText(url, nats, dataDir string, w *schemas.WorkerStatus) string {
	what := w.Backend
	if kind := strings.TrimSpace(w.Architecture + " " + w.Quantisation); kind != "" && kind != w.Backend {
		what = kind + " on " + w.Backend
	}
	context := strings.TrimPrefix(w.ContextReason, "context ")
	if context == "" {
		context = fmt.Sprintf("%d tokens", w.Context)
	}
	return fmt.Sprintf(`  API      %s/v1
  NATS     %s
  Model    %s (%s, %d at once)
  Context  %s
  Data     %s

Try:
  curl -N %s/v1/chat/completions -H 'Content-Type: application/json' \
    -d '{"model": %q, "stream": true, "messages": [{"role": "user", "content": "Hello!"}]}'

`, url, nats, w.Model, what, w.Capacity, strings.Join(wrap(context, announceWidth), announceIndent), dataDir, url, w.Model)
}
