package supervisor

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	restarts prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semantic_worker_restarts_total",
			Help: "Starts of the supervised worker after one that died.",
		}),
	}
	if r != nil {
		r.MustRegister(m.restarts)
	}
	return m
}
