package engine

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MemoryReporter is what a backend implements that knows how much memory its
// weights and its KV cache use, in bytes. It is asked at any time, from any
// goroutine.
type MemoryReporter interface {
	MemoryUsed() (weights, cache int64)
}

// Kinds of steps and, but for mixed, of their rows: values of the label kind.
const (
	kindDecode  = "decode"
	kindPrefill = "prefill"
	kindReplay  = "replay"
	kindMixed   = "mixed"
)

// How preempted sequences come back: values of the label by.
const (
	byState     = "state"
	byRecompute = "recompute"
)

// tierKV is the cache tier of the KV cells: the value of the label tier.
const tierKV = "kv"

// metrics are the engine's, labelled with the model's name. The loop moves them;
// what it moves at every token is looked up by label once, here.
type metrics struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector

	batchSize                              prometheus.Histogram
	stepSeconds                            map[string]prometheus.Observer
	decodeRows, prefillRows, replayRows    prometheus.Observer
	admissionWait, prefillTime, decodeTime prometheus.Histogram

	generated, prefilled, cached       prometheus.Counter
	hits, misses, evicted              prometheus.Counter
	preemptedKept, preemptedRecomputed prometheus.Counter
	slowConsumers                      prometheus.Counter
	rate                               rate
}

// newMetrics registers the metrics; without a registerer they count for nobody.
func newMetrics(registerer prometheus.Registerer, e *Engine) (*metrics, error) {
	m := &metrics{registerer: registerer, stepSeconds: make(map[string]prometheus.Observer)}
	c := collectors{model: e.info.Name}
	m.addSteps(&c)
	m.addSequences(&c)
	m.addCache(&c)
	addPool(&c, e)
	c.gauge("semantic_tokens_per_second", "Tokens sampled per second, over the last ten seconds of the clock; 0 when nothing is generated.",
		nil, func() float64 { return m.rate.value(time.Now()) })
	if reporter, ok := e.backend.(MemoryReporter); ok {
		const help = "Bytes of the model's weights and of its KV cache (kv), whose size is set at the load. " +
			"What else the process uses is in the Go and process metrics."
		c.gauge("semantic_memory_used_bytes", help, labels{"kind": "weights"},
			func() float64 { weights, _ := reporter.MemoryUsed(); return float64(weights) })
		c.gauge("semantic_memory_used_bytes", help, labels{"kind": "kv"},
			func() float64 { _, cache := reporter.MemoryUsed(); return float64(cache) })
	}
	m.collectors = c.all
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

func (m *metrics) addSteps(c *collectors) {
	m.batchSize = c.histogram("semantic_batch_size",
		"Sequences that had rows in a step of the backend; moves at every step.",
		nil, []float64{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256})
	rows := func(kind string) prometheus.Observer {
		return c.histogram("semantic_step_rows",
			"Rows of a step by what they are for, in steps that have any of the kind: decode (one for each new token), "+
				"prefill (of prompts), replay (of what was generated before).",
			labels{"kind": kind}, prometheus.ExponentialBuckets(1, 2, 12))
	}
	m.decodeRows, m.prefillRows, m.replayRows = rows(kindDecode), rows(kindPrefill), rows(kindReplay)
	for _, kind := range [...]string{kindDecode, kindPrefill, kindReplay, kindMixed} {
		m.stepSeconds[kind] = c.histogram("semantic_step_seconds",
			"Seconds that the backend took for a step, by what its rows are for; mixed is prompts beside tokens. Steps that failed are not counted.",
			labels{"kind": kind}, prometheus.ExponentialBuckets(0.001, 2, 15))
	}
}

func (m *metrics) addSequences(c *collectors) {
	m.admissionWait = c.histogram("semantic_admission_wait_seconds",
		"Seconds that a sequence waited inside the engine for its first row in a step: for a place, for KV cells, "+
			"or for another that was reading the same beginning.",
		nil, []float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300})
	m.prefillTime = c.histogram("semantic_prefill_seconds",
		"Seconds from a sequence's first row to its first new token: what of its prompt is not cached is read, "+
			"and what an earlier attempt generated.",
		nil, []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 4, 8, 16, 32, 64, 128})
	m.decodeTime = c.histogram("semantic_decode_seconds",
		"Seconds from a sequence's first new token to its end, in whatever way it ended; pauses count.",
		nil, []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640})
	m.generated = c.counter("semantic_tokens_generated_total", "Tokens sampled; those that end a sequence count.", nil)
	m.prefilled = c.counter("semantic_prefill_rows_total", "Rows of prompts that were computed, again after a preemption too.", nil)
	const preemptions = "Times that a sequence lost its place and its KV cells to others, by how it comes back: " +
		"from its state in RAM (state), or computed again (recompute)."
	m.preemptedKept = c.counter("semantic_preemptions_total", preemptions, labels{"by": byState})
	m.preemptedRecomputed = c.counter("semantic_preemptions_total", preemptions, labels{"by": byRecompute})
	m.slowConsumers = c.counter("semantic_slow_consumers_total",
		"Sequences that failed because their output was not read for too long (SlowConsumerTimeout).", nil)
}

