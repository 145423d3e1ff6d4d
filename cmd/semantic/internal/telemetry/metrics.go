package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// NewRegistry returns a registry with the Go runtime's and the process's own
// metrics.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// MetricsHandler answers a scrape in the format that it asks for: text, OpenMetrics
// with exemplars, or protobuf with native histograms as well. What cannot be gathered
// is missing, and logged. Scrapes at one time share what is gathered.
func MetricsHandler(g prometheus.Gatherer, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:     promhttp.ContinueOnError,
		EnableOpenMetrics: true,
		CoalesceGather:    true,
	})
}

// Serve answers HTTP requests on the listener until ctx ends, then closes it and
// returns nil once every handler is done.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		// A scrape takes milliseconds; whoever reads longer is cut off.
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if server.Shutdown(bounded) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve metrics on %s: %w", l.Addr(), err)
}

// Child is a [prometheus.Gatherer] of another process's /metrics page, with
// one label added to each of its metrics so that they do not collide with this
// process's own. It is safe for concurrent use.
//
// A child that cannot be reached (it is loading, or being restarted) has no
// metrics; that is not an error, so the page of the parent stays whole.
type Child struct {
	client *http.Client
	target atomic.Pointer[childTarget]
}

type childTarget struct {
	url          *url.URL
	label, value string
}

// NewChild returns a gatherer without a target.
func NewChild() *Child {
	return &Child{client: &http.Client{
		Timeout: 2 * time.Second,
		// No idle connections: scrapes are seconds apart, and a parent that
		// stops has nothing to clean up.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// Set names the child's address (host:port) and the label to add. An empty
// address means that there is no child now.
func (c *Child) Set(addr, label, value string) {
	if addr == "" {
		c.target.Store(nil)
		return
	}
	c.target.Store(&childTarget{url: &url.URL{Scheme: "http", Host: addr, Path: "/metrics"}, label: label, value: value})
}

// Gather implements [prometheus.Gatherer].
func (c *Child) Gather() ([]*dto.MetricFamily, error) {
	target := c.target.Load()
	if target == nil {
		return nil, nil
	}
	// A Gatherer has no context to pass on; the client's timeout bounds it. The text
	// formats have no native histograms.
	response, err := c.client.Do(&http.Request{
		Method: http.MethodGet, URL: target.url,
		Header: http.Header{"Accept": {string(expfmt.NewFormat(expfmt.TypeProtoDelim))}},
	})
	if err != nil {
		return nil, nil // see the type's comment
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape %s: %s", target.url, response.Status)
	}
	decoder := expfmt.NewDecoder(io.LimitReader(response.Body, childBytes), expfmt.ResponseFormat(response.Header))
	var families []*dto.MetricFamily
	for {
		family := new(dto.MetricFamily)
		if err := decoder.Decode(family); err != nil {
			break // the end, or a child that died while it wrote
		}
		for _, m := range family.GetMetric() {
			addLabel(m, target.label, target.value)
		}
		families = append(families, family)
	}
	return families, nil
}

// childBytes bounds a child's page, of which there are some 100 KB.
const childBytes = 16 << 20

// WithChild gathers this process's metrics and the child's as one page. A metric
// that both have is one family; the help text is then this process's. What cannot
// be gathered of one leaves the other's there, beside the error.
func WithChild(own prometheus.Gatherer, child *Child) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		ours, failed := own.Gather()
		theirs, err := child.Gather()
		failed = errors.Join(failed, err)
		known := make(map[string]*dto.MetricFamily, len(ours))
		for _, family := range ours {
			known[family.GetName()] = family
		}
		for _, family := range theirs {
			if same := known[family.GetName()]; same != nil {
				family.Help = same.Help
			}
		}
		page, err := prometheus.Gatherers{gathered(ours), gathered(theirs)}.Gather()
		return page, errors.Join(failed, err)
	})
}

// gathered is a gatherer of what was gathered before.
func gathered(families []*dto.MetricFamily) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil })
}

func addLabel(m *dto.Metric, name, value string) {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return
		}
	}
	m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: &value})
	slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
}
