package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry/oteltest"
)

// words is a log, or a console, that several goroutines write.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// tracing is a set-up of traces with what it says.
type tracing struct {
	*telemetry.Traces
	log, console words
	registry     *prometheus.Registry
}

// setEnv makes the variables the only OTEL_ ones of the process: the SDK reads them
// there.
func setEnv(t *testing.T, env ...string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, value) // is set back afterwards
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, entry := range env {
		if name, value, _ := strings.Cut(entry, "="); name != "" {
			t.Setenv(name, value)
		}
	}
}

func newTracing(t *testing.T, env ...string) (*tracing, error) {
	t.Helper()
	setEnv(t, env...)
	s := &tracing{registry: prometheus.NewRegistry()}
	var err error
	s.Traces, err = telemetry.NewTraces(t.Context(), telemetry.TraceOptions{
		Environ: os.Environ(), Service: "semantic-test", Instance: "i1", Version: "v1", Console: &s.console,
		Logger: slog.New(slog.NewJSONHandler(&s.log, nil)), Registerer: s.registry,
	})
	return s, err
}

func mustTrace(t *testing.T, env ...string) *tracing {
	t.Helper()
	s, err := newTracing(t, env...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stop flushes; ctx may have ended.
func (s *tracing) stop(ctx context.Context, t *testing.T) error {
	t.Helper()
	began := time.Now()
	err := s.Shutdown(ctx)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the stop took %v", took)
	}
	return err
}

func (s *tracing) span(name string) trace.Span {
	_, span := s.Provider().Tracer("test").Start(context.Background(), name)
	span.End()
	return span
}

func TestTracesAreOffByDefault(t *testing.T) {
	for _, env := range [][]string{
		nil, {"OTEL_TRACES_EXPORTER=none"}, {"OTEL_TRACES_EXPORTER="},
		{"OTEL_SDK_DISABLED=true", "OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_SAMPLER=nonsense"},
	} {
		s := mustTrace(t, env...)
		if s.Provider() != nil || s.log.String() != "" {
			t.Errorf("%v: provider %v, log %s", env, s.Provider(), s.log.String())
		}
		if n, err := testutil.GatherAndCount(s.registry); n != 0 || err != nil {
			t.Errorf("%v: %d metrics, %v", env, n, err)
		}
		if err := s.stop(t.Context(), t); err != nil {
			t.Error(err)
		}
	}
}

func TestTracesArriveOverEachProtocol(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		for _, compression := range []string{"", "gzip"} {
			r := oteltest.Start(t, protocol)
			s := mustTrace(t, append(r.Env(), "OTEL_EXPORTER_OTLP_COMPRESSION="+compression,
				"OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20secret", "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=lab")...)
			span := s.span("hello")
			if err := s.stop(t.Context(), t); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
			got := r.Spans()
			if len(got) != 1 || got[0].GetName() != "hello" || got[0].ID() != span.SpanContext().SpanID().String() {
				t.Fatalf("%s: received %v", protocol, got)
			}
			for key, want := range map[string]string{
				"service.name": "semantic-test", "service.instance.id": "i1", "service.version": "v1",
				"deployment.environment.name": "lab", "telemetry.sdk.language": "go",
			} {
				if got[0].Resource[key] != want {
					t.Errorf("%s: resource %v, want %s=%s", protocol, got[0].Resource, key, want)
				}
			}
			if r.Headers()["x-key"] != "a secret" {
				t.Errorf("%s: headers %v", protocol, r.Headers())
			}
			if strings.Contains(s.log.String(), "secret") {
				t.Errorf("the log has a header's value: %s", s.log.String())
			}
		}
	}
}

// The third protocol is the second one's exporter with another encoding.
func TestTracesAsJSON(t *testing.T) {
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body struct{ ResourceSpans []any }
		err := json.NewDecoder(r.Body).Decode(&body)
		got <- fmt.Sprint(r.URL.Path, r.Header.Get("Content-Type"), len(body.ResourceSpans), err)
	}))
	defer server.Close()
	s := mustTrace(t, "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json")
	s.span("x")
	if err := s.stop(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	if got, want := <-got, "/v1/traces application/json 1 <nil>"; strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("received %s, want %s", got, want)
	}
}

