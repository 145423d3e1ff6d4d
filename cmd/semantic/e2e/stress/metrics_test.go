package stress

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	promodel "github.com/prometheus/common/model"
)

// page is /metrics as it was at a moment.
type page map[string]*dto.MetricFamily

func (s *server) metrics() page {
	s.t.Helper()
	status, text, err := s.get("/metrics", nil)
	if err != nil || status != 200 {
		s.t.Fatalf("/metrics: %d, %v", status, err)
	}
	parser := expfmt.NewTextParser(promodel.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	return families
}

// sum adds up the series that have all these labels (name, value, name, …); false
// where there is none.
func (p page) sum(name string, labels ...string) (float64, bool) {
	total, found := 0.0, false
	for _, m := range p[name].GetMetric() {
		if !has(m, labels) {
			continue
		}
		found = true
		total += m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
	}
	return total, found
}

// has reports whether a series has the labels; one with an empty value it must not
// have.
func has(m *dto.Metric, labels []string) bool {
	for pair := range slices.Chunk(labels, 2) {
		i := slices.IndexFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == pair[0] })
		value := ""
		if i >= 0 {
			value = m.GetLabel()[i].GetValue()
		}
		if value != pair[1] {
			return false
		}
	}
	return true
}

// quiet waits until nothing is open, stored or held. A figure that the page does not
// have now, because worker or broker were slow to tell it, is waited for.
func (s *server) quiet() {
	s.t.Helper()
	var busy []string
	s.waitFor(func() string { return "nothing is open, stored or held: " + strings.Join(busy, ", ") }, func() bool {
		p := s.metrics()
		busy = busy[:0]
		for _, name := range []string{"semantic_requests_active", "semantic_request_queue_depth", "semantic_pool_utilization_ratio"} {
			if n, told := p.sum(name); n > 0 || !told {
				busy = append(busy, fmt.Sprint(name, " is ", n, ", told: ", told))
			}
		}
		return len(busy) == 0
	})
}
