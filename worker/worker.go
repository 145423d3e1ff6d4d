package worker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// Identity says who the worker is. All fields are required.
type Identity struct {
	// ID is kept in the data directory over restarts.
	ID string
	// Incarnation is drawn anew at each start of the process: a job's deaths
	// are counted by it.
	Incarnation string
	// Host is the machine's name, for people.
	Host string
	// Release is the version of the program.
	Release string
}

// Options are what New needs. Queue, Engine, Template and Identity are required.
type Options struct {
	// Queue, with its topology ensured, is where jobs come from. The caller
	// closes it after Run.
	Queue *queue.Queue
	// Engine runs the jobs; the worker must be its only user. The caller closes
	// it after Run.
	Engine *engine.Engine
	// Template is the chat template of the engine's model.
	Template *chat.Template
	Identity Identity
	// Logger gets every step of a job's life; nil discards.
	Logger *slog.Logger
	// Registerer gets the worker's metrics until Run returns; nil means none.
	Registerer prometheus.Registerer
	// TracerProvider gets the spans of each claim, children of the job's
	// traceparent; nil means none.
	TracerProvider trace.TracerProvider
	// Working, where it is set, is called as each job begins, and what it returns as
	// that job ends: a laptop is kept from sleeping meanwhile. Neither may block; they
	// are called from several goroutines.
	Working func() (over func())
	// Level is the least level of Logger's lines, to be changed by operators; nil:
	// it cannot be changed.
	Level *slog.LevelVar
	// MetricsAddr is the HOST:PORT at which other machines find the metrics of
	// Registerer; empty where they do not.
	MetricsAddr string
	// LogContent puts what users send and get into the log, for debugging.
	LogContent bool
	// Config; the zero value means DefaultConfig.
	Config Config
}

// Worker serves jobs of one model. Ready may be called from any goroutine.
type Worker struct {
	queue    *queue.Queue
	engine   *engine.Engine
	template *chat.Template
	identity Identity
	config   Config
	model    engine.ModelInfo
	log      *slog.Logger
	tracer   trace.Tracer
	metrics  *metrics
	told     *told // jobs that this worker said it cannot serve
	grammars *grammars
	working  func() (over func())
	level    *slog.LevelVar
	address  string // of the metrics
	content  bool   // Options.LogContent
	started  time.Time
	answered changes // owned by watchControl

	ran     atomic.Bool
	claims  atomic.Uint64 // jobs claimed so far
	ready   chan struct{}
	changed chan struct{} // a place may have become free; read by tellPlaces
	news    chan struct{} // the status changed; read by the status loop
	failed  chan struct{} // closed once a job met a failed engine
	failure error         // how; to be read once failed is closed
	fail    sync.Once
	tokens  atomic.Uint64 // generated since the start

	drainOnce  sync.Once
	drainAsked chan struct{} // closed once somebody asked for a drain
	sooner     chan struct{} // the limit of the drain was changed; read by drain

	mu       sync.Mutex // guards those below
	runs     map[string]*run
	draining bool
	paused   bool                   // no jobs are taken until somebody says so
	drainBy  time.Time              // the limit of the drain; zero if none was set
	drainers []queue.ControlMessage // who gets the last word of the drain
	drained  queue.Drained          // what became of the jobs since draining was set
	running  sync.WaitGroup         // one for the goroutine of each run; added to by the claim loop only
}

