package engine_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/sim"
)

// measured is an engine whose metrics a test reads.
type measured struct {
	*engine.Engine
	t        *testing.T
	registry *prometheus.Registry
}

func measure(t *testing.T, opts sim.Options, config engine.Config) measured {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	e, err := engine.New(engine.Options{Backend: simulate(t, opts), Registerer: registry, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return measured{e, t, registry}
}

// page is the value of every series, of a histogram its count, by name and labels
// without the model.
func (m measured) page() map[string]float64 {
	m.t.Helper()
	page := make(map[string]float64)
	families, err := m.registry.Gather()
	if err != nil {
		m.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			series := []string{family.GetName()}
			for _, label := range metric.GetLabel() {
				if label.GetName() != "model" {
					series = append(series, label.GetName()+"="+label.GetValue())
				}
			}
			page[strings.Join(series, " ")] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() +
				float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return page
}

// everyMetric are the series of an engine whose backend tells its memory.
var everyMetric = []string{
	"semantic_admission_wait_seconds",
	"semantic_batch_size",
	"semantic_cache_hit_total tier=kv",
	"semantic_cache_miss_total tier=kv",
	"semantic_cached_tokens_total",
	"semantic_decode_seconds",
	"semantic_eviction_total tier=kv",
	"semantic_kept_state_bytes",
	"semantic_memory_used_bytes kind=kv",
	"semantic_memory_used_bytes kind=weights",
	"semantic_pool_blocks state=free",
	"semantic_pool_blocks state=used",
	"semantic_pool_utilization_ratio",
	"semantic_preemptions_total by=recompute",
	"semantic_preemptions_total by=state",
	"semantic_prefill_rows_total",
	"semantic_prefill_seconds",
	"semantic_slow_consumers_total",
	"semantic_step_rows kind=decode",
	"semantic_step_rows kind=prefill",
	"semantic_step_rows kind=replay",
	"semantic_step_seconds kind=decode",
	"semantic_step_seconds kind=mixed",
	"semantic_step_seconds kind=prefill",
	"semantic_step_seconds kind=replay",
	"semantic_tokens_generated_total",
	"semantic_tokens_per_second",
}

// Whatever an engine exports can move, and nothing does before something happens
// but what says how large things are.
func TestEveryMetricMoves(t *testing.T) {
	still := measure(t, sim.Options{}, engine.Config{}).page()
	if names := slices.Sorted(maps.Keys(still)); !slices.Equal(names, everyMetric) {
		t.Errorf("series %q,\nwant %q", names, everyMetric)
	}
	for series, value := range still {
		size := strings.HasPrefix(series, "semantic_memory_used_bytes") || series == "semantic_pool_blocks state=free"
		if (value != 0) != size {
			t.Errorf("%s is %v before anything happened", series, value)
		}
	}
	moved := make(map[string]bool)
	for name, scenario := range map[string]func(t *testing.T, look func(measured)){
		"a crowd":                  moveByCrowd,
		"preempted to RAM":         func(t *testing.T, look func(measured)) { moveByPreemption(t, 1<<20, look) },
		"preempted to be read":     func(t *testing.T, look func(measured)) { moveByPreemption(t, 0, look) },
		"a reader who is too slow": moveBySlowReader,
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(m measured) {
				for series, value := range m.page() {
					moved[series] = moved[series] || value > 0
				}
			})
		})
	}
	for _, series := range everyMetric {
		if !moved[series] {
			t.Errorf("nothing moved %s", series)
		}
	}
}

// moveByCrowd makes steps of every kind.
func moveByCrowd(t *testing.T, look func(measured)) {
	g := newGate()
	m := measure(t, sim.Options{DecodeStep: time.Second, Clock: g}, engine.Config{})
	prompt := ask(t, m.Engine, "first", 60)
	first := submit(t, m.Engine, engine.Request{ID: "first", Prompt: prompt})
	for range 3 {
		<-g.entered
		g.release <- struct{}{}
	}
	<-g.entered
	crowd := []*engine.Sequence{
		submit(t, m.Engine, engine.Request{ID: "long", Prompt: tokenize(t, m.Engine, strings.Repeat("x", 300)+" words=5")}),
		submit(t, m.Engine, engine.Request{ID: "twin", Prompt: prompt, MaxTokens: 9}),
		submit(t, m.Engine, engine.Request{ID: "resumed", Prompt: prompt, Emitted: tokenize(t, m.Engine, "a b c"), MaxTokens: 9}),
	}
	look(m)
	defer g.open()()
	for _, s := range append(crowd, first) {
		mustCollect(t, s)
	}
	look(m)
}

