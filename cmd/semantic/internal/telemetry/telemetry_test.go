package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
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
	go func() { done <- telemetry.ServeMetrics(ctx, l, g, slog.New(slog.DiscardHandler)) }()
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
	counter(own, "once_total", "Once.", 2)
	counter(theirs, "shared_total", "Theirs.", 3)
	counter(theirs, "once_total", "Once.", 2)
	counter(theirs, "extra_total", "Extra.", 4)
	addr, stop := serve(t, theirs)
	child := telemetry.NewChild()
	page := telemetry.WithChild(own, child, "once_total")
	check := func(want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(page, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	alone := "# HELP once_total Once.\n# TYPE once_total counter\nonce_total 2\n" +
		"# HELP shared_total Ours.\n# TYPE shared_total counter\nshared_total 1\n"
	check(alone)
	child.Set(addr, "worker", "w1")
	check("# HELP extra_total Extra.\n# TYPE extra_total counter\nextra_total{worker=\"w1\"} 4\n" +
		"# HELP once_total Once.\n# TYPE once_total counter\nonce_total 2\n" +
		"# HELP shared_total Ours.\n# TYPE shared_total counter\nshared_total 1\nshared_total{worker=\"w1\"} 3\n")
	stop()
	check(alone) // a child that is gone leaves the rest of the page whole
	child.Set("", "", "")
	check(alone)
}

func TestNotAMetricsPage(t *testing.T) {
	addr, stop := serve(t, prometheus.GathererFunc(telemetry.NewRegistry().Gather))
	defer stop()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/other", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("%s", response.Status)
	}
}