// New checks the options. It starts nothing.
func New(o Options) (*Worker, error) {
	if o.Config == (Config{}) {
		o.Config = DefaultConfig()
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	switch {
	case o.Queue == nil:
		return nil, fmt.Errorf("%w: Queue is missing", ErrConfig)
	case o.Engine == nil:
		return nil, fmt.Errorf("%w: Engine is missing", ErrConfig)
	case o.Template == nil:
		return nil, fmt.Errorf("%w: Template is missing", ErrConfig)
	case o.Identity.ID == "" || o.Identity.Incarnation == "" || o.Identity.Host == "" || o.Identity.Release == "":
		return nil, fmt.Errorf("%w: Identity is incomplete: %+v", ErrConfig, o.Identity)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TracerProvider == nil {
		o.TracerProvider = noop.NewTracerProvider()
	}
	if o.Working == nil {
		o.Working = func() func() { return func() {} }
	}
	w := &Worker{
		queue:      o.Queue,
		engine:     o.Engine,
		template:   o.Template,
		identity:   o.Identity,
		config:     o.Config,
		model:      o.Engine.Info(),
		tracer:     o.TracerProvider.Tracer(tracerName),
		told:       newTold(),
		grammars:   newGrammars(),
		working:    o.Working,
		level:      o.Level,
		address:    o.MetricsAddr,
		content:    o.LogContent,
		started:    time.Now(),
		ready:      make(chan struct{}),
		changed:    make(chan struct{}, 1),
		news:       make(chan struct{}, 1),
		failed:     make(chan struct{}),
		drainAsked: make(chan struct{}),
		sooner:     make(chan struct{}, 1),
		runs:       make(map[string]*run),
	}
	w.log = o.Logger.With(schemas.LogWorker, o.Identity.ID, schemas.LogModel, w.model.Name)
	var err error
	w.metrics, err = newMetrics(o.Registerer, w.model.Name, w.activeAgents)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Ready is closed once the worker is registered and claims. It stays open when
// Run returned before that.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// Run claims and serves jobs until ctx ends, or somebody asks for a drain
// (queue.Drain), then stops as the package comment says, and returns nil when every goroutine is joined. It returns an error when
// the worker could not register (*queue.FingerprintError, queue.ErrUnavailable …)
// or when the engine failed (ErrEngineLost). It can be called once.
func (w *Worker) Run(ctx context.Context) error {
	if !w.ran.CompareAndSwap(false, true) {
		return ErrAlreadyRun
	}
	defer w.metrics.unregister()

	// Jobs outlive ctx: they end by themselves, by a stop, or at the very end.
	jobs, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()

	registration, err := w.queue.Register(ctx, w.status())
	if err != nil {
		return unlessStopped(ctx, fmt.Errorf("worker: register: %w", err))
	}
	var background sync.WaitGroup
	defer background.Wait()
	// Before the wait: a write of the entry that hangs ends with the entry.
	defer w.leave(jobs, registration)

	control, err := w.queue.Control(ctx, w.identity.ID)
	if err != nil {
		return unlessStopped(ctx, fmt.Errorf("worker: listen for control messages: %w", err))
	}
	claimer, err := w.queue.NewClaimer(ctx, queue.ClaimOptions{
		Model: w.model.Name, WorkerID: w.identity.ID, Incarnation: w.identity.Incarnation, Context: w.engine.Limits().Context,
	})
	if err != nil {
		control.Close()
		return unlessStopped(ctx, fmt.Errorf("worker: listen for jobs: %w", err))
	}

	watch, unwatch := context.WithCancel(jobs)
	background.Go(func() { w.watchControl(watch, control) })
	background.Go(func() { w.refreshStatus(watch, registration) })
	defer control.Close()
	defer unwatch()

	claiming, stopClaiming := context.WithCancel(ctx)
	defer stopClaiming()
	var claims sync.WaitGroup
	claims.Go(func() { w.claimLoop(claiming, jobs, claimer) })
	w.log.Info("worker is ready", schemas.LogEvent, schemas.LogEventWorkerReady, schemas.LogIncarnation, w.identity.Incarnation,
		schemas.LogFingerprint, w.model.Fingerprint, schemas.LogBackend, w.model.Backend,
		schemas.LogContext, w.engine.Limits().Context, schemas.LogPlaces, w.engine.Limits().Sequences)
	close(w.ready)

	var cause error
	why := "told to stop"
	select {
	case <-ctx.Done():
	case <-w.drainAsked:
		why = "told to drain"
	case <-w.engine.Failed():
		cause = fmt.Errorf("%w: %w", ErrEngineLost, w.engine.Err())
	case <-w.failed:
		cause = fmt.Errorf("%w: %w", ErrEngineLost, w.failure)
	}
	// Also a stop in the midst of a drain has its limit.
	defer context.AfterFunc(ctx, func() { w.hasten(w.config.DrainTimeout) })()
	if cause != nil {
		why = cause.Error()
		w.hasten(w.config.DrainTimeout)
	}
	began := time.Now()
	w.log.Info(why+": no more jobs are taken", schemas.LogEvent, schemas.LogEventDrainBegin,
		schemas.LogTimeout, w.drainLeft().Round(time.Millisecond))
	stopClaiming()
	w.startDraining(jobs, registration)
	w.handBackUnstarted(errHandover, cause != nil)
	signal(w.news)
	claims.Wait()
	claimer.Close()
	w.drain(jobs, abandon)
	w.sayDrained(control)
	w.log.Info("drained", schemas.LogEvent, schemas.LogEventDrainEnd, schemas.LogTook, time.Since(began).Round(time.Millisecond))
	return cause
}

// unlessStopped drops an error that comes from being told to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// Status describes the worker as it is now, as it tells the others. It may be called
// from any goroutine.
func (w *Worker) Status() schemas.WorkerStatus { return w.status() }

func (w *Worker) status() schemas.WorkerStatus {
	limits, snapshot := w.engine.Limits(), w.engine.Snapshot()
	w.mu.Lock()
	running, draining, paused := len(w.runs), w.draining, w.paused
	w.mu.Unlock()
	return schemas.WorkerStatus{
		Version:        schemas.WorkerVersion,
		ID:             w.identity.ID,
		Incarnation:    w.identity.Incarnation,
		Host:           w.identity.Host,
		Release:        w.identity.Release,
		Model:          w.model.Name,
		Fingerprint:    w.model.Fingerprint,
		Backend:        w.model.Backend,
		Architecture:   w.model.Architecture,
		Quantisation:   w.model.Quantisation,
		Context:        limits.Context,
		ContextTrained: w.model.ContextTrained,
		ContextReason:  w.model.ContextReason,
		Cells:          limits.Cells,
		CellsFree:      max(limits.Cells-snapshot.CellsUsed, 0),
		Capacity:       limits.Sequences,
		Running:        running,
		Draining:       draining || paused,
		Paused:         paused && !draining,
		MetricsAddr:    w.address,
		StartedAt:      w.started.UTC(),
		UpdatedAt:      time.Now().UTC(),
	}
}

// refreshStatus keeps the registry entry current until ctx ends: at once when
// something changed, but not more often than every statusGap.
func (w *Worker) refreshStatus(ctx context.Context, registration *queue.Registration) {
	const statusGap = 100 * time.Millisecond
	period := time.NewTicker(w.config.StatusInterval)
	defer period.Stop()
	gap := time.NewTimer(0)
	defer gap.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gap.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		case <-period.C:
		}
		w.announce(ctx, registration)
		gap.Reset(statusGap)
	}
}

// announce sends the status. A failure needs no answer: the next one follows
// within StatusInterval, and the queue keeps the entry alive meanwhile.
func (w *Worker) announce(ctx context.Context, registration *queue.Registration) {
	ctx, cancel := context.WithTimeout(ctx, w.config.FlushTimeout)
	defer cancel()
	if err := registration.Update(ctx, w.status()); err != nil && ctx.Err() == nil {
		w.log.Warn("registry entry not refreshed", schemas.LogError, err)
	}
}

// leave removes the registry entry; without it the entry goes by its TTL.
func (w *Worker) leave(ctx context.Context, registration *queue.Registration) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.FlushTimeout)
	defer cancel()
	if err := registration.Close(ctx); err != nil {
		w.log.Warn("registry entry not removed", schemas.LogError, err)
	}
}

// activeAgents counts distinct agents with a job here.
func (w *Worker) activeAgents() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	agents := make(map[string]struct{}, len(w.runs))
	for _, r := range w.runs {
		agents[r.agent] = struct{}{}
	}
	return float64(len(agents))
}

// signal sets a coalescing signal.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
