package queue

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// Labels of semantic_queue_workers.
const (
	stateReady    = "ready"
	stateDraining = "draining"
)

// workersCollector exports how many workers live.
type workersCollector struct {
	q    *Queue
	desc *prometheus.Desc
}

func newWorkersCollector(q *Queue) prometheus.Collector {
	return &workersCollector{q: q, desc: prometheus.NewDesc("semantic_queue_workers",
		"Live workers of each announced model, by whether they take jobs (ready) or finish those that they have (draining).",
		[]string{"model", "state"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *workersCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. While the broker is away the series are
// absent: nobody knows.
func (c *workersCollector) Collect(out chan<- prometheus.Metric) {
	// A scrape has no context of its own.
	ctx, cancel := context.WithTimeout(context.Background(), c.q.config.RequestTimeout)
	defer cancel()
	models, err := c.q.Models(ctx)
	if err == nil {
		err = c.q.registry.start(ctx)
	}
	if err != nil {
		c.q.log.Debug("workers not counted", slog.Any(schemas.LogError, err))
		return
	}
	type key struct{ model, state string }
	counts := make(map[key]int)
	for _, model := range models {
		counts[key{model, stateReady}], counts[key{model, stateDraining}] = 0, 0
	}
	for _, e := range c.q.registry.live() {
		state := stateReady
		if e.status.Draining {
			state = stateDraining
		}
		counts[key{e.status.Model, state}]++
	}
	for k, n := range counts {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), k.model, k.state)
	}
}
