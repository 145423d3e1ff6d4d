package worker

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// The outcomes of a claim: label values of semantic_worker_jobs_total.
type outcome string

const (
	// outcomeDone, Failed, Cancelled and Expired: the event of that name was
	// appended and the job acknowledged.
	outcomeDone      outcome = "done"
	outcomeFailed    outcome = "failed"
	outcomeCancelled outcome = "cancelled"
	outcomeExpired   outcome = "expired"
	// outcomeHandedBack: given to another worker, unharmed.
	outcomeHandedBack outcome = "handed_back"
	// outcomeEnded: the job had ended before; only acknowledged.
	outcomeEnded outcome = "ended_before"
	// outcomeFenced: another writer has the job.
	outcomeFenced outcome = "fenced"
	// outcomeAbandoned: left to the redelivery after AckWait, because the broker
	// was away when the worker stopped, or the engine failed under the job.
	outcomeAbandoned outcome = "abandoned"
)

// metrics are documented in docs/metrics.md under these names.
type metrics struct {
	jobs       *prometheus.CounterVec
	resumed    *prometheus.CounterVec
	adopted    *prometheus.CounterVec
	isolated   *prometheus.CounterVec
	firstToken *prometheus.HistogramVec
	collectors []prometheus.Collector
	registerer prometheus.Registerer
}

// newMetrics registers the worker's metrics. agents is asked at collect time.
func newMetrics(r prometheus.Registerer, model string, agents func() float64) (*metrics, error) {
	labels := prometheus.Labels{"model": model}
	m := &metrics{
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "semantic_worker_jobs_total",
			Help:        "Claimed jobs by how the claim ended.",
			ConstLabels: labels,
		}, []string{"class", "outcome"}),
		resumed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "semantic_worker_resumed_total",
			Help:        "Streams continued from the log of an earlier attempt.",
			ConstLabels: labels,
		}, []string{"class"}),
		adopted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "semantic_worker_adopted_total",
			Help:        "Running jobs that were offered again and kept running.",
			ConstLabels: labels,
		}, []string{"class"}),
		isolated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name:        "semantic_worker_isolated_total",
			Help:        "Jobs that ran alone because a worker may have died on them.",
			ConstLabels: labels,
		}, []string{"class"}),
		firstToken: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:        "semantic_worker_first_token_seconds",
			Help:        "From the storing of the job to its first token in the log. Resumed streams are not counted.",
			ConstLabels: labels,
			Buckets:     []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600},
		}, []string{"class"}),
		registerer: r,
	}
	m.collectors = []prometheus.Collector{
		m.jobs, m.resumed, m.adopted, m.isolated, m.firstToken,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "semantic_agents_active",
			Help:        "Distinct agents (owner and agent, or owner and flow where the job names none) with a job on this worker.",
			ConstLabels: labels,
		}, agents),
	}
	if r == nil {
		return m, nil
	}
	for i, c := range m.collectors {
		if err := r.Register(c); err != nil {
			for _, registered := range m.collectors[:i] {
				r.Unregister(registered)
			}
			return nil, fmt.Errorf("worker: register metrics: %w", err)
		}
	}
	return m, nil
}

// unregister makes room for the metrics of another worker in the same process.
func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) ended(class schemas.Class, o outcome) {
	m.jobs.WithLabelValues(string(class), string(o)).Inc()
}

func (m *metrics) observeFirstToken(class schemas.Class, since time.Duration) {
	m.firstToken.WithLabelValues(string(class)).Observe(max(since, 0).Seconds())
}