func TestServiceNameOfTheEnvironmentWins(t *testing.T) {
	r := oteltest.Start(t, "http/protobuf")
	s := mustTrace(t, append(r.Env(), "OTEL_SERVICE_NAME=mine", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+r.URL+"/v1/traces",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1")...)
	s.span("x")
	if err := s.stop(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	if got := r.Spans(); len(got) != 1 || got[0].Service() != "mine" {
		t.Errorf("received %s", oteltest.Tree(got))
	}
}

func TestConsole(t *testing.T) {
	s := mustTrace(t, "OTEL_TRACES_EXPORTER=console")
	s.span("shown")
	if err := s.stop(t.Context(), t); err != nil {
		t.Fatal(err)
	}
	var got struct{ Name string }
	if line := s.console.String(); json.Unmarshal([]byte(line), &got) != nil || got.Name != "shown" || strings.Count(line, "\n") != 1 {
		t.Errorf("console: %s", line)
	}
}

func TestSamplers(t *testing.T) {
	remote := func(flags trace.TraceFlags) context.Context {
		return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: flags, Remote: true,
		}))
	}
	for _, c := range []struct {
		env                      []string
		root, sampled, unsampled bool
	}{
		{nil, true, true, false},
		{[]string{"OTEL_TRACES_SAMPLER=always_on"}, true, true, true},
		{[]string{"OTEL_TRACES_SAMPLER=always_off"}, false, false, false},
		{[]string{"OTEL_TRACES_SAMPLER=parentbased_always_off"}, false, true, false},
		{[]string{"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0"}, false, true, false},
		{[]string{"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=1"}, true, true, true},
	} {
		r := oteltest.Start(t, "grpc")
		s := mustTrace(t, append(r.Env(), c.env...)...)
		for _, one := range []struct {
			ctx  context.Context
			want bool
		}{
			{context.Background(), c.root}, {remote(trace.FlagsSampled), c.sampled}, {remote(0), c.unsampled},
		} {
			_, span := s.Provider().Tracer("test").Start(one.ctx, "x")
			span.End()
			if span.SpanContext().IsSampled() != one.want {
				t.Errorf("%v: sampled is %v", c.env, !one.want)
			}
		}
		if err := s.stop(t.Context(), t); err != nil {
			t.Error(err)
		}
	}
}

func TestBadVariablesAreRefusedByName(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const otlp = "OTEL_EXPORTER_OTLP_"
	for _, c := range []struct{ entry, more, name string }{
		{entry: "OTEL_TRACES_EXPORTER=zipkin"},
		{entry: "OTEL_TRACES_EXPORTER=otlp,none"},
		{entry: "OTEL_TRACES_EXPORTER=otlp,otlp"},
		{entry: "OTEL_SDK_DISABLED=1"},
		{entry: "OTEL_PROPAGATORS=b3"},
		{entry: "OTEL_TRACES_SAMPLER=sometimes"},
		{entry: "OTEL_TRACES_SAMPLER_ARG=2", more: "OTEL_TRACES_SAMPLER=traceidratio"},
		{entry: "OTEL_TRACES_SAMPLER_ARG=0.5"},
		{entry: "OTEL_TRACES_SAMPLER_ARG=NaN", more: "OTEL_TRACES_SAMPLER=traceidratio"},
		{entry: "OTEL_RESOURCE_ATTRIBUTES=a=1,b"},
		{entry: "OTEL_BSP_SCHEDULE_DELAY=5s"},
		{entry: "OTEL_BSP_MAX_QUEUE_SIZE=0"},
		{entry: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4096"},
		{entry: "OTEL_SPAN_EVENT_COUNT_LIMIT=-1"},
		{entry: otlp + "PROTOCOL=udp"},
		{entry: otlp + "ENDPOINT=localhost:4317"},
		{entry: otlp + "TRACES_ENDPOINT=http://u:hidden@h:1"},
		{entry: otlp + "HEADERS=authorization: hidden"},
		{entry: otlp + "TIMEOUT=10s"},
		{entry: otlp + "COMPRESSION=zstd"},
		{entry: otlp + "INSECURE=yes"},
		{entry: otlp + "INSECURE=true", more: otlp + "ENDPOINT=https://h:1"},
		{entry: otlp + "CERTIFICATE=" + dir},
		{entry: otlp + "CERTIFICATE=" + empty},
		{entry: otlp + "ENDPOINT=http://h:1", more: otlp + "CLIENT_KEY=" + empty, name: otlp + "CLIENT_CERTIFICATE"},
	} {
		_, err := newTracing(t, c.entry, c.more)
		name, _, _ := strings.Cut(c.entry, "=")
		if c.name != "" {
			name = c.name
		}
		bad := new(telemetry.VariableError)
		if !errors.As(err, &bad) || bad.Name != name {
			t.Errorf("%s: %v", c.entry, err)
		} else if strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error has the secret: %v", c.entry, err)
		}
	}
}

