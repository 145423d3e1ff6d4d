package enginetest

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/semantic-worker/semantic/engine"
)

// BenchmarkObserved compares an engine that is observed in every way (metrics
// with native histograms, read once a round, the time between tokens, all traces
// sampled, a log at info) with one that is in none, at 1 and 8 streams. Rounds of
// the two take turns, each first in every other, on two backends that open
// returns. It reports tokens per second of both, the median of the rounds'
// ratios, and the allocations per token of both (without those of the reading).
func BenchmarkObserved(b *testing.B, open func(b *testing.B, sequences int) engine.Backend) {
	for _, streams := range []int{1, 8} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) { benchmarkObserved(b, open, streams) })
	}
}

// side is one of the two that are compared, and what it has done so far.
type side struct {
	engine   *engine.Engine
	registry *prometheus.Registry
	submit   submitter
	request  engine.Request

	tokens, seconds, mallocs float64
}

func benchmarkObserved(b *testing.B, open func(b *testing.B, sequences int) engine.Backend, streams int) {
	observed, silent := newObserved(b, open(b, streams)), newSilent(b, open(b, streams))
	prompts := make([][]engine.Token, streams)
	for i := range prompts {
		var err error
		if prompts[i], err = observed.engine.Vocabulary().Tokenize(fmt.Sprintf("%d. words=200 %s", i, someText), false); err != nil {
			b.Fatal(err)
		}
	}
	for _, s := range []*side{observed, silent} { // so that both are warm
		s.round(b, prompts)
		s.tokens, s.seconds, s.mallocs = 0, 0, 0
	}
	var ratios []float64
	b.ResetTimer()
	for turn := 0; b.Loop(); turn++ {
		var with, without float64
		if turn%2 == 0 {
			with, without = observed.round(b, prompts), silent.round(b, prompts)
		} else {
			without, with = silent.round(b, prompts), observed.round(b, prompts)
		}
		ratios = append(ratios, with/without)
	}
	slices.Sort(ratios)
	b.ReportMetric(observed.tokens/observed.seconds, "observed-tok/s")
	b.ReportMetric(silent.tokens/silent.seconds, "silent-tok/s")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(observed.mallocs/observed.tokens, "observed-allocs/tok")
	b.ReportMetric(silent.mallocs/silent.tokens, "silent-allocs/tok")
	b.ReportMetric(1e9*(observed.seconds/observed.tokens-silent.seconds/silent.tokens), "added-ns/tok")
	b.ReportMetric(0, "ns/op")
}

// round runs all prompts to their end, and returns the tokens per second.
func (s *side) round(b *testing.B, prompts [][]engine.Token) (rate float64) {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	s.request.MaxTokens = 2 * benchTokens
	tokens, _ := engineRound(b, s.submit, s.request, prompts)
	runtime.ReadMemStats(&after)
	if s.registry != nil {
		if _, err := s.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
	took := time.Since(began)
	s.tokens += float64(tokens)
	s.seconds += took.Seconds()
	s.mallocs += float64(after.Mallocs - before.Mallocs)
	return float64(tokens) / took.Seconds()
}

func newSilent(b *testing.B, backend engine.Backend) *side {
	b.Helper()
	e := inCompany(b, engine.Options{Backend: backend})
	return &side{engine: e, submit: func(r engine.Request) (*engine.Sequence, error) { return e.Submit(b.Context(), r) }}
}

func newObserved(b *testing.B, backend engine.Backend) *side {
	b.Helper()
	s := &side{registry: prometheus.NewRegistry()}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(nowhere{}))
	b.Cleanup(func() {
		if err := provider.Shutdown(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	})
	ctx, span := provider.Tracer("bench").Start(b.Context(), "request")
	b.Cleanup(func() { span.End() })
	between := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "between", Buckets: prometheus.DefBuckets, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	})
	s.registry.MustRegister(between)
	s.request.InterToken = between
	s.engine = inCompany(b, engine.Options{
		Backend: backend, Registerer: s.registry, TracerProvider: provider, Logger: slog.New(slog.NewJSONHandler(nowhere{}, nil)),
	})
	s.submit = func(r engine.Request) (*engine.Sequence, error) { return s.engine.Submit(ctx, r) }
	return s
}

// inCompany makes an engine that begins when as many are there as it has places.
func inCompany(b *testing.B, opts engine.Options) *engine.Engine {
	b.Helper()
	opts.Config = engine.DefaultConfig()
	opts.Config.BatchWindow = time.Minute
	e, err := engine.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// nowhere takes spans and lines.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Write(line []byte) (int, error)                             { return len(line), nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }
