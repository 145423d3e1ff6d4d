package engine

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MemoryReporter is what a backend implements that knows how much memory its
// weights and its KV cache use, in bytes. It is asked at any time, from any
// goroutine.
type MemoryReporter interface {
	MemoryUsed() (weights, cache int64)
}

// metrics are the engine's, labelled with the model's name.
type metrics struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector

	batchSize prometheus.Histogram
	generated prometheus.Counter
	rate      rate
}

// newMetrics registers the metrics; without a registerer they count for nobody.
func newMetrics(registerer prometheus.Registerer, e *Engine) (*metrics, error) {
	labels := prometheus.Labels{"model": e.info.Name}
	m := &metrics{
		registerer: registerer,
		batchSize: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "semantic_batch_size", Help: "Sequences that had rows in a step.",
			ConstLabels: labels, Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256},
		}),
		generated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semantic_tokens_generated_total", Help: "Tokens sampled.", ConstLabels: labels,
		}),
	}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	m.collectors = []prometheus.Collector{
		m.batchSize, m.generated,
		gauge("semantic_tokens_per_second", "Tokens sampled per second, over the last ten seconds.", labels,
			func() float64 { return m.rate.value(time.Now()) }),
		gauge("semantic_pool_utilization_ratio", "KV cells in use, of those there are.", labels, e.utilization),
	}
	if reporter, ok := e.backend.(MemoryReporter); ok {
		part := func(kind string, pick func(weights, cache int64) int64) prometheus.Collector {
			return gauge("semantic_memory_used_bytes", "Memory of the model's weights and of its KV cache.",
				prometheus.Labels{"model": e.info.Name, "kind": kind},
				func() float64 { return float64(pick(reporter.MemoryUsed())) })
		}
		m.collectors = append(m.collectors,
			part("weights", func(weights, _ int64) int64 { return weights }),
			part("kv", func(_, cache int64) int64 { return cache }))
	}
	if registerer == nil {
		return m, nil
	}
	for i, collector := range m.collectors {
		if err := registerer.Register(collector); err != nil {
			m.collectors = m.collectors[:i]
			m.unregister()
			return nil, fmt.Errorf("engine: metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, collector := range m.collectors {
		m.registerer.Unregister(collector)
	}
}

func (m *metrics) batch(sequences int) { m.batchSize.Observe(float64(sequences)) }

func (m *metrics) tokens(now time.Time, n int) {
	m.generated.Add(float64(n))
	m.rate.add(now, n)
}

func (e *Engine) utilization() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return float64(e.totals.CellsUsed) / float64(e.totals.Cells)
}

// rateSeconds is over how many seconds a rate is taken.
const rateSeconds = 10

// rate counts per second of the clock, for the last few.
type rate struct {
	mu     sync.Mutex
	second int64
	counts [rateSeconds]int
}

func (r *rate) add(now time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	r.counts[r.second%rateSeconds] += n
}

func (r *rate) value(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	sum := 0
	for _, n := range r.counts {
		sum += n
	}
	return float64(sum) / rateSeconds
}

func (r *rate) advance(now time.Time) {
	second := now.Unix()
	for r.second = max(r.second, second-rateSeconds); r.second < second; {
		r.second++
		r.counts[r.second%rateSeconds] = 0
	}
}
