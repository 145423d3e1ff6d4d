package metricsdoc_test

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/metricsdoc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func all(t *testing.T) []metricsdoc.Metric {
	t.Helper()
	metrics, err := metricsdoc.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return metrics
}

// docs/metrics.md is what the code exports.
func TestCurrent(t *testing.T) {
	want, err := metricsdoc.Page(all(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/metrics.md is not current: run `make generate`")
	}
}

// What people wrote names no metric that there is not.
func TestNames(t *testing.T) {
	metrics := all(t)
	text, err := os.ReadFile("page.md.tmpl")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`(semantic_[a-z_]+)").FindAllStringSubmatch(string(text), -1) {
		exported := slices.ContainsFunc(metrics, func(m metricsdoc.Metric) bool { return m.Name == name[1] })
		if !exported && !slices.Contains(metricsdoc.NotYet(), name[1]) {
			t.Errorf("%s is neither exported nor said to come", name[1])
		}
	}
}

// Each metric says what it is: the rules of https://prometheus.io/docs/practices/naming.
func TestMetadata(t *testing.T) {
	metrics := all(t)
	if len(metrics) < 40 {
		t.Fatalf("%d metrics", len(metrics))
	}
	bounded := []string{
		"api", "by", "cause", "class", "code", "from", "kind", "model", "outcome", "phase", "reason", "state", "status", "stream", "tier", "type",
	}
	for _, m := range metrics {
		if !strings.HasPrefix(m.Name, "semantic_") || len(m.Help) < 15 || !strings.HasSuffix(m.Help, ".") {
			t.Errorf("%s: %q", m.Name, m.Help)
		}
		if (m.Type == "counter") != strings.HasSuffix(m.Name, "_total") {
			t.Errorf("%s is a %s", m.Name, m.Type)
		}
		fit := m.Native && len(m.Buckets) >= 4 && slices.IsSorted(m.Buckets)
		if m.Type == "histogram" && !fit {
			t.Errorf("%s: buckets %v, native %v", m.Name, m.Buckets, m.Native)
		}
		for _, label := range m.Labels {
			if !slices.Contains(bounded, label) {
				t.Errorf("%s has the label %s, of which nobody said how many values it has", m.Name, label)
			}
		}
		if slices.Contains(metricsdoc.NotYet(), m.Name) {
			t.Errorf("%s is exported, and said not to be built yet", m.Name)
		}
	}
}

// The names that were asked for exist, or are said to come later.
func TestAskedFor(t *testing.T) {
	metrics := all(t)
	for name, kind := range map[string]string{
		"semantic_request_total":                  "counter",
		"semantic_request_duration_seconds":       "histogram",
		"semantic_time_to_first_token_seconds":    "histogram",
		"semantic_request_queue_depth":            "gauge",
		"semantic_batch_size":                     "histogram",
		"semantic_tokens_generated_total":         "counter",
		"semantic_tokens_per_second":              "gauge",
		"semantic_memory_used_bytes":              "gauge",
		"semantic_cache_hit_total":                "counter",
		"semantic_cache_miss_total":               "counter",
		"semantic_pool_utilization_ratio":         "gauge",
		"semantic_eviction_total":                 "counter",
		"semantic_agents_active":                  "gauge",
		"semantic_model_swap_duration_seconds":    "",
		"semantic_cache_persist_duration_seconds": "",
	} {
		i := slices.IndexFunc(metrics, func(m metricsdoc.Metric) bool { return m.Name == name })
		switch {
		case kind == "":
			if !slices.Contains(metricsdoc.NotYet(), name) {
				t.Errorf("%s is not said to come later", name)
			}
		case i < 0:
			t.Errorf("%s is not exported", name)
		case metrics[i].Type != kind:
			t.Errorf("%s is a %s", name, metrics[i].Type)
		case name == "semantic_eviction_total" && !slices.Contains(metrics[i].Labels, "tier"):
			t.Errorf("%s has no label tier", name)
		}
	}
}
