package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// anomalies are metrics that stay zero whatever is done to the processes: those of
// every process, and those of the gateways, which look after the queue as a whole.
func anomalies(gateway bool) []string {
	names := []string{"semantic_queue_junk_events_total", "semantic_queue_replies_refused_total"}
	if gateway {
		names = append(names, "semantic_queue_anomalies_total")
	}
	return names
}

// checkMetrics asks every process, as it is at the end, for its anomalies. One that
// was started again at the end of the faults may still be starting.
func (f *fleet) checkMetrics() {
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	for i, m := range append(slices.Clone(f.gateways), f.workers...) {
		if _, err := m.info(ctx); err != nil {
			f.book.fail("before its metrics were asked for: %v", err)
			continue
		}
		text, err := f.metrics(m)
		if err != nil {
			f.book.fail("metrics of %s: %v", m.name, err)
			continue
		}
		defer func() { _ = text.Close() }()
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(text)
		if err != nil {
			f.book.fail("metrics of %s: %v", m.name, err)
			continue
		}
		for _, name := range anomalies(i < len(f.gateways)) {
			family := families[name]
			if family == nil {
				f.book.fail("%s has no metric %s", m.name, name)
				continue
			}
			for _, value := range family.GetMetric() {
				if n := value.GetCounter().GetValue() + value.GetGauge().GetValue(); n != 0 {
					f.book.fail("%s: %s is %v", m.name, name, n)
				}
			}
		}
	}
}

// metrics is the page of the process as it is now: its last line about it says
// where that is.
func (f *fleet) metrics(m *member) (io.ReadCloser, error) {
	url := ""
	err := m.lines(func(line map[string]any) {
		switch line["msg"] {
		case "serving metrics":
			url, _ = line["url"].(string)
		case "gateway listening":
			url, _ = line["url"].(string)
			url += "/metrics"
		}
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	if len(f.keys) > 0 {
		request.Header.Set("Authorization", "Bearer "+f.keys[0].key)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// lines visits the JSON lines of a process's log.
func (p *process) lines(visit func(map[string]any)) error {
	log, err := os.Open(p.logPath)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var fields map[string]any
		if json.Unmarshal(lines.Bytes(), &fields) == nil {
			visit(fields)
		}
	}
	return lines.Err()
}

// checkLogs looks for what no process may say, and counts errors.
func (f *fleet) checkLogs() {
	for _, p := range f.processes() {
		text, err := os.ReadFile(p.logPath)
		if err != nil {
			f.book.fail("log of %s: %v", p.name, err)
			continue
		}
		for _, bad := range []string{"\npanic: ", "\nfatal error: ", "DATA RACE"} {
			if at := strings.Index(string(text), bad); at >= 0 {
				f.book.fail("%s: %.2000s", p.name, text[at:])
			}
		}
		_ = p.lines(func(line map[string]any) {
			if line["level"] == "ERROR" {
				f.book.count("ERROR of a " + p.name[:strings.IndexByte(p.name+"-", '-')] + ": " + line["msg"].(string))
			}
		})
	}
}

func (f *fleet) processes() []*process {
	list := []*process{f.broker}
	for _, m := range append(slices.Clone(f.gateways), f.workers...) {
		list = append(list, m.process)
	}
	return list
}
