package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLogFormats(t *testing.T) {
	for _, c := range []struct {
		name             string
		options          telemetry.LogOptions
		isJSON, coloured bool
	}{
		{"auto elsewhere", telemetry.LogOptions{}, true, false},
		{"auto on a terminal", telemetry.LogOptions{Terminal: true}, false, true},
		{"json on a terminal", telemetry.LogOptions{Terminal: true, Format: telemetry.LogJSON}, true, false},
		{"console elsewhere", telemetry.LogOptions{Format: telemetry.LogConsole}, false, false},
		{"NO_COLOR", telemetry.LogOptions{Terminal: true, NoColor: true}, false, false},
	} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, c.options)
		log.Debug("not this")
		log.Warn("this", schemas.LogRequestID, "r1")
		line := out.String()
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "r1") {
			t.Errorf("%s: %q", c.name, line)
		}
		if got := json.Valid(out.Bytes()); got != c.isJSON {
			t.Errorf("%s: JSON is %v: %q", c.name, got, line)
		}
		if got := strings.Contains(line, "\x1b["); got != c.coloured {
			t.Errorf("%s: coloured is %v: %q", c.name, got, line)
		}
	}
}

// On a terminal errors are red, and what is empty is not shown.
func TestLinesForPeople(t *testing.T) {
	var out bytes.Buffer
	telemetry.NewLogger(&out, telemetry.LogOptions{Terminal: true}).
		Info("x", schemas.LogRequestID, "", schemas.LogError, io.ErrUnexpectedEOF, schemas.LogModel, "m")
	line := out.String()
	if strings.Contains(line, schemas.LogRequestID) || !strings.Contains(line, "91merror=") {
		t.Errorf("got %q", line)
	}
}

func TestDurationsHaveAUnit(t *testing.T) {
	var out bytes.Buffer
	telemetry.NewLogger(&out, telemetry.LogOptions{Format: telemetry.LogJSON}).Info("x", schemas.LogTook, 1500*time.Millisecond)
	if !strings.Contains(out.String(), `"took_seconds":1.5`) {
		t.Errorf("got %s", out.String())
	}
}

func TestLevel(t *testing.T) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	for name, want := range levels {
		if got, err := telemetry.ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := telemetry.ParseLevel("loud"); err == nil {
		t.Error("loud is accepted")
	}
	var out bytes.Buffer
	var level slog.LevelVar
	log := telemetry.NewLogger(&out, telemetry.LogOptions{Level: &level})
	log.Debug("before")
	level.Set(slog.LevelDebug)
	log.Debug("after")
	if strings.Contains(out.String(), "before") || !strings.Contains(out.String(), "after") {
		t.Errorf("the level did not change while in use: %s", &out)
	}
}