func (m *metrics) addCache(c *collectors) {
	m.hits = c.counter("semantic_cache_hit_total",
		"Prefix lookups that found something; one for each sequence, at its first row. "+
			"Tier kv: the cells of another that runs and begins with the same tokens.",
		labels{"tier": tierKV})
	m.misses = c.counter("semantic_cache_miss_total",
		"Prefix lookups that found nothing to share; one for each sequence, at its first row, also where its prompt is too short to share.",
		labels{"tier": tierKV})
	m.evicted = c.counter("semantic_eviction_total",
		"Blocks of up to 256 tokens that a tier lost because others needed the room; what goes with its sequence's end is not counted. "+
			"Tier kv: the cells of preempted sequences that nobody else has.",
		labels{"tier": tierKV})
	m.cached = c.counter("semantic_cached_tokens_total",
		"Tokens of prompts that were shared instead of computed: what the lookups found.", nil)
}

func addPool(c *collectors, e *Engine) {
	c.gauge("semantic_pool_utilization_ratio",
		"KV cells that unfinished sequences hold, of those there are, after the last step. Cells that several of them share count once.",
		nil, func() float64 { totals := e.total(); return float64(totals.CellsUsed) / float64(totals.Cells) })
	const blocks = "Blocks of up to 256 KV cells: used have any cell in use, free is how many more would fit."
	c.gauge("semantic_pool_blocks", blocks, labels{"state": "used"}, func() float64 { return float64(e.total().BlocksUsed) })
	c.gauge("semantic_pool_blocks", blocks, labels{"state": "free"}, func() float64 { return float64(e.total().BlocksFree) })
	c.gauge("semantic_kept_state_bytes", "Bytes of RAM that the states of preempted sequences use until they have a place again.",
		nil, func() float64 { return float64(e.total().KeptBytes) })
}

// step counts a step that was made.
func (m *metrics) step(p *plan, took time.Duration) {
	m.batchSize.Observe(float64(len(p.spans)))
	m.prefilled.Add(float64(p.kinds.prefill))
	observeRows(m.decodeRows, p.kinds.decode)
	observeRows(m.prefillRows, p.kinds.prefill)
	observeRows(m.replayRows, p.kinds.replay)
	m.stepSeconds[p.kinds.kind()].Observe(took.Seconds())
}

func observeRows(o prometheus.Observer, n int) {
	if n > 0 {
		o.Observe(float64(n))
	}
}

// kind is what a step is for.
func (k stepRows) kind() string {
	switch {
	case k.replay > 0:
		return kindReplay
	case k.prefill > 0 && k.decode > 0:
		return kindMixed
	case k.prefill > 0:
		return kindPrefill
	}
	return kindDecode
}

// began counts a sequence that has its first rows.
func (m *metrics) began(s *Sequence) {
	s.observe(m.admissionWait, s.times.FirstRow.Sub(s.times.Submitted))
	if s.times.Cached == 0 {
		m.misses.Inc()
		return
	}
	m.hits.Inc()
	m.cached.Add(float64(s.times.Cached))
}

// ended counts a sequence that is over.
func (m *metrics) ended(s *Sequence, now time.Time) {
	if !s.times.FirstToken.IsZero() {
		s.observe(m.decodeTime, now.Sub(s.times.FirstToken))
	}
}

// preempted counts a sequence that lost its cells, so many blocks of which
// nobody else has.
func (m *metrics) preempted(kept bool, blocks int) {
	if kept {
		m.preemptedKept.Inc()
	} else {
		m.preemptedRecomputed.Inc()
	}
	m.evicted.Add(float64(blocks))
}

func (m *metrics) tokens(now time.Time, n int) {
	m.generated.Add(float64(n))
	m.rate.add(now, n)
}

func (e *Engine) total() Snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.totals
}

// observe adds a time of the sequence to a histogram, with the trace as an
// exemplar if that is sampled.
func (s *Sequence) observe(o prometheus.Observer, d time.Duration) {
	if exemplars, ok := o.(prometheus.ExemplarObserver); ok && s.exemplar != nil {
		exemplars.ObserveWithExemplar(d.Seconds(), s.exemplar)
		return
	}
	o.Observe(d.Seconds())
}

// latency counts the time between two tokens. Only one that is the longest so far
// has the trace with it, so that there is nothing to allocate for the others.
func (s *Sequence) latency(gap time.Duration) {
	switch o := s.request.InterToken; {
	case o == nil:
	case gap > s.longest:
		s.longest = gap
		s.observe(o, gap)
	default:
		o.Observe(gap.Seconds())
	}
}
