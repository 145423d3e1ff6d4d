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

	batchSize   prometheus.Histogram
	stepSeconds *prometheus.HistogramVec
	generated   prometheus.Counter
	prefilled   prometheus.Counter
	cached      prometheus.Counter
	preemptions *prometheus.CounterVec
	rate        rate
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
		stepSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "semantic_step_seconds", Help: "Time of a step, by what its rows are for.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"kind"}),
		preemptions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "semantic_preemptions_total", Help: "Sequences that lost their KV cells to others, by how they come back.",
			ConstLabels: labels,
		}, []string{"by"}),
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	m.generated = counter("semantic_tokens_generated_total", "Tokens sampled.")
	m.prefilled = counter("semantic_prefill_rows_total", "Rows of prompts that were computed.")
	m.cached = counter("semantic_cached_tokens_total", "Tokens of prompts that were shared instead of computed.")
	for _, by := range [...]string{byState, byRecompute} {
		m.preemptions.WithLabelValues(by)
	}
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	m.collectors = []prometheus.Collector{
		m.batchSize, m.stepSeconds, m.generated, m.prefilled, m.cached, m.preemptions,
		gauge("semantic_tokens_per_second", "Tokens sampled per second, over the last ten seconds.", labels,
			func() float64 { return m.rate.value(time.Now()) }),
		gauge("semantic_pool_utilization_ratio", "KV cells in use, of those there are.", labels, e.utilization),
		gauge("semantic_kept_state_bytes", "RAM that the states of preempted sequences use.", labels,
			func() float64 { return float64(e.total().KeptBytes) }),
	}
	blocks := func(state string, pick func(Snapshot) int) prometheus.Collector {
		return gauge("semantic_pool_blocks", "Blocks of 256 KV cells, by whether any cell of them is in use.",
			prometheus.Labels{"model": e.info.Name, "state": state}, func() float64 { return float64(pick(e.total())) })
	}
	m.collectors = append(m.collectors,
		blocks("used", func(s Snapshot) int { return s.BlocksUsed }),
		blocks("free", func(s Snapshot) int { return s.BlocksFree }))
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

// How preempted sequences come back.
const (
	byState     = "state"
	byRecompute = "recompute"
)

// step counts a step that was made.
func (m *metrics) step(p *plan, took time.Duration) {
	m.batchSize.Observe(float64(len(p.spans)))
	m.prefilled.Add(float64(p.kinds.prefill))
	kind := "decode"
	switch k := p.kinds; {
	case k.replay > 0:
		kind = "replay"
	case k.prefill > 0 && k.decode > 0:
		kind = "mixed"
	case k.prefill > 0:
		kind = "prefill"
	}
	m.stepSeconds.WithLabelValues(kind).Observe(took.Seconds())
}

// began counts a sequence that has its first rows.
func (m *metrics) began(s *Sequence) { m.cached.Add(float64(s.times.Cached)) }

func (m *metrics) preempted(kept bool) {
	by := byRecompute
	if kept {
		by = byState
	}
	m.preemptions.WithLabelValues(by).Inc()
}

func (m *metrics) tokens(now time.Time, n int) {
	m.generated.Add(float64(n))
	m.rate.add(now, n)
}

func (e *Engine) utilization() float64 {
	totals := e.total()
	return float64(totals.CellsUsed) / float64(totals.Cells)
}

func (e *Engine) total() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.totals
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
