package queue

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// Labels of semantic_queue_follower_repairs_total.
const (
	repairGap       = "gap"
	repairSilence   = "silence"
	repairReconnect = "reconnect"
)

// metrics are always counted, and exported if there is a registerer.
type metrics struct {
	waitSeconds    *prometheus.HistogramVec
	requeues       *prometheus.CounterVec
	attempts       prometheus.Histogram
	missed         *prometheus.CounterVec
	submitted      *prometheus.CounterVec
	claims         *prometheus.CounterVec
	redeliveries   *prometheus.CounterVec
	doorbells      prometheus.Counter
	appends        *prometheus.CounterVec
	appendSeconds  prometheus.Histogram
	fenced         prometheus.Counter
	uncertain      prometheus.Counter
	repairs        *prometheus.CounterVec
	junk           prometheus.Counter
	repliesRefused prometheus.Counter
	reconnects     prometheus.Counter
	parked         *prometheus.CounterVec
	replayed       prometheus.Counter
	leader         prometheus.Gauge
	reconciled     *prometheus.CounterVec
	anomalies      *prometheus.CounterVec
	purged         prometheus.Counter
}

// Labels of semantic_queue_reconciled_total: what happens when workers, gateways or
// publishers are gone.
const (
	foundExpired     = "expired"
	foundNoModel     = "model_not_found"
	foundEnded       = "ended"
	foundNeverStored = "never_stored"
	foundImpostor    = "impostor"
)

// Labels of semantic_queue_anomalies_total: what must not happen.
const anomalyLost = "message_lost"

// Labels of semantic_queue_parked_total.
const (
	parkedKept = "kept"
	parkedFull = "storage_full"
)

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "semantic_queue_" + name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "semantic_queue_" + name, Help: help}, labels)
	}
	m := &metrics{
		waitSeconds: prometheus.NewHistogramVec(histogram("wait_seconds",
			"Time from the storing of a job to its first claim, by the broker's clock; it grows where workers are too few.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}), []string{"model", "class"}),
		requeues: vector("requeues_total", "Jobs that a worker gave back unharmed, by its reason.", "class", "reason"),
		attempts: prometheus.NewHistogram(histogram("attempts",
			"Attempts that a job had begun by its end, observed by who ends it: 0 if none did, more than 1 if a worker died or gave it back.",
			[]float64{0, 1, 2, 3, 5, 10})),
		missed: vector("deadline_missed_total",
			"Jobs that ended because their deadline had passed, by whether they were waiting or running then.", "class", "phase"),
		submitted: vector("submitted_total", "Jobs offered to the queue, by what became of them.", "class", "outcome"),
		claims: vector("claims_total",
			"Jobs claimed, by why they were this worker's to claim: home, or home_busy, home_draining, home_gone, home_small.", "class", "from"),
		redeliveries: vector("redeliveries_total", "Claims of jobs that had been offered before.", "class"),
		doorbells:    counter("doorbells_total", "Bells heard by claimers: jobs stored, or handed back, for their models."),
		appends:      vector("appends_total", "Events accepted into a log.", "type"),
		appendSeconds: prometheus.NewHistogram(histogram("append_seconds",
			"Time of an accepted append to the event log, repeats included.", prometheus.ExponentialBuckets(0.00005, 2.5, 14))),
		fenced:         counter("fenced_appends_total", "Appends refused because another writer owns the log."),
		uncertain:      counter("uncertain_publishes_total", "Publishes whose answer was lost, settled by reading back or trying again."),
		repairs:        vector("follower_repairs_total", "Reads of a log because its live feed had a gap, was silent, or came back.", "cause"),
		junk:           counter("junk_events_total", "Entries in logs or live feeds that are no event of their job."),
		repliesRefused: counter("replies_refused_total", "Jobs whose reply_to is not under their owner's inbox."),
		reconnects:     counter("reconnects_total", "Times the broker connection was restored."),
		parked:         vector("parked_total", "Jobs given up because workers died on them, by whether there was room to keep them.", "outcome"),
		replayed:       counter("replayed_total", "Dead jobs that were submitted again."),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "semantic_queue_leader", Help: "Whether this process looks after the jobs that nobody else ends: 1 in one of all gateways.",
		}),
		reconciled: vector("reconciled_total",
			"What the leader did: expired and model_not_found are jobs that it ended, never_stored those whose gateway died before it had "+
				"stored them; ended are messages removed because their jobs had their end, impostor because another body has the id.", "kind"),
		anomalies: vector("anomalies_total",
			"Jobs found in a state that must not be, and ended: message_lost had begun, or waited, and its message is gone.", "kind"),
		purged: counter("logs_purged_total", "Logs of ended jobs that were forgotten, the retention after their end."),
	}
	m.preset()
	return m
}