// moveByPreemption lets a sequence that is not read lose its place.
func moveByPreemption(t *testing.T, spill int64, look func(measured)) {
	m := measure(t, sim.Options{Sequences: 1}, config(func(c *engine.Config) {
		c.BufferTokens, c.SlowConsumerTimeout, c.SpillBytes = 3, time.Hour, spill
	}))
	unread := submit(t, m.Engine, engine.Request{ID: "unread", Prompt: ask(t, m.Engine, "unread", 30)})
	<-unread.Started()
	mustCollect(t, submit(t, m.Engine, engine.Request{ID: "other", Prompt: ask(t, m.Engine, "other", 5)}))
	look(m)
	mustCollect(t, unread)
}

func moveBySlowReader(t *testing.T, look func(measured)) {
	m := measure(t, sim.Options{}, config(func(c *engine.Config) { c.BufferTokens, c.SlowConsumerTimeout = 3, time.Millisecond }))
	s := submit(t, m.Engine, engine.Request{ID: "slow", Prompt: ask(t, m.Engine, "slow", 50)})
	<-m.RoomChanged()
	if _, err := collect(t.Context(), s); !errors.Is(err, engine.ErrSlowConsumer) {
		t.Errorf("it ended with %v", err)
	}
	look(m)
}

// The metrics say what a snapshot and the chunks say.
func TestMetricsAreExact(t *testing.T) {
	m := measure(t, sim.Options{Name: "one"}, config(func(c *engine.Config) { c.BufferTokens = 5 }))
	if _, err := engine.New(engine.Options{Backend: simulate(t, sim.Options{Name: "one"}), Registerer: m.registry}); err == nil {
		t.Error("two engines of one name share their metrics")
	}
	s := submit(t, m.Engine, engine.Request{ID: "a", Prompt: ask(t, m.Engine, "a", 20)})
	// What a step did is published a moment after its tokens.
	for m.Snapshot().Requests[0].Phase != engine.PhaseBlocked {
		runtime.Gosched()
	}
	running := m.Snapshot()
	held := float64(running.Requests[0].Resident)
	if ratio := m.page()["semantic_pool_utilization_ratio"]; ratio*float64(running.Cells) != held || held == 0 {
		t.Errorf("utilization %v while it runs: %+v", ratio, running)
	}
	twin := mustCollect(t, submit(t, m.Engine, engine.Request{ID: "b", Prompt: ask(t, m.Engine, "a", 20), MaxTokens: 1}))
	mustCollect(t, s)
	snapshot := m.Snapshot()
	for m.page()["semantic_batch_size"] < float64(snapshot.Steps) {
		runtime.Gosched()
	}
	page := m.page()
	for series, want := range map[string]float64{
		"semantic_pool_utilization_ratio":   0,
		"semantic_batch_size":               float64(snapshot.Steps),
		"semantic_prefill_rows_total":       float64(snapshot.PrefillRows),
		"semantic_cached_tokens_total":      float64(twin.last.Usage.Cached),
		"semantic_cache_hit_total tier=kv":  1,
		"semantic_cache_miss_total tier=kv": 1,
		"semantic_admission_wait_seconds":   2,
		"semantic_prefill_seconds":          2,
		"semantic_decode_seconds":           2,
		"semantic_eviction_total tier=kv":   0,
		"semantic_pool_blocks state=used":   0,
	} {
		if page[series] != want {
			t.Errorf("%s is %v, want %v", series, page[series], want)
		}
	}
	if problems, err := testutil.GatherAndLint(m.registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if page := m.page(); len(page) != 0 {
		t.Errorf("after the close there is still %v", page)
	}
}

// Histograms have fitting buckets and a native histogram beside them; a sampled
// trace is the exemplar of what its sequence took.
func TestHistogramsAreNativeToo(t *testing.T) {
	m := measure(t, sim.Options{}, engine.Config{})
	between := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "between", Buckets: prometheus.DefBuckets})
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	s, err := m.Submit(trace.ContextWithSpanContext(t.Context(), span), engine.Request{
		ID: "a", Prompt: ask(t, m.Engine, "a", 20), InterToken: between,
	})
	if err != nil {
		t.Fatal(err)
	}
	mustCollect(t, s)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exemplars := make(map[string]bool)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			h := metric.GetHistogram()
			if h == nil {
				continue
			}
			if h.Schema == nil || len(h.GetBucket()) < 10 {
				t.Errorf("%s has schema %v and %d buckets", family.GetName(), h.Schema, len(h.GetBucket()))
			}
			exemplars[family.GetName()] = exemplar(h) == span.TraceID().String()
		}
	}
	for _, name := range []string{"semantic_admission_wait_seconds", "semantic_prefill_seconds", "semantic_decode_seconds"} {
		if !exemplars[name] {
			t.Errorf("%s does not name the trace", name)
		}
	}
	var latency dto.Metric
	if err := between.Write(&latency); err != nil {
		t.Fatal(err)
	}
	gaps := s.Timeline()
	if h := latency.GetHistogram(); int(h.GetSampleCount()) != gaps.Generated || exemplar(h) != span.TraceID().String() ||
		h.GetSampleSum() < 0.9*gaps.LastToken.Sub(gaps.FirstToken).Seconds() {
		t.Errorf("%v seconds between %d tokens, with exemplar %q: %+v", h.GetSampleSum(), h.GetSampleCount(), exemplar(h), gaps)
	}
}

