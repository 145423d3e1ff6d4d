package queue

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// Depth is how many jobs of a model and class are stored.
type Depth struct {
	Model string
	Class schemas.Class
	// Queued wait, Running are claimed. Their sum is the stream's own count.
	Queued, Running int64
}

type depthKey struct {
	model string
	class schemas.Class
}

// Depth counts the stored jobs of each model and class, by model and then by
// urgency; every announced model is there, with zeros if it has none. A job
// that was handed back counts as running until it is claimed again.
// ErrUnavailable if the broker does not answer.
func (q *Queue) Depth(ctx context.Context) ([]Depth, error) {
	models, err := q.Models(ctx)
	if err != nil {
		return nil, err
	}
	counts := make(map[depthKey]*Depth)
	at := func(model string, class schemas.Class) *Depth {
		key := depthKey{model, class}
		if counts[key] == nil {
			counts[key] = &Depth{Model: model, Class: class}
		}
		return counts[key]
	}
	for _, class := range schemas.Classes() {
		for _, model := range models {
			at(model, class)
		}
		err := q.once(ctx, func(ctx context.Context) error { return q.countClass(ctx, class, at) })
		if err != nil {
			return nil, err
		}
	}
	list := make([]Depth, 0, len(counts))
	for _, d := range counts {
		list = append(list, *d)
	}
	order := schemas.Classes()
	slices.SortFunc(list, func(a, b Depth) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(slices.Index(order, a.Class), slices.Index(order, b.Class)))
	})
	return list, nil
}

// countClass adds the stored jobs of a class and moves the claimed ones from
// Queued to Running.
func (q *Queue) countClass(ctx context.Context, class schemas.Class, at func(string, schemas.Class) *Depth) error {
	claimed := make(map[string]int64)
	stream, err := q.stream(ctx, jobsStream(class))
	if err != nil {
		return err
	}
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if address, err := parseJobSubject(info.Config.FilterSubject); err == nil {
			claimed[address.Model] += int64(info.NumAckPending)
		}
	}
	if err := consumers.Err(); err != nil {
		return fmt.Errorf("queue: consumers of %s: %w", class, err)
	}
	info, err := q.streamState(ctx, jobsStream(class), classFilter(class))
	if err != nil {
		return err
	}
	for subject, n := range info.State.Subjects {
		if address, err := parseJobSubject(subject); err == nil {
			at(address.Model, class).Queued += int64(n)
		}
	}
	for model, n := range claimed {
		d := at(model, class)
		d.Running = min(n, d.Queued) // the two were not read at one instant
		d.Queued -= d.Running
	}
	return nil
}

// depthCollector exports Depth, read when it is scraped.
type depthCollector struct {
	q    *Queue
	desc *prometheus.Desc
}

func newDepthCollector(q *Queue) prometheus.Collector {
	return &depthCollector{q: q, desc: prometheus.NewDesc("semantic_request_queue_depth",
		"Jobs stored, by model, class and state (queued or running).", []string{"model", "class", "state"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *depthCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. While the broker is away there is
// no depth to export: the series is absent, not zero.
func (c *depthCollector) Collect(out chan<- prometheus.Metric) {
	// A scrape has no context of its own.
	ctx, cancel := context.WithTimeout(context.Background(), c.q.config.RequestTimeout)
	defer cancel()
	depths, err := c.q.Depth(ctx)
	if err != nil {
		c.q.log.Debug("queue depth not read", slog.Any(schemas.LogError, err))
		return
	}
	for _, d := range depths {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(d.Queued), d.Model, string(d.Class), "queued")
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(d.Running), d.Model, string(d.Class), "running")
	}
}
