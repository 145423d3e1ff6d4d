package queue

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// agesEvery is how often the leader looks at how old the stored jobs are. What it
// costs is one request for each class and a walk over the index, in memory.
const agesEvery = 5 * time.Second

// ages are the times of the stored jobs as the leader saw them last. They do not
// change; age is told from them when they are read.
type ages struct {
	clock brokerClock
	rows  map[depthKey]*ageRow
}

// ageRow are those of one model, labelUnknown for all that nobody knows, and class.
// Times are the broker's, zero where there is no such job.
type ageRow struct {
	waiting, running time.Time // of the oldest
	due              time.Time // of what waits and has the least time left
}

// earlier keeps the earlier one of a time and another that is set.
func earlier(t *time.Time, other time.Time) {
	if t.IsZero() || other.Before(*t) {
		*t = other
	}
}

// watchAges looks at the stored jobs that the index knows, if somebody reads what
// comes of it.
func (r *reconciler) watchAges(ctx context.Context) error {
	if !r.q.overview || !r.knowsStored() || time.Now().Before(r.agesDue) {
		return nil
	}
	r.agesDue = time.Now().Add(min(agesEvery, 5*r.q.config.ReconcileInterval))
	seen := &ages{rows: make(map[depthKey]*ageRow)}
	at := func(model string, class schemas.Class) *ageRow {
		key := depthKey{model, class}
		if seen.rows[key] == nil {
			seen.rows[key] = new(ageRow)
		}
		return seen.rows[key]
	}
	for _, c := range r.classes {
		var claims map[laneKey]laneClaims
		err := r.q.once(ctx, func(ctx context.Context) (err error) {
			claims, err = r.q.claimsOf(ctx, c.class)
			return err
		})
		if err != nil {
			return err
		}
		seen.clock = c.clock
		for _, model := range r.known {
			at(model, c.class)
		}
		for _, job := range c.jobs {
			label := labelUnknown
			if r.knows(job.model) {
				label = job.model
			}
			at(label, c.class).take(job, claims[laneKey{job.model, job.flow}])
		}
	}
	r.q.ages.Store(seen)
	return nil
}

// take enters a job that the index has; it may be there no more.
func (row *ageRow) take(job *storedJob, lane laneClaims) {
	switch {
	case job.sequence > lane.delivered:
		earlier(&row.waiting, job.storedAt)
		earlier(&row.due, job.storedAt.Add(job.deadline))
	case job.sequence > lane.acked:
		earlier(&row.running, job.storedAt)
	}
}

// ageCollector exports what the leader, in this process, saw last.
type ageCollector struct {
	q            *Queue
	oldest, left *prometheus.Desc
}

func newAgeCollector(q *Queue) prometheus.Collector {
	return &ageCollector{
		q: q,
		oldest: prometheus.NewDesc("semantic_queue_oldest_seconds",
			"Age of the oldest stored job, by model, class and state (queued or running); 0 if there is none. Exported by the leader, "+
				"which looks every 5 s at jobs older than 1 s, and may take half a minute to miss one that was cancelled.",
			[]string{"model", "class", "state"}, nil),
		left: prometheus.NewDesc("semantic_queue_least_time_left_seconds",
			"Time until the first deadline of the jobs that wait, below 0 once it has passed; absent where none waits. Exported by the leader.",
			[]string{"model", "class"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *ageCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.oldest
	out <- c.left
}

// Collect implements prometheus.Collector. Without a broker, or where another
// process leads, the series are absent.
func (c *ageCollector) Collect(out chan<- prometheus.Metric) {
	seen := c.q.ages.Load()
	if seen == nil || c.q.link.health() != nil {
		return
	}
	now := seen.clock.now()
	age := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return max(now.Sub(at), 0).Seconds()
	}
	for key, row := range seen.rows {
		model, class := key.model, string(key.class)
		out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age(row.waiting), model, class, stateQueued)
		out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age(row.running), model, class, stateRunning)
		if !row.due.IsZero() {
			out <- prometheus.MustNewConstMetric(c.left, prometheus.GaugeValue, row.due.Sub(now).Seconds(), model, class)
		}
	}
}
