package bench

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
)

// Markdown is the summary as a page: name is that of the picture beside it, title
// its heading, repeat how to make it again.
func (s *Summary) Markdown(name, title, repeat string) []byte {
	var b bytes.Buffer
	last := s.Loads[len(s.Loads)-1]
	fmt.Fprintf(&b, "# %s\n\n", title)
	for _, sentence := range s.Verdict() {
		fmt.Fprintf(&b, "%s\n", sentence)
	}
	fmt.Fprintf(&b, "\n![latency and throughput by load](%s.svg)\n\n", filepath.Base(name))
	fmt.Fprintf(&b, "Fit is a load at which every request is answered, the 95th percentile of requests less their decode "+
		"(from the first to the last token) is at most %s, and that of the time between tokens at most %s.\n\n",
		millis(s.Limits.LessDecode), millis(s.Limits.InterToken))
	s.writeLatencies(&b)
	s.writeThroughput(&b)
	s.writeThresholds(&b)
	fmt.Fprintf(&b, "\n## How\n\nScenario %s, answers of %d to %d tokens. The load comes from the machine below. "+
		"A user asks again when he was answered; quantiles are exact (nearest rank), those between tokens within %.1f %%.\n\n",
		last.Load.Scenario, last.Load.MaxTokens-last.Load.MaxTokens/2, last.Load.MaxTokens, HistogramError*100)
	if repeat != "" {
		fmt.Fprintf(&b, "To repeat it: `%s`.\n\n", repeat)
	}
	fmt.Fprintf(&b, "- Machine: %s.\n- semantic %s.\n- Model %s", last.Machine, last.Release, last.Target.Model)
	for _, w := range last.Target.Workers {
		fmt.Fprintf(&b, "; a worker: %s", w)
	}
	b.WriteString(".\n")
	for _, r := range s.Loads {
		fmt.Fprintf(&b, "- %s: %s UTC, load average before it %s: `%s`\n",
			r.Load, r.MadeAt.Format("2006-01-02 15:04"), known(r.Machine.LoadAverage), r.Command())
	}
	return b.Bytes()
}

func known(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

func (s *Summary) writeLatencies(b *bytes.Buffer) {
	for _, t := range []struct {
		name string
		of   func(Figures) *Quantiles
	}{
		{"Time to first token", func(f Figures) *Quantiles { return f.FirstToken }},
		{"Between tokens", func(f Figures) *Quantiles { return f.InterToken }},
		{"Whole request", func(f Figures) *Quantiles { return f.EndToEnd }},
		{"Whole request less decode", func(f Figures) *Quantiles { return f.LessDecode }},
		{"Wait in the queue", func(f Figures) *Quantiles { return f.QueueWait }},
	} {
		fmt.Fprintf(b, "## %s\n\n| load | n | p50 | p90 | p95 | p99 | max |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n", t.name)
		for _, r := range s.Loads {
			if q := t.of(r.All); q != nil {
				fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s |\n", r.Load, q.N, q.P50, q.P90, q.P95, q.P99, q.Max)
			}
		}
		b.WriteByte('\n')
	}
}

func (s *Summary) writeThroughput(b *bytes.Buffer) {
	b.WriteString("## Throughput\n\n| load | counted | requests | errors | requests/s | tokens/s | prompt tokens cached | fit |\n" +
		"| --- | ---: | ---: | --- | ---: | ---: | ---: | --- |\n")
	for _, r := range s.Loads {
		f := r.All
		var errors []string
		for _, code := range codes(f.Errors) {
			errors = append(errors, fmt.Sprintf("%d `%s`", f.Errors[code], code))
		}
		if len(errors) == 0 {
			errors = []string{"none"}
		}
		cached, fit := "–", "yes"
		if f.PromptTokens > 0 {
			cached = fmt.Sprintf("%d %%", f.CachedTokens*100/f.PromptTokens)
		}
		if len(s.breaks(r)) > 0 {
			fit = "no"
		}
		fmt.Fprintf(b, "| %s | %s s | %d | %s | %s | %s | %s | %s |\n", r.Load, short(f.Seconds), f.Requests, strings.Join(errors, ", "),
			digits(f.RequestsPerSecond), digits(f.TokensPerSecond), cached, fit)
	}
}

func (s *Summary) writeThresholds(b *bytes.Buffer) {
	t, err := s.Thresholds()
	if err != nil {
		return
	}
	fmt.Fprintf(b, "\n## Alarms\n\nFrom the largest fit load (%s): the 95th percentile there × %s, rounded up to two digits.\n\n"+
		"| 95th percentile of | measured | alarm above |\n| --- | ---: | ---: |\n", t.Load, short(t.Factor))
	names := make([]string, 0, len(t.Thresholds))
	for name := range t.Thresholds {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		one := t.Thresholds[name]
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, Millis(one.MeasuredP95*1000), Millis(one.Alert*1000))
	}
}

// SVG is a picture of latencies and throughput by load.
func (s *Summary) SVG() []byte {
	latency, rate := panel{title: "Latency by load: 95th percentile, dashed: median"}, panel{title: "Throughput by load"}
	x := axis{label: "load (equal distances between the loads measured)", high: float64(len(s.Loads)) + 0.5, low: 0.5}
	for i, r := range s.Loads {
		x.ticks = append(x.ticks, tick{float64(i + 1), r.Load.String()})
	}
	var all []float64
	add := func(name, colour string, dashed bool, value func(Figures) Millis) {
		one := series{name: name, colour: colour, dashed: dashed}
		for i, r := range s.Loads {
			if v := float64(value(r.All)); v > 0 && !math.IsInf(v, 1) {
				one.x, one.y = append(one.x, float64(i+1)), append(one.y, v)
				all = append(all, v)
			}
		}
		if len(one.x) > 0 {
			latency.series = append(latency.series, one)
		}
	}
	for _, l := range []struct {
		name, colour string
		of           func(Figures) *Quantiles
	}{
		{"end to end", orange, func(f Figures) *Quantiles { return f.EndToEnd }},
		{"first token", blue, func(f Figures) *Quantiles { return f.FirstToken }},
		{"wait in the queue", purple, func(f Figures) *Quantiles { return f.QueueWait }},
		{"between tokens", green, func(f Figures) *Quantiles { return f.InterToken }},
	} {
		at := func(which func(*Quantiles) Millis) func(Figures) Millis {
			return func(f Figures) Millis {
				if q := l.of(f); q != nil {
					return which(q)
				}
				return 0
			}
		}
		add(l.name+" p95", l.colour, false, at(p95))
		add(l.name+" p50", l.colour, true, at(p50))
	}
	latency.x, latency.y = x, logAxis("time (log scale)", all...)
	tokens := series{name: "tokens/s", colour: blue}
	most := 0.0
	for i, r := range s.Loads {
		tokens.x, tokens.y = append(tokens.x, float64(i+1)), append(tokens.y, r.All.TokensPerSecond)
		most = max(most, r.All.TokensPerSecond)
	}
	rate.x, rate.y, rate.series = x, linearAxis("tokens a second", most), []series{tokens}
	last := s.Loads[len(s.Loads)-1]
	return picture("semantic bench: by load", last.Target.Model+", "+string(last.Load.Scenario)+" · "+last.Machine.String(), latency, rate)
}