// serve serves the gatherer and returns its address and how to stop it.
func serve(t *testing.T, g prometheus.Gatherer) (addr string, stop func()) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- telemetry.Serve(ctx, l, telemetry.MetricsHandler(g, slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	}()
	return l.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

func counter(r prometheus.Registerer, name, help string, value float64) {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	c.Add(value)
	r.MustRegister(c)
}

func TestOnePageOfTwoProcesses(t *testing.T) {
	own, theirs := prometheus.NewRegistry(), prometheus.NewRegistry()
	counter(own, "shared_total", "Ours.", 1)
	counter(own, "own_total", "Own.", 2)
	counter(theirs, "shared_total", "Theirs.", 3)
	counter(theirs, "extra_total", "Extra.", 4)
	addr, stop := serve(t, theirs)
	child := telemetry.NewChild()
	page := telemetry.WithChild(own, child)
	check := func(want string) {
		t.Helper()
		var err error
		defer func() { // until gives up
			if err != nil {
				t.Error(err)
			}
		}()
		until(t, "the page", func() bool { // a child has 2 s to answer
			err = testutil.GatherAndCompare(page, strings.NewReader(want))
			return err == nil
		})
	}
	alone := "# HELP own_total Own.\n# TYPE own_total counter\nown_total 2\n" +
		"# HELP shared_total Ours.\n# TYPE shared_total counter\nshared_total 1\n"
	check(alone)
	child.Set(addr, "worker", "w1")
	check("# HELP extra_total Extra.\n# TYPE extra_total counter\nextra_total{worker=\"w1\"} 4\n" +
		"# HELP own_total Own.\n# TYPE own_total counter\nown_total 2\n" +
		"# HELP shared_total Ours.\n# TYPE shared_total counter\nshared_total 1\nshared_total{worker=\"w1\"} 3\n")
	stop()
	check(alone) // a child that is gone leaves the rest of the page whole
	child.Set("", "", "")
	check(alone)
}

// What a scrape asks for it gets, also of the child: native histograms and exemplars
// go through both processes.
func TestFormats(t *testing.T) {
	histogram := func(r prometheus.Registerer) {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "wait_seconds", Help: "A wait.", Buckets: []float64{1, 10}, NativeHistogramBucketFactor: 1.1,
		})
		h.(prometheus.ExemplarObserver).ObserveWithExemplar(3, prometheus.Labels{"trace_id": "abc"})
		r.MustRegister(h)
	}
	own, theirs := prometheus.NewRegistry(), prometheus.NewRegistry()
	histogram(own)
	histogram(theirs)
	counter(theirs, "extra_total", "Extra.", 4)
	addr, stop := serve(t, theirs)
	defer stop()
	child := telemetry.NewChild()
	child.Set(addr, "worker", "w1")
	page, stopPage := serve(t, telemetry.WithChild(own, child))
	defer stopPage()

	text, _ := get(t, page, "")
	if want := "wait_seconds_bucket{worker=\"w1\",le=\"10\"} 1\n"; !strings.Contains(text, want) || strings.Contains(text, "abc") {
		t.Errorf("as text, without %q:\n%s", want, text)
	}
	text, _ = get(t, page, "application/openmetrics-text;version=1.0.0")
	for _, want := range []string{
		"wait_seconds_bucket{le=\"10.0\"} 1 # {trace_id=\"abc\"} 3.0 ",
		"wait_seconds_bucket{worker=\"w1\",le=\"10.0\"} 1 # {trace_id=\"abc\"} 3.0 ",
		"# TYPE extra counter\nextra_total{worker=\"w1\"} 4.0\n",
	} {
		if !strings.Contains(text, want) || !strings.HasSuffix(text, "# EOF\n") {
			t.Errorf("as OpenMetrics, without %q:\n%s", want, text)
		}
	}
	protobuf, header := get(t, page, string(expfmt.NewFormat(expfmt.TypeProtoDelim)))
	decoder := expfmt.NewDecoder(strings.NewReader(protobuf), expfmt.ResponseFormat(header))
	for _, want := range []struct {
		name   string
		kind   dto.MetricType
		series int
	}{{"extra_total", dto.MetricType_COUNTER, 1}, {"wait_seconds", dto.MetricType_HISTOGRAM, 2}} {
		var family dto.MetricFamily
		if err := decoder.Decode(&family); err != nil {
			t.Fatal(err)
		}
		if family.GetName() != want.name || family.GetType() != want.kind || len(family.GetMetric()) != want.series {
			t.Errorf("%s, want %s of %d series", &family, want.name, want.series)
		}
		for _, m := range family.GetMetric() {
			h := m.GetHistogram()
			if h != nil && (len(h.GetPositiveSpan()) != 1 || len(h.GetBucket()) != 2 || h.GetBucket()[1].GetExemplar() == nil) {
				t.Errorf("%s lost something on the way: %s", want.name, m)
			}
		}
	}
}

// A page of junk, or one that is cut, leaves the parent's own metrics there.
func TestChildOfJunk(t *testing.T) {
	own := prometheus.NewRegistry()
	counter(own, "own_total", "Own.", 2)
	counter(own, "clash", "A counter here.", 2)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"junk":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, "}{ junk") },
		"error": func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		"clash": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "# TYPE clash gauge\nclash 1\n") },
		"cut":   func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		child := telemetry.NewChild()
		child.Set(strings.TrimPrefix(server.URL, "http://"), "worker", "w1")
		families, _ := telemetry.WithChild(own, child).Gather() // its error is logged
		if !slices.ContainsFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "own_total" }) {
			t.Errorf("%s: the page is %s", name, families)
		}
		server.Close()
	}
}

// get reads a page in a format, again if the child w1 had not answered within its 2 s.
func get(t *testing.T, addr, accept string) (page string, header http.Header) {
	t.Helper()
	until(t, "the child's part of the page", func() bool {
		page, header = getOnce(t, addr, accept)
		return strings.Contains(page, "w1")
	})
	return page, header
}

func getOnce(t *testing.T, addr, accept string) (string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	return string(page), response.Header
}
