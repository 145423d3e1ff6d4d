package worker_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

// registry notes which of a worker's series have moved.
type registry struct{ *prometheus.Registry }

func newRegistry() registry { return registry{prometheus.NewRegistry()} }

// Gather notes what is on the page.
func (r registry) Gather() ([]*dto.MetricFamily, error) {
	families, err := r.Registry.Gather()
	moved.note(families)
	return families, err
}

// Unregister is what a worker does at its end.
func (r registry) Unregister(c prometheus.Collector) bool {
	_, _ = r.Gather()
	return r.Registry.Unregister(c)
}

// moved are the series of all workers of these tests, by name and labels but for
// model and class: whether one of them was ever more than 0.
var moved = movements{series: make(map[string]bool)}

type movements struct {
	mu     sync.Mutex
	series map[string]bool
}

func (m *movements) note(families []*dto.MetricFamily) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := []string{family.GetName()}
			for _, label := range metric.GetLabel() {
				if label.GetName() != "model" && label.GetName() != "class" {
					name = append(name, label.GetName()+"="+label.GetValue())
				}
			}
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			key := strings.Join(name, " ")
			m.series[key] = m.series[key] || value > 0
		}
	}
}

// everyMetricMoved fails a run of all tests in which a series of the worker was
// exported that nothing ever moved.
type everyMetricMoved struct{ *testing.M }

func (e everyMetricMoved) Run() int {
	code := e.M.Run()
	// What ends by itself may take its time.
	for late := time.Now().Add(patience); goleak.Find() != nil && time.Now().Before(late); {
	}
	whole := !testing.Short()
	for _, filter := range []string{"test.run", "test.skip", "test.list", "test.bench", "test.fuzz"} {
		whole = whole && flag.Lookup(filter).Value.String() == ""
	}
	if code != 0 || !whole {
		return code
	}
	moved.mu.Lock()
	defer moved.mu.Unlock()
	var still []string
	for series, did := range moved.series {
		if !did {
			still = append(still, series)
		}
	}
	if slices.Sort(still); len(still) > 0 || len(moved.series) == 0 {
		fmt.Fprintf(os.Stderr, "of %d series of the worker no test moved %q\n", len(moved.series), still)
		return 1
	}
	return 0
}