func TestVariablesWithoutMeaningAreSaid(t *testing.T) {
	s := mustTrace(t, "OTEL_TRACE_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=none", "OTEL_LOG_LEVEL=debug",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://h:1")
	text := s.log.String()
	for _, want := range []string{`["OTEL_LOG_LEVEL","OTEL_TRACE_EXPORTER"]`, "set OTEL_TRACES_EXPORTER=otlp"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said in %s", want, text)
		}
	}
}

func (s *tracing) metric(t *testing.T, line string) {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := ""
			for _, l := range m.GetLabel() {
				label = fmt.Sprintf("{%s=%q}", l.GetName(), l.GetValue())
			}
			all = append(all, fmt.Sprintf("%s%s %v", f.GetName(), label, m.GetCounter().GetValue()))
		}
	}
	for _, got := range all {
		if got == line {
			return
		}
	}
	t.Errorf("%s is not among %q", line, all)
}

// A receiver that is away costs spans, which are counted, and two lines.
func TestReceiverAway(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		r := oteltest.Start(t, protocol)
		r.Away(true)
		s := mustTrace(t, append(r.Env(), "OTEL_BSP_EXPORT_TIMEOUT=50", "OTEL_BSP_SCHEDULE_DELAY=1")...)
		said := func() int { return strings.Count(s.log.String(), "cannot be delivered") }
		s.span("lost")
		until(t, "the line", func() bool { return said() == 1 })
		_, before := waitCalls(t, r, 0)
		s.span("lost")
		waitCalls(t, r, before)
		r.Away(false)
		until(t, "the recovery", func() bool {
			s.span("found")
			return strings.Contains(s.log.String(), "delivered again")
		})
		// Batches go on, and have 50 ms each: on a busy machine one may fail again.
		if before, _, _ := strings.Cut(s.log.String(), "delivered again"); strings.Count(before, "cannot be delivered") != 1 {
			t.Errorf("%s: the log is %s", protocol, s.log.String())
		}
		if len(r.Spans()) == 0 {
			t.Errorf("%s: nothing was received", protocol)
		}
		s.metric(t, `semantic_trace_spans_dropped_total{reason="late"} 0`)
		err := s.stop(t.Context(), t)
		failing := said() > strings.Count(s.log.String(), "delivered again")
		if (err != nil) != failing {
			t.Errorf("%s: the stop says %v, the log is %s", protocol, err, s.log.String())
		}
	}
}

// waitCalls waits for more calls than before.
func waitCalls(t *testing.T, r *oteltest.Receiver, before int) (spans []oteltest.Span, calls int) {
	t.Helper()
	spans = r.Wait(t, "another batch", func(_ []oteltest.Span, n int) bool { calls = n; return n > before })
	return spans, calls
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("never: " + what)
		}
	}
}

// hole is a receiver that takes connections and never answers.
func hole(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// Whatever the receiver does, spans end without waiting, what does not fit is
// counted to the last one, and the stop is bounded.
func TestReceiverHangs(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		s := mustTrace(t, "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+hole(t), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
			"OTEL_BSP_MAX_QUEUE_SIZE=100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=10", "OTEL_BSP_SCHEDULE_DELAY=1")
		var writers sync.WaitGroup
		for range 4 {
			writers.Go(func() {
				for range 250 {
					s.span("x")
				}
			})
		}
		writers.Wait()
		s.metric(t, `semantic_trace_spans_dropped_total{reason="full"} 900`)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err := s.stop(ctx, t)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "1000 spans") {
			t.Errorf("%s: the stop says %v", protocol, err)
		}
	}
}

// Ending a span that is not sampled, or with nothing to send to, allocates nothing.
func BenchmarkSpan(b *testing.B) {
	b.Setenv("OTEL_TRACES_EXPORTER", "console")
	for _, sampler := range []string{"always_on", "always_off"} {
		b.Run(sampler, func(b *testing.B) {
			b.Setenv("OTEL_TRACES_SAMPLER", sampler)
			s, err := telemetry.NewTraces(b.Context(), telemetry.TraceOptions{
				Environ: os.Environ(), Service: "s", Instance: "i", Version: "v", Console: new(words), Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				b.Fatal(err)
			}
			tracer := s.Provider().Tracer("test")
			b.ReportAllocs()
			for b.Loop() {
				_, span := tracer.Start(context.Background(), "x")
				span.End()
			}
			if err := s.Shutdown(b.Context()); err != nil {
				b.Log(err)
			}
		})
	}
}
