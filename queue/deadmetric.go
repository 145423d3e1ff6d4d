package queue

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// deadCollector exports how many dead jobs there are, read when it is scraped.
type deadCollector struct {
	q    *Queue
	desc *prometheus.Desc
}

func newDeadCollector(q *Queue) prometheus.Collector {
	return &deadCollector{q: q, desc: prometheus.NewDesc("semantic_queue_dead", "Dead jobs that wait for somebody to look at them.", nil, nil)}
}

// Describe implements prometheus.Collector.
func (c *deadCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. While the broker is away the series is
// absent.
func (c *deadCollector) Collect(out chan<- prometheus.Metric) {
	// A scrape has no context of its own.
	ctx, cancel := context.WithTimeout(context.Background(), c.q.config.RequestTimeout)
	defer cancel()
	var n uint64
	err := c.q.once(ctx, func(ctx context.Context) error {
		info, err := c.q.streamState(ctx, streamDead, "")
		if err == nil {
			n = info.State.Msgs
		}
		return err
	})
	if err != nil {
		c.q.log.Debug("dead jobs not counted", slog.Any(schemas.LogError, err))
		return
	}
	out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n))
}