// exemplar is the trace in the buckets of a histogram.
func exemplar(h *dto.Histogram) string {
	for _, bucket := range h.GetBucket() {
		for _, label := range bucket.GetExemplar().GetLabel() {
			return label.GetValue()
		}
	}
	return ""
}

// However long a text is, being observed in every way allocates nothing for its
// tokens: all that it allocates is by the sequence.
func TestObservingATokenAllocatesNothing(t *testing.T) {
	provider := sdktrace.NewTracerProvider()
	ctx, span := provider.Tracer("test").Start(t.Context(), "request")
	defer span.End()
	m := measure(t, sim.Options{Context: 8192}, config(func(c *engine.Config) { c.BufferTokens = 8192 }))
	between := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "between", Buckets: prometheus.DefBuckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	})
	prompt := ask(t, m.Engine, "a", 5000)
	allocations := func(tokens int) float64 {
		return testing.AllocsPerRun(5, func() {
			s, err := m.Submit(ctx, engine.Request{ID: "a", Prompt: prompt, MaxTokens: tokens, InterToken: between})
			if err != nil {
				t.Fatal(err)
			}
			<-m.RoomChanged() // it has ended: what it said is read at once
			if _, err := collect(ctx, s); err != nil {
				t.Fatal(err)
			}
		})
	}
	const more = 2000
	short, long := allocations(200), allocations(200+more)
	if each := (long - short) / more; each > 0.1 {
		t.Errorf("%v allocations for each token: %v for a short text, %v for a long one", each, short, long)
	}
}

// No cell outlives the sequences that need it: when one ends, what another still
// shares is in use, and nothing else is.
func TestCellsAreInUseAsLongAsTheyAreNeeded(t *testing.T) {
	m := measure(t, sim.Options{}, config(func(c *engine.Config) { c.BufferTokens, c.SlowConsumerTimeout = 1, time.Hour }))
	common := strings.Repeat("In common. ", 60)
	prompt := func(own string) []engine.Token { return tokenize(t, m.Engine, common+own+" words=20") }
	blocked := func() []engine.RequestState {
		for {
			requests := m.Snapshot().Requests
			if !slices.ContainsFunc(requests, func(r engine.RequestState) bool { return r.Phase != engine.PhaseBlocked }) {
				return requests
			}
			runtime.Gosched()
		}
	}
	long := submit(t, m.Engine, engine.Request{ID: "long", Prompt: prompt(strings.Repeat("Its own. ", 60))})
	<-long.Started()
	first := blocked()[0]
	if used := m.Snapshot().CellsUsed; used != first.Resident {
		t.Fatalf("%d cells for %d positions", used, first.Resident)
	}
	short := submit(t, m.Engine, engine.Request{ID: "short", Prompt: prompt("Short.")})
	<-short.Started()
	both := blocked()
	if used := m.Snapshot().CellsUsed; both[1].Cached == 0 || used != both[0].Resident+both[1].Resident-both[1].Cached {
		t.Errorf("%d cells for %+v", used, both)
	}
	long.Cancel()
	if _, err := collect(t.Context(), long); !errors.Is(err, engine.ErrCancelled) {
		t.Fatal(err)
	}
	left := m.Snapshot()
	if left.CellsUsed != both[1].Resident || m.page()["semantic_pool_utilization_ratio"] != float64(left.CellsUsed)/float64(left.Cells) {
		t.Errorf("%d cells are in use for the %d positions that are left", left.CellsUsed, both[1].Resident)
	}
	if room := m.Room(); room.Cells < left.Cells-left.CellsUsed-1 {
		t.Errorf("room %+v with %d of %d cells in use", room, left.CellsUsed, left.Cells)
	}
	for {
		if _, err := short.Next(context.WithoutCancel(t.Context())); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if used := m.Snapshot().CellsUsed; used != 0 {
		t.Errorf("%d cells outlive their sequences", used)
	}
}
