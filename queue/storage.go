package queue

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// boundedStreams are the streams that fill up.
func boundedStreams() []string {
	var list []string
	for _, class := range schemas.Classes() {
		list = append(list, jobsStream(class))
	}
	return append(list, streamEvents, streamDead, objectStream(storeInputs), objectStream(storeDead))
}

// storageAlarm warns of streams that are nearly full, once each time.
type storageAlarm struct {
	due  time.Time
	high map[string]bool
}

// alarmEvery is how often it looks.
const alarmEvery = 10 * time.Second

// alarmRest is by how much a stream must have emptied, as a part of its limit, for
// the next warning.
const alarmRest = 0.05

// watchStorage warns at the mark from which Submit refuses jobs.
func (r *reconciler) watchStorage(ctx context.Context) error {
	if time.Now().Before(r.alarm.due) {
		return nil
	}
	r.alarm.due = time.Now().Add(min(alarmEvery, 10*r.q.config.ReconcileInterval))
	if r.alarm.high == nil {
		r.alarm.high = make(map[string]bool)
	}
	for _, name := range boundedStreams() {
		info, _, err := r.q.look(ctx, name)
		if err != nil {
			return err
		}
		limit := info.Config.MaxBytes
		if limit <= 0 {
			continue
		}
		mark, used := r.q.config.StorageHighWater, float64(info.State.Bytes)/float64(limit)
		switch {
		case used >= mark && !r.alarm.high[name]:
			r.alarm.high[name] = true
			r.q.log.WarnContext(ctx, "a stream of the queue is nearly full", slog.String(schemas.LogStream, name),
				slog.Uint64(schemas.LogBytes, info.State.Bytes), slog.Int64(schemas.LogLimit, limit), slog.Float64(schemas.LogMark, mark))
		case used < mark-alarmRest && r.alarm.high[name]:
			delete(r.alarm.high, name)
			r.q.log.InfoContext(ctx, "a stream of the queue has room again", slog.String(schemas.LogStream, name),
				slog.Uint64(schemas.LogBytes, info.State.Bytes), slog.Int64(schemas.LogLimit, limit))
		}
	}
	return nil
}

// storageCollector exports how full the streams are, read when it is scraped.
type storageCollector struct {
	q           *Queue
	used, limit *prometheus.Desc
}

func newStorageCollector(q *Queue) prometheus.Collector {
	label := []string{"stream"}
	return &storageCollector{
		q:     q,
		used:  prometheus.NewDesc("semantic_queue_storage_bytes", "Bytes that a stream of the queue holds.", label, nil),
		limit: prometheus.NewDesc("semantic_queue_storage_limit_bytes", "Bytes that a stream of the queue may hold.", label, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *storageCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.used
	out <- c.limit
}

// Collect implements prometheus.Collector. While the broker is away the series are
// absent.
func (c *storageCollector) Collect(out chan<- prometheus.Metric) {
	// A scrape has no context of its own.
	ctx, cancel := context.WithTimeout(context.Background(), c.q.config.RequestTimeout)
	defer cancel()
	for _, name := range boundedStreams() {
		info, _, err := c.q.look(ctx, name)
		if err != nil {
			c.q.log.Debug("storage not read", slog.String(schemas.LogStream, name), slog.Any(schemas.LogError, err))
			return
		}
		out <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(info.State.Bytes), name)
		if limit := info.Config.MaxBytes; limit > 0 {
			out <- prometheus.MustNewConstMetric(c.limit, prometheus.GaugeValue, float64(limit), name)
		}
	}
}
