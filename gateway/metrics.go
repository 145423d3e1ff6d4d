package gateway

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's own. What a request meets elsewhere is measured
// where it happens: queue depth by queue, batches and tokens by engine.
type metrics struct {
	// requests counts ended requests. A stream that failed after its status
	// was sent counts under the status that its error stands for, or every
	// failed stream would look like a success.
	requests *prometheus.CounterVec
	// duration is from a request's arrival to the end of its response, in
	// seconds.
	duration *prometheus.HistogramVec
	// ttft is from the arrival of a request to the first generated text, in
	// seconds, streamed or not.
	ttft *prometheus.HistogramVec
	// active is how many API requests are open.
	active prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "semantic_request_total",
			Help: "Ended HTTP requests by route and status; a failed stream counts under its error's status.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "semantic_request_duration_seconds",
			Help:    "Time from a request's arrival to the end of its response.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800},
		}, []string{"route"}),
		ttft: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "semantic_time_to_first_token_seconds",
			Help:    "Time from a request's arrival at the gateway to its first generated text.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 30, 60, 120, 300, 600},
		}, []string{"model"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "semantic_requests_active",
			Help: "API requests that are open now.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.ttft, m.active} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the gateway's metrics: %w", err)
	}
	return m, nil
}
