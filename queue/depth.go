package queue

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

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
		if d.Model != "" { // whoever stored those meant no model of ours
			list = append(list, *d)
		}
	}
	order := schemas.Classes()
	slices.SortFunc(list, func(a, b Depth) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(slices.Index(order, a.Class), slices.Index(order, b.Class)))
	})
	return list, nil
}

// laneKey is one flow of a model's jobs, in a class. The model is "" where the
// token is no slug.
type laneKey struct {
	model string
	flow  int
}

// laneClaims are what a consumer says of its lane's jobs.
type laneClaims struct {
	claimed int64
	// delivered is the sequence of the last job that was ever offered; up to acked all
	// are gone.
	delivered, acked uint64
}

// claimsOf reads the consumers of a class, a few hundred with one request.
func (q *Queue) claimsOf(ctx context.Context, class schemas.Class) (map[laneKey]laneClaims, error) {
	stream, err := q.stream(ctx, jobsStream(class))
	if err != nil {
		return nil, err
	}
	claims := make(map[laneKey]laneClaims)
	consumers := stream.ListConsumers(ctx)
	for info := range consumers.Info() {
		if address, err := parseJobSubject(info.Config.FilterSubject); err == nil {
			claims[laneKey{address.Model, address.Flow}] = laneClaims{
				claimed: int64(info.NumAckPending), delivered: info.Delivered.Stream, acked: info.AckFloor.Stream,
			}
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, fmt.Errorf("queue: consumers of %s: %w", class, err)
	}
	return claims, nil
}

// countClass adds the stored jobs of a class and moves the claimed ones from
// Queued to Running. Jobs under a token that is no slug are those of the model "".
func (q *Queue) countClass(ctx context.Context, class schemas.Class, at func(string, schemas.Class) *Depth) error {
	claims, err := q.claimsOf(ctx, class)
	if err != nil {
		return err
	}
	info, err := q.streamState(ctx, jobsStream(class), classFilter(class))
	if err != nil {
		return err
	}
	for subject, n := range info.State.Subjects {
		address, _ := parseJobSubject(subject) // the zero address where it is none
		at(address.Model, class).Queued += int64(n)
	}
	claimed := make(map[string]int64)
	for lane, c := range claims {
		claimed[lane.model] += c.claimed
	}
	for model, n := range claimed {
		d := at(model, class)
		d.Running = min(n, d.Queued) // the two were not read at one instant
		d.Queued -= d.Running
	}
	return nil
}

// Labels of the state.
const (
	stateQueued  = "queued"
	stateRunning = "running"
)

// depthCollector exports how many jobs there are, read when it is scraped.
type depthCollector struct {
	q    *Queue
	desc *prometheus.Desc
	// mu lets one scrape at a time ask.
	mu sync.Mutex
}

func newDepthCollector(q *Queue) prometheus.Collector {
	return &depthCollector{q: q, desc: prometheus.NewDesc("semantic_request_queue_depth",
		"Jobs stored, by model, class and state: queued, or running, which is claimed. Their sum is what the streams hold. "+
			"A model that nobody announced is unknown.", []string{"model", "class", "state"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *depthCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. While the broker is away there is
// no depth to export: the series is absent, not zero.
func (c *depthCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// A scrape has no context of its own.
	ctx, cancel := context.WithTimeout(context.Background(), c.q.config.RequestTimeout)
	defer cancel()
	depths, err := c.q.labelledDepth(ctx)
	if err != nil {
		c.q.log.Debug("queue depth not read", slog.Any(schemas.LogError, err))
		return
	}
	for key, d := range depths {
		model, class := key.model, string(key.class)
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(d.Queued), model, class, stateQueued)
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(d.Running), model, class, stateRunning)
	}
}

// labelledDepth is Depth with all jobs in it: those of models that nobody announced,
// whose names strangers may choose, and those under a subject that is none are of
// labelUnknown.
func (q *Queue) labelledDepth(ctx context.Context) (map[depthKey]Depth, error) {
	known, err := q.Models(ctx)
	if err != nil {
		return nil, err
	}
	if expected := q.expected.Load(); expected != nil {
		known = append(known, *expected...)
	}
	counts := make(map[depthKey]*Depth)
	for _, class := range schemas.Classes() {
		for _, model := range known {
			counts[depthKey{model, class}] = new(Depth)
		}
		err := q.once(ctx, func(ctx context.Context) error {
			return q.countClass(ctx, class, func(model string, class schemas.Class) *Depth {
				key := depthKey{model, class}
				if counts[key] == nil {
					counts[key] = new(Depth)
				}
				return counts[key]
			})
		})
		if err != nil {
			return nil, err
		}
	}
	labelled := make(map[depthKey]Depth)
	for key, d := range counts {
		if !slices.Contains(known, key.model) {
			key.model = labelUnknown
		}
		sum := labelled[key]
		sum.Queued, sum.Running = sum.Queued+d.Queued, sum.Running+d.Running
		labelled[key] = sum
	}
	return labelled, nil
}