// histogram has classic buckets, and a native histogram for who scrapes those.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: "semantic_queue_" + name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	}
}

// preset makes the series that are to be there before something happens, so that
// the first time counts as an increase.
func (m *metrics) preset() {
	for _, kind := range []string{foundExpired, foundNoModel, foundEnded, foundNeverStored, foundImpostor} {
		m.reconciled.WithLabelValues(kind)
	}
	m.anomalies.WithLabelValues(anomalyLost)
	for _, outcome := range []string{parkedKept, parkedFull} {
		m.parked.WithLabelValues(outcome)
	}
	for _, class := range schemas.Classes() {
		for _, from := range claimLabels() {
			m.claims.WithLabelValues(string(class), from)
		}
		m.redeliveries.WithLabelValues(string(class))
		for _, phase := range []string{phaseWaiting, phaseRunning} {
			m.missed.WithLabelValues(string(class), phase)
		}
	}
}

// own are the metrics of one process's part, whatever its role.
func (m *metrics) own() []prometheus.Collector {
	return []prometheus.Collector{
		m.attempts, m.missed, m.submitted, m.appends, m.appendSeconds, m.fenced, m.uncertain,
		m.repairs, m.junk, m.repliesRefused, m.reconnects, m.replayed,
	}
}

// claimers are the metrics of who claims: elsewhere they could not move.
func (m *metrics) claimers() []prometheus.Collector {
	return []prometheus.Collector{m.waitSeconds, m.claims, m.redeliveries, m.doorbells, m.requeues, m.parked}
}

// leaders are the metrics of what one gateway does for all.
func (m *metrics) leaders() []prometheus.Collector {
	return []prometheus.Collector{m.leader, m.reconciled, m.anomalies, m.purged}
}

// exports are the collectors that a queue has registered.
type exports struct {
	mu   sync.Mutex
	undo []func()
}

// add registers collectors. A nil Registerer takes none.
func (e *exports) add(r prometheus.Registerer, list ...prometheus.Collector) error {
	if r == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range list {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("queue: metrics: %w", err)
		}
		e.undo = append(e.undo, func() { r.Unregister(c) })
	}
	return nil
}

// takeBack makes room for those of another queue.
func (e *exports) takeBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, take := range e.undo {
		take()
	}
	e.undo = nil
}

// Labels of semantic_queue_deadline_missed_total.
const (
	phaseWaiting = "waiting"
	phaseRunning = "running"
)

// Labels where nobody knows, or it is none of ours: what strangers write makes no
// series of its own.
const (
	labelUnknown = "unknown"
	labelOther   = "other"
)

// ended counts the end of a job with so many attempts, that was running or waited.
func (m *metrics) ended(class schemas.Class, e schemas.Event, attempts int, running bool) {
	m.attempts.Observe(float64(attempts))
	if e.Type != schemas.EventExpired {
		return
	}
	phase := phaseWaiting
	if running {
		phase = phaseRunning
	}
	label := string(class)
	if label == "" {
		label = labelUnknown
	}
	m.missed.WithLabelValues(label, phase).Inc()
}

// waited observes how long a job waited for its first claim, with its trace where that
// is sampled.
func (m *metrics) waited(d *Delivery, wait time.Duration) {
	observer, seconds := m.waitSeconds.WithLabelValues(d.Model, string(d.Class)), max(wait, 0).Seconds()
	if e, ok := observer.(prometheus.ExemplarObserver); ok && d.trace.IsValid() && d.trace.IsSampled() {
		e.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": d.trace.TraceID().String()})
		return
	}
	observer.Observe(seconds)
}

// requeued counts a job that was given back.
func (m *metrics) requeued(class schemas.Class, reason string) {
	switch reason {
	case schemas.ReasonPreparing:
		return // gives nothing back
	case "shutdown", "paused", "unsupported", "context", "busy", "slow_consumer":
	default:
		reason = labelOther
	}
	m.requeues.WithLabelValues(string(class), reason).Inc()
}

// outcome is the label of a Submit that ended with err.
func outcome(t Ticket, err error) string {
	switch {
	case err == nil && t.Attached:
		return "attached"
	case err == nil:
		return "stored"
	case errors.Is(err, ErrQueueFull):
		return "queue_full"
	case errors.Is(err, ErrStorageFull):
		return "storage_full"
	case errors.Is(err, ErrConflict):
		return "conflict"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	}
	return "invalid"
}
