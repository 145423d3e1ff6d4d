package worker

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

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

var outcomes = [...]outcome{
	outcomeDone, outcomeFailed, outcomeCancelled, outcomeExpired, outcomeHandedBack, outcomeEnded, outcomeFenced, outcomeAbandoned,
}

// metrics are the worker's, labelled with the model's name.
type metrics struct {
	jobs         *prometheus.CounterVec
	resumed      *prometheus.CounterVec
	resumeFailed *prometheus.CounterVec
	adopted      *prometheus.CounterVec
	isolated     *prometheus.CounterVec
	resumeGap    prometheus.Histogram
	firstToken   *prometheus.HistogramVec
	interToken   *prometheus.HistogramVec
	collectors   []prometheus.Collector
	registerer   prometheus.Registerer
}

// newMetrics registers the worker's metrics. agents is asked at collect time.
func newMetrics(r prometheus.Registerer, model string, agents func() float64) (*metrics, error) {
	labels := prometheus.Labels{"model": model}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, by)
	}
	// histogram has the buckets, and a native histogram beside them.
	histogram := func(name, help string, buckets ...float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{
			Name: name, Help: help, ConstLabels: labels, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}
	}
	m := &metrics{
		jobs: counter("semantic_worker_jobs_total", "Claims by how they ended: done, failed, cancelled and expired are ends of the job; "+
			"handed_back goes on elsewhere; ended_before and fenced were no longer this worker's; abandoned is offered again by the broker.",
			"class", "outcome"),
		resumed: counter("semantic_worker_resumed_total", "Streams that this worker continued from the log of an earlier attempt.", "class"),
		resumeFailed: counter("semantic_worker_resume_failed_total",
			"Claims of jobs that an earlier attempt had begun and that did not go on here: fingerprint, prompt and context "+
				"wait for another worker, each counted once; contradiction, deadline and given_up ended the job.",
			"class", "reason"),
		adopted:  counter("semantic_worker_adopted_total", "Running jobs that were offered again and kept running.", "class"),
		isolated: counter("semantic_worker_isolated_total", "Jobs that ran alone because a worker may have died on them.", "class"),
		resumeGap: prometheus.NewHistogram(histogram("semantic_worker_resume_gap_seconds",
			"Seconds that a resumed stream stood still: from the last event of the attempt before, by the server's clock, "+
				"to the next token in the log.",
			.1, .25, .5, 1, 2, 3, 5, 6, 7, 8, 10, 15, 20, 30, 60, 120, 300, 600)),
		firstToken: prometheus.NewHistogramVec(histogram("semantic_worker_first_token_seconds",
			"Seconds from the storing of the job to its first token in the log. Resumed streams are not counted.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600), []string{"class"}),
		interToken: prometheus.NewHistogramVec(histogram("semantic_inter_token_latency_seconds",
			"Seconds between two tokens of a choice, as the engine chose them; moves at every token but the first. "+
				"The time counts for which it was preempted, not read, or kept out by one that ran alone.",
			.002, .004, .006, .008, .012, .016, .024, .032, .048, .064, .1, .15, .25, .5, .75, 1, 2, 5, 10, 30), []string{"class"}),
		registerer: r,
	}
	for _, class := range schemas.Classes() {
		for _, vec := range [...]*prometheus.CounterVec{m.resumed, m.adopted, m.isolated} {
			vec.WithLabelValues(string(class))
		}
		for _, o := range outcomes {
			m.jobs.WithLabelValues(string(class), string(o))
		}
		for _, reason := range resumeReasons {
			m.resumeFailed.WithLabelValues(string(class), reason)
		}
	}
	m.collectors = []prometheus.Collector{
		m.jobs, m.resumed, m.resumeFailed, m.adopted, m.isolated, m.resumeGap, m.firstToken, m.interToken,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "semantic_agents_active",
			Help:        "Distinct agents (owner and agent, or owner and flow where the job names none) with a job on this worker now.",
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

// observe adds a time to a histogram, with the trace as an exemplar if that is
// sampled.
func observe(o prometheus.Observer, d time.Duration, span trace.SpanContext) {
	seconds := max(d, 0).Seconds()
	if exemplars, ok := o.(prometheus.ExemplarObserver); ok && span.IsSampled() {
		exemplars.ObserveWithExemplar(seconds, prometheus.Labels{"trace_id": span.TraceID().String()})
		return
	}
	o.Observe(seconds)
}
