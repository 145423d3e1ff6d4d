package metricsdoc

import (
	"bytes"
	_ "embed" // the template
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

// page is the part of docs/metrics.md that people write, with places for the rest.
//
//go:embed page.md.tmpl
var page string

// NotYet are metrics whose subject does not exist yet. They are not exported; the
// page lists them.
func NotYet() []string {
	return []string{
		"semantic_pool_reusable_cells",
		"semantic_model_swap_duration_seconds", "semantic_model_swap_total", "semantic_cache_persist_duration_seconds",
	}
}

// Page is docs/metrics.md.
func Page(metrics []Metric) ([]byte, error) {
	of := func(roles ...string) []Metric {
		return slices.DeleteFunc(slices.Clone(metrics), func(m Metric) bool { return !slices.Equal(m.Roles, roles) })
	}
	t, err := template.New("page").Funcs(template.FuncMap{
		"list": table,
		"code": func(words []string) string { return "`" + strings.Join(words, "` `") + "`" },
	}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		Gateway, Worker, Both, Serve, Histograms []Metric
		NotYet                                   []string
	}{
		of(RoleGateway), of(RoleWorker), of(RoleGateway, RoleWorker), of(RoleServe),
		slices.DeleteFunc(slices.Clone(metrics), func(m Metric) bool { return m.Type != "histogram" }),
		NotYet(),
	})
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	return out.Bytes(), nil
}

// table has a row for each metric.
func table(metrics []Metric) string {
	var out strings.Builder
	out.WriteString("| name | type | labels | unit | meaning |\n| --- | --- | --- | --- | --- |\n")
	for _, m := range metrics {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "` `") + "`"
		}
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", m.Name, m.Type, labels, m.Unit(), strings.ReplaceAll(m.Help, "|", `\|`))
	}
	return out.String()
}

// Bounds are the classic buckets of a histogram, for people.
func (m Metric) Bounds() string {
	words := make([]string, len(m.Buckets))
	for i, b := range m.Buckets {
		words[i] = strconv.FormatFloat(b, 'g', 3, 64)
		if b >= 1000 {
			words[i] = strconv.FormatFloat(b, 'f', -1, 64)
		}
	}
	return strings.Join(words, " ")
}
