package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/semantic-worker/semantic/deploy/promtool"
)

// later are the metrics of alerts whose subject is not built: docs/metrics.md lists
// them so.
var later = map[string]bool{"semantic_model_swap_total": true}

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (list []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	readYAML(t, "prometheus/alerts.yml", &file)
	for _, group := range file.Groups {
		list = append(list, group.Rules...)
	}
	if len(list) < 15 {
		t.Fatalf("%d alerts", len(list))
	}
	return list
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Prometheus accepts the rules, and each fires and stays silent where it should.
func TestPromtoolRules(t *testing.T) {
	t.Parallel()
	promtool.Run(t, "", "check", "rules", "prometheus/alerts.yml")
	promtool.Run(t, "", "test", "rules", "prometheus/alerts_test.yml")
}

// Every alert has a page in docs/runbooks, a test in which it fires and one in which
// it stays silent, and every page an alert.
func TestEveryAlertHasRunbookAndTests(t *testing.T) {
	t.Parallel()
	var tests struct {
		Tests []struct {
			Cases []struct {
				Name   string `yaml:"alertname"`
				Expect []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	readYAML(t, "prometheus/alerts_test.yml", &tests)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, c := range test.Cases {
			fires[c.Name] = fires[c.Name] || len(c.Expect) > 0
			silent[c.Name] = silent[c.Name] || len(c.Expect) == 0
		}
	}
	pages := map[string]bool{"README.md": true}
	index, err := os.ReadFile("../docs/runbooks/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !silent[a.Alert] {
			t.Errorf("%s: fires in a test: %v, is silent in one: %v", a.Alert, fires[a.Alert], silent[a.Alert])
		}
		page := "docs/runbooks/" + a.Alert + ".md"
		if a.Annotations["runbook"] != page || a.Annotations["summary"] == "" || a.Labels["severity"] == "" {
			t.Errorf("%s: %v %v", a.Alert, a.Labels, a.Annotations)
		}
		if !strings.Contains(string(index), "("+a.Alert+".md)") {
			t.Errorf("docs/runbooks/README.md does not list %s", a.Alert)
		}
		text, err := os.ReadFile("../" + page)
		if err != nil {
			t.Error(err)
		}
		for _, part := range []string{"# " + a.Alert + "\n", "\n## See it\n", "\n## Do\n", "\n## Verify\n"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s has no %q", page, part)
			}
		}
		pages[a.Alert+".md"] = true
	}
	entries, err := os.ReadDir("../docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !pages[e.Name()] {
			t.Errorf("docs/runbooks/%s is of no alert", e.Name())
		}
	}
}

// query is an expression of the dashboard, with what Grafana would put in.
type query struct{ panel, expr string }

func dashboard(t *testing.T) (list []query) {
	t.Helper()
	text, err := os.ReadFile("grafana/semantic.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title, Description, Type string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("panel %q has no description, or no query", p.Title)
		}
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$model", ".+").Replace(target.Expr)
			list = append(list, query{p.Title, expr})
		}
	}
	if len(list) < 40 {
		t.Fatalf("%d queries", len(list))
	}
	return list
}

// Prometheus can read every query of the dashboard: each becomes a rule.
func TestPromtoolDashboard(t *testing.T) {
	t.Parallel()
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, q := range dashboard(t) {
		fmt.Fprintf(&rules, "  - record: q%d\n    expr: %q\n", i, q.expr)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool.Run(t, "", "check", "rules", path)
}

// Alerts, dashboard, runbooks and operations ask for metrics that exist: those of
// docs/metrics.md, which is made from the code.
func TestQueriesNameExistingMetrics(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(semantic_[a-z_]+)` \\| ([a-z]+) \\|").FindAllStringSubmatch(string(text), -1) {
		known[m[1]] = true
		if m[2] == "histogram" {
			known[m[1]+"_bucket"], known[m[1]+"_count"], known[m[1]+"_sum"] = true, true, true
		}
	}
	if len(known) < 60 {
		t.Fatalf("docs/metrics.md has %d metrics", len(known))
	}
	asked := map[string]string{}
	name := regexp.MustCompile(`\bsemantic_[a-z_]+\b`)
	ask := func(where, text string) {
		for _, m := range name.FindAllString(text, -1) {
			asked[m] = where
		}
	}
	for _, a := range alerts(t) {
		ask("alert "+a.Alert, a.Expr)
	}
	for _, q := range dashboard(t) {
		ask("panel "+q.panel, q.expr)
	}
	pages, err := filepath.Glob("../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../docs/operations.md", "observability/run.sh") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		ask(page, string(text))
	}
	for metric, where := range asked {
		if !known[metric] && !later[metric] && metric != "semantic_queue_storage" {
			t.Errorf("%s asks for %s, which does not exist", where, metric)
		}
	}
}

// The alert on whole requests has the figure that the baseline measured.
func TestThresholdsAreMeasured(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("prometheus/thresholds.json")
	if err != nil {
		t.Fatal(err)
	}
	var measured struct {
		Thresholds map[string]struct {
			Alert float64 `json:"alert_seconds"`
		} `json:"thresholds"`
	}
	if err := json.Unmarshal(text, &measured); err != nil {
		t.Fatal(err)
	}
	want := measured.Thresholds["semantic_request_duration_seconds"].Alert
	for _, a := range alerts(t) {
		if a.Alert == "RequestDurationHigh" && (want <= 0 || !strings.Contains(a.Expr, fmt.Sprintf("> %v\n", want))) {
			t.Errorf("measured %v, the rule is %s", want, a.Expr)
		}
	}
}
