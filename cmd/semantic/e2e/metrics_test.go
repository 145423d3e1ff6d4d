package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/metricsdoc"
	"github.com/semantic-worker/semantic/deploy/promtool"
)

// busyServer is a server that has answered, refused, and lost a worker.
func busyServer(t *testing.T) *server {
	t.Helper()
	s := newPlace(t).serve(t, append(simulated(time.Millisecond), "--ack-wait", "1s")...)
	for _, r := range s.openAll(20, eight("busy %d")...) {
		r.rest()
		r.whole()
	}
	model := s.Model
	s.Model = "nobody-s"
	if _, err := s.request("refused", 1); err == nil {
		t.Error("a model that nobody has answers")
	}
	s.Model = model
	r := s.open("words=200 please", 200)
	r.until(5)
	if err := syscall.Kill(s.worker(0), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.rest()
	r.whole()
	// Of the worker's part only the new one's is there behind the restart.
	s.wait("the new worker's metrics are on the page", func() bool {
		page, _ := s.metrics("")
		return bytes.Contains(page, []byte("\nsemantic_worker_restarts_total 1\n")) &&
			bytes.Contains(page, []byte("semantic_worker_resumed_total{"))
	})
	s.empty()
	return s
}

// metrics reads the page in a format.
func (s *server) metrics(accept string) ([]byte, http.Header) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.HTTP+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if accept != "" {
		request.Header.Set("Accept", accept)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("/metrics: %s, %v", response.Status, err)
	}
	return page, response.Header
}

// families reads the page with its native histograms.
func (s *server) families() map[string]*dto.MetricFamily {
	s.t.Helper()
	page, header := s.metrics(string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	decoder := expfmt.NewDecoder(bytes.NewReader(page), expfmt.ResponseFormat(header))
	families := make(map[string]*dto.MetricFamily)
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			s.t.Fatal(err)
		}
		families[f.GetName()] = &f
	}
}

// Prometheus itself finds no fault with the page, as text and as OpenMetrics.
func TestPromtoolMetrics(t *testing.T) {
	promtool.Path(t)
	s := busyServer(t)
	text, _ := s.metrics("")
	if out := promtool.Run(t, string(text), "check", "metrics"); out != "" {
		t.Errorf("promtool check metrics:\n%s", out)
	}
	page, header := s.metrics("application/openmetrics-text;version=1.0.0")
	if kind := header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("Content-Type %s", kind)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "page")
	if err := os.WriteFile(file, stamped(page), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool.Run(t, "", "tsdb", "create-blocks-from", "openmetrics", file, filepath.Join(dir, "blocks"))
	if blocks, err := filepath.Glob(filepath.Join(dir, "blocks", "*", "index")); err != nil || len(blocks) != 1 {
		t.Errorf("what it read makes %d blocks, %v", len(blocks), err)
	}
}

// stamped gives every sample of an OpenMetrics page a time: the only command of
// promtool that reads the format wants one.
func stamped(page []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(page) {
		if line[0] == '#' {
			out.Write(line)
			continue
		}
		sample, exemplar, has := bytes.Cut(bytes.TrimSpace(line), []byte(" # "))
		fmt.Fprintf(&out, "%s 1700000000", sample)
		if has {
			fmt.Fprintf(&out, " # %s", exemplar)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// The page of both processes has what docs/metrics.md says, and nothing else; native
// histograms come through, and queued and running are what is stored.
func TestMetricsPage(t *testing.T) {
	s := busyServer(t)
	documented, err := metricsdoc.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var families map[string]*dto.MetricFamily
	// A worker, or a broker, that is slow to answer is not on the page.
	s.wait("the page is whole", func() bool {
		families = s.families()
		return families["semantic_batch_size"] != nil && families["semantic_request_queue_depth"] != nil
	})
	for name, f := range families {
		if !strings.HasPrefix(name, "semantic_") {
			if !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
				t.Errorf("%s is nobody's", name)
			}
			continue
		}
		i := slices.IndexFunc(documented, func(m metricsdoc.Metric) bool { return m.Name == name })
		if i < 0 {
			t.Errorf("%s is not documented", name)
			continue
		}
		m := documented[i]
		if kind := strings.ToLower(f.GetType().String()); kind != m.Type || f.GetHelp() != m.Help {
			t.Errorf("%s is a %s, %q; documented as a %s, %q", name, kind, f.GetHelp(), m.Type, m.Help)
		}
		for _, series := range f.GetMetric() {
			for _, label := range series.GetLabel() {
				if !slices.Contains(m.Labels, label.GetName()) && label.GetName() != "worker" {
					t.Errorf("%s has the label %s, which is not documented", name, label.GetName())
				}
				if label.GetName() == "worker" && label.GetValue() == "" {
					t.Errorf("%s of a worker without a name: %s", name, series)
				}
			}
			h := series.GetHistogram()
			if h.GetSampleCount() > 0 && len(h.GetPositiveSpan())+len(h.GetNegativeSpan()) == 0 && h.GetZeroCount() == 0 {
				t.Errorf("%s has no native buckets: %s", name, series)
			}
		}
	}
	for _, name := range []string{"go_gc_duration_seconds", "process_resident_memory_bytes", "semantic_batch_size"} {
		ofWorker := func(m *dto.Metric) bool {
			return slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == "worker" && l.GetValue() == s.Worker })
		}
		if !slices.ContainsFunc(families[name].GetMetric(), ofWorker) {
			t.Errorf("%s of the worker is missing", name)
		}
	}
	if restarts := families["semantic_worker_restarts_total"].GetMetric(); len(restarts) != 1 || restarts[0].GetCounter().GetValue() != 1 {
		t.Errorf("restarts %v", restarts)
	}
	for _, series := range families["semantic_request_queue_depth"].GetMetric() {
		if series.GetGauge().GetValue() != 0 {
			t.Errorf("nothing runs, but %s", series)
		}
	}
}
