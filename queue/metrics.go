package queue

import (
	"errors"
	"fmt"

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
		submitted:    vector("submitted_total", "Jobs offered to the queue, by what became of them.", "class", "outcome"),
		claims:       vector("claims_total", "Jobs claimed, by why they were this worker's to claim.", "class", "from"),
		redeliveries: vector("redeliveries_total", "Claims of jobs that had been offered before.", "class"),
		doorbells:    counter("doorbells_total", "Bells heard by claimers."),
		appends:      vector("appends_total", "Events accepted into a log.", "type"),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "semantic_queue_append_seconds", Help: "Time of an accepted append, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2.5, 14),
		}),
		fenced:         counter("fenced_appends_total", "Appends refused because another writer owns the log."),
		uncertain:      counter("uncertain_publishes_total", "Publishes whose answer was lost, settled by reading back or trying again."),
		repairs:        vector("follower_repairs_total", "Reads of a log to repair a live feed.", "cause"),
		junk:           counter("junk_events_total", "Entries in logs or live feeds that are no event of their job."),
		repliesRefused: counter("replies_refused_total", "Jobs whose reply_to is not under their owner's inbox."),
		reconnects:     counter("reconnects_total", "Times the broker connection was restored."),
		parked:         vector("parked_total", "Jobs given up because workers died on them, by whether there was room to keep them.", "outcome"),
		replayed:       counter("replayed_total", "Dead jobs that were submitted again."),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "semantic_queue_leader", Help: "Whether this process looks after the jobs that nobody else ends: 1 in one of all gateways.",
		}),
		reconciled: vector("reconciled_total", "Jobs that the leader ended, or whose messages it removed, by why.", "kind"),
		anomalies:  vector("anomalies_total", "Jobs found in a state that must not be, and ended.", "kind"),
		purged:     counter("logs_purged_total", "Logs of ended jobs that were forgotten."),
	}
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
	}
	return m
}

// register exports the metrics and returns how to take them back.
func (m *metrics) register(r prometheus.Registerer, more ...prometheus.Collector) (func(), error) {
	all := append([]prometheus.Collector{
		m.submitted, m.claims, m.redeliveries, m.doorbells, m.appends, m.appendSeconds, m.fenced, m.uncertain,
		m.repairs, m.junk, m.repliesRefused, m.reconnects, m.parked, m.replayed,
		m.leader, m.reconciled, m.anomalies, m.purged,
	}, more...)
	unregister := func(n int) func() {
		return func() {
			for _, c := range all[:n] {
				r.Unregister(c)
			}
		}
	}
	for i, c := range all {
		if err := r.Register(c); err != nil {
			unregister(i)()
			return nil, fmt.Errorf("queue: metrics: %w", err)
		}
	}
	return unregister(len(all)), nil
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
