package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/semantic-worker/semantic/schemas"
)

// Why spans were dropped.
const (
	droppedFull   = "full"
	droppedFailed = "failed"
	droppedLate   = "late"
)

// traceMetrics count what becomes of spans.
type traceMetrics struct {
	sent    prometheus.Counter
	dropped *prometheus.CounterVec
	r       prometheus.Registerer
}

func newTraceMetrics(r prometheus.Registerer) (*traceMetrics, error) {
	m := &traceMetrics{
		sent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "semantic_trace_spans_sent_total",
			Help: "Spans that the receiver of traces took. Moves with every batch of sampled spans; exported where traces are on.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "semantic_trace_spans_dropped_total",
			Help: "Spans that were not delivered. Moves while the receiver of traces is away: by reason full (more ended than " +
				"OTEL_BSP_MAX_QUEUE_SIZE holds), failed (their batch was refused or timed out) or late (they ended after the stop). " +
				"Exported where traces are on.",
		}, []string{"reason"}),
		r: r,
	}
	for _, reason := range []string{droppedFull, droppedFailed, droppedLate} {
		m.dropped.WithLabelValues(reason)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.dropped} {
		if err := r.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("register metrics of traces: %w", err)
		}
	}
	return m, nil
}

func (m *traceMetrics) unregister() {
	if m.r != nil {
		m.r.Unregister(m.sent)
		m.r.Unregister(m.dropped)
	}
}

// sender puts the SDK's batch processor between spans and an exporter, and counts
// what is lost on the way, which the SDK does not tell: its queue never holds more
// than room spans, those in flight included, so it never drops one by itself.
type sender struct {
	batches  sdktrace.SpanProcessor
	exporter *countingExporter
	room     int64
	stopped  atomic.Bool
}

func newSender(e sdktrace.SpanExporter, name string, room int, m *traceMetrics, log *slog.Logger) *sender {
	counting := &countingExporter{next: e, name: name, metrics: m, log: log}
	return &sender{
		batches: sdktrace.NewBatchSpanProcessor(counting), exporter: counting, room: int64(room),
	}
}

// OnStart implements [sdktrace.SpanProcessor].
func (s *sender) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd takes a span, or drops and counts it. It never waits.
func (s *sender) OnEnd(span sdktrace.ReadOnlySpan) {
	if !span.SpanContext().IsSampled() {
		return
	}
	switch {
	case s.stopped.Load():
		s.exporter.metrics.dropped.WithLabelValues(droppedLate).Inc()
	case s.exporter.pending.Add(1) > s.room:
		s.exporter.pending.Add(-1)
		s.exporter.metrics.dropped.WithLabelValues(droppedFull).Inc()
		s.exporter.lost.Add(1)
	default:
		s.batches.OnEnd(span)
	}
}

// ForceFlush implements [sdktrace.SpanProcessor].
func (s *sender) ForceFlush(ctx context.Context) error {
	return s.batches.ForceFlush(ctx) //nolint:wrapcheck // the SDK's own, passed on
}

// killed is how long exports that were cut off have to notice it.
const killed = time.Second

// Shutdown sends what is left until ctx ends. Then it cuts the exports off, and
// joins them.
func (s *sender) Shutdown(ctx context.Context) error {
	if !s.stopped.CompareAndSwap(false, true) {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.batches.Shutdown(context.WithoutCancel(ctx)) // what failed was counted
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.exporter.cut.Store(true)
		_ = s.exporter.next.Shutdown(ctx) // what it says is that ctx has ended
		late := time.NewTimer(killed)
		defer late.Stop()
		select {
		case <-done:
		case <-late.C:
		}
	}
	if lost := s.exporter.lost.Load() + s.exporter.pending.Load(); lost > 0 {
		return fmt.Errorf("%d spans were not delivered to %s", lost, s.exporter.name)
	}
	return nil
}

// countingExporter counts what its exporter takes, and tells once when it begins
// to fail and once when it is well again.
type countingExporter struct {
	next    sdktrace.SpanExporter
	name    string
	metrics *traceMetrics
	log     *slog.Logger
	// pending are the spans that the sender took and that are neither sent nor
	// dropped yet.
	pending atomic.Int64
	// lost counts the spans that were dropped since the exporter began to fail.
	lost atomic.Int64
	// cut: nothing is sent any more.
	cut atomic.Bool

	mu    sync.Mutex // guards what follows
	since time.Time  // when it began to fail; zero while it is well
}

var errCut = errors.New("stopping")

// ExportSpans implements [sdktrace.SpanExporter]. Its errors end here.
func (c *countingExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := errCut
	if !c.cut.Load() {
		err = c.next.ExportSpans(ctx, spans)
	}
	n := len(spans)
	c.pending.Add(int64(-n))
	if err != nil {
		c.metrics.dropped.WithLabelValues(droppedFailed).Add(float64(n))
		c.lost.Add(int64(n))
	} else {
		c.metrics.sent.Add(float64(n))
	}
	c.tell(err)
	return nil
}

// Shutdown implements [sdktrace.SpanExporter].
func (c *countingExporter) Shutdown(ctx context.Context) error {
	return c.next.Shutdown(ctx) //nolint:wrapcheck // the SDK's own, passed on
}

// mostOfError bounds what a receiver may say in a log line.
const mostOfError = 300

func (c *countingExporter) tell(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.since.IsZero():
		c.since = time.Now()
		text := err.Error()
		if len(text) > mostOfError {
			text = text[:mostOfError] + "…"
		}
		c.log.Warn("traces cannot be delivered; they are dropped, and counted, until the receiver answers",
			schemas.LogExporter, c.name, schemas.LogError, text)
	case err == nil && !c.since.IsZero():
		c.log.Info("traces are delivered again",
			schemas.LogExporter, c.name, schemas.LogDropped, c.lost.Swap(0), schemas.LogAfter, time.Since(c.since).Round(time.Millisecond))
		c.since = time.Time{}
	}
}
