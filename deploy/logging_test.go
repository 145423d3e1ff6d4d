package deploy_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// document reads one of logging's configurations.
func document(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("logging/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if strings.HasSuffix(name, ".json") {
		err = json.Unmarshal(text, &d)
	} else {
		err = yaml.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// at is what a document has at a path of keys.
func at(t *testing.T, value any, path ...string) any {
	t.Helper()
	for i, key := range path {
		mapping, _ := value.(map[string]any)
		var ok bool
		if value, ok = mapping[key]; !ok {
			t.Fatalf("nothing at %v", path[:i+1])
		}
	}
	return value
}

// The configurations that ship the logs can be read, their parts know each other,
// and the stores behind them keep logs for the 30 days that the policy says. The
// programs themselves have more to say; they are not here to be asked.
func TestLoggingConfigurations(t *testing.T) {
	vector := document(t, "vector.yaml")
	parts := make(map[string]bool)
	for _, kind := range []string{"sources", "transforms", "sinks"} {
		section, _ := vector[kind].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(section)) {
			if kind != "sources" {
				for _, input := range at(t, section[name], "inputs").([]any) {
					if !parts[input.(string)] {
						t.Errorf("vector: %s reads from %v, which is none before it", name, input)
					}
				}
			}
			parts[name] = true
		}
	}
	if !parts["semantic"] || !parts["lines"] || !parts["remote"] {
		t.Errorf("vector has %v", parts)
	}

	collector := document(t, "otelcol.yaml")
	for _, kind := range []string{"receivers", "processors", "exporters"} {
		for _, name := range at(t, collector, "service", "pipelines", "logs", kind).([]any) {
			at(t, collector, kind, name.(string))
		}
	}
	for _, name := range at(t, collector, "service", "extensions").([]any) {
		at(t, collector, "extensions", name.(string))
	}
	operators := at(t, collector, "receivers", "filelog", "operators").([]any)
	layout := at(t, operators[0], "timestamp", "layout").(string)
	const written = "2026-11-28T02:00:58.283913891Z" // by slog
	if _, err := time.Parse(layout, written); err != nil {
		t.Error(err)
	}

	if period := at(t, document(t, "loki.yaml"), "limits_config", "retention_period"); period != "720h" {
		t.Errorf("loki keeps logs for %v", period)
	}
	rule := at(t, document(t, "s3-lifecycle.json"), "Rules").([]any)[0]
	prefix := at(t, rule, "Filter", "Prefix").(string)
	if days := at(t, rule, "Expiration", "Days"); days != 30.0 {
		t.Errorf("the bucket keeps logs for %v days", days)
	}
	if key := at(t, vector, "sinks", "remote", "key_prefix").(string); !strings.HasPrefix(key, prefix) {
		t.Errorf("vector writes to %s, the rule is about %s", key, prefix)
	}
}

// The page about logs names every event, and no event or file that is none.
func TestLoggingPage(t *testing.T) {
	page, err := os.ReadFile("../docs/logging.md")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := os.ReadFile("../schemas/logkeys.go")
	if err != nil {
		t.Fatal(err)
	}
	events := make(map[string]bool)
	for _, m := range regexp.MustCompile(`LogEvent\w+\s*= "([a-z]+\.[a-z]+)"`).FindAllSubmatch(keys, -1) {
		events[string(m[1])] = true
		if !strings.Contains(string(page), "`"+string(m[1])+"`") {
			t.Errorf("docs/logging.md does not name the event %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z]+)`").FindAllSubmatch(page, -1) {
		if !events[string(m[1])] {
			t.Errorf("docs/logging.md names the event %s, which nothing logs", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`deploy/logging/[\w.-]+`).FindAllString(string(page), -1) {
		if _, err := os.Stat("../" + m); err != nil {
			t.Error(err)
		}
	}
}
