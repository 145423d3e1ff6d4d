package bench

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/semantic-worker/semantic/schemas"
)

// times are the rows of a table of latencies.
func (f Figures) times() []struct {
	Name string
	Q    *Quantiles
} {
	return []struct {
		Name string
		Q    *Quantiles
	}{
		{"time to first token", f.FirstToken},
		{"between tokens", f.InterToken},
		{"end to end", f.EndToEnd},
		{"end to end less decode", f.LessDecode},
		{"wait in the queue", f.QueueWait},
		{"claim to first token", f.Prefill},
		{"sent late by", f.Late},
	}
}

// Text is the report for a terminal.
func (r *Report) Text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, %s, %s by %s\n", r.Load.Scenario, r.Load, r.Target.Model, r.Target.By)
	if r.Interrupted {
		b.WriteString("Stopped before it was done.\n")
	}
	b.WriteString(r.All.counts() + "\n\n")
	fmt.Fprintf(&b, "%-24s %12s %12s %12s %12s %12s\n", "", "p50", "p90", "p95", "p99", "max")
	for _, t := range r.All.times() {
		if q := t.Q; q != nil {
			fmt.Fprintf(&b, "%-24s %12s %12s %12s %12s %12s\n", t.Name, cell(q.P50), cell(q.P90), cell(q.P95), cell(q.P99), cell(q.Max))
		}
	}
	return b.String()
}

func cell(m Millis) string {
	if s := m.String(); !strings.HasPrefix(s, "over") {
		return s
	}
	return "> timeout"
}

// counts say how many requests there were and what they yielded.
func (f Figures) counts() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s in %s s, %d answered", plural(f.Requests, "request"), strconv.FormatFloat(f.Seconds, 'f', -1, 64), f.OK)
	for _, code := range codes(f.Errors) {
		fmt.Fprintf(&b, ", %d %s", f.Errors[code], code)
	}
	if f.Cut > 0 {
		fmt.Fprintf(&b, ", %d more under way when it was stopped and in no figure", f.Cut)
	}
	fmt.Fprintf(&b, "; %s requests/s, %s tokens/s", digits(f.RequestsPerSecond), digits(f.TokensPerSecond))
	if f.PromptTokens > 0 {
		fmt.Fprintf(&b, "; %d %% of %d prompt tokens cached", f.CachedTokens*100/f.PromptTokens, f.PromptTokens)
	}
	return b.String()
}

// Markdown is the report as a page; name is that of the files beside it.
func (r *Report) Markdown(name string) []byte {
	var b bytes.Buffer
	base := filepath.Base(name)
	fmt.Fprintf(&b, "# Load: %s, %s\n\n", r.Load.Scenario, r.Load)
	if r.Interrupted {
		b.WriteString("**Stopped before it was done.**\n\n")
	}
	fmt.Fprintf(&b, "%s.\n\n![latency](%s.svg)\n\n", r.All.counts(), base)
	writeTimes(&b, r.All)
	if len(r.Rounds) > 1 {
		b.WriteString("\n## Rounds\n\n" +
			"| round | requests | failed | tokens/s | first token p50 | first token p95 | between tokens p50 | end to end p95 |\n" +
			"| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
		for i, round := range r.Rounds {
			fmt.Fprintf(&b, "| %d | %d | %d | %s | %s | %s | %s | %s |\n", i+1, round.Requests, round.Failed(), digits(round.TokensPerSecond),
				of(round.FirstToken, p50), of(round.FirstToken, p95), of(round.InterToken, p50), of(round.EndToEnd, p95))
		}
	}
	for _, class := range r.All.sortedClasses() {
		fmt.Fprintf(&b, "\n## Class %s\n\n%s.\n\n", shownClass(class), r.All.Classes[class].counts())
		writeTimes(&b, r.All.Classes[class])
	}
	if len(r.All.Errors) > 0 {
		b.WriteString("\n## Errors\n\n| code | requests |\n| --- | ---: |\n")
		for _, code := range codes(r.All.Errors) {
			fmt.Fprintf(&b, "| `%s` | %d |\n", code, r.All.Errors[code])
		}
	}
	b.WriteString("\n## How\n\n")
	r.writeHow(&b)
	if r.All.Errors[CodeTimeout] > 0 {
		b.WriteString("\nThe wait in the queue, and the time from the claim to the first token, are known of answered requests only: " +
			"those that were cut waited longer.\n")
	}
	fmt.Fprintf(&b, "\nQuantiles are exact (nearest rank), those between tokens within %.1f %%. "+
		"A request that took longer than the timeout (%s s) counts as longer than any other. Every request: `%s.requests.jsonl`.\n",
		HistogramError*100, short(r.Load.Timeout), base)
	return b.Bytes()
}

func writeTimes(b *bytes.Buffer, f Figures) {
	b.WriteString("| | n | p50 | p90 | p95 | p99 | max |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, t := range f.times() {
		if q := t.Q; q != nil {
			fmt.Fprintf(b, "| %s | %d | %s | %s | %s | %s | %s |\n", t.Name, q.N, q.P50, q.P90, q.P95, q.P99, q.Max)
		}
	}
}

// writeHow lists everything needed to judge and to repeat it.
func (r *Report) writeHow(b *bytes.Buffer) {
	fmt.Fprintf(b, "- %s UTC, by semantic %s.\n- Load from: %s", r.MadeAt.Format("2006-01-02 15:04"), r.Release, r.Machine)
	if r.Machine.LoadAverage != "" {
		fmt.Fprintf(b, "; load average before it: %s", r.Machine.LoadAverage)
	}
	fmt.Fprintf(b, ".\n- Model %s", r.Target.Model)
	for _, w := range r.Target.Workers {
		fmt.Fprintf(b, "; a worker: %s", w)
	}
	fmt.Fprintf(b, ".\n- `%s`\n", r.Command())
}

// String is the worker for people.
func (w ServedBy) String() string {
	s := w.Backend
	if w.Quantisation != "" {
		s += " " + w.Quantisation
	}
	return fmt.Sprintf("%s, %d at once, %d tokens each", s, w.Capacity, w.Context)
}

// Command repeats the load.
func (r *Report) Command() string {
	l := r.Load
	args := []string{"semantic bench"}
	add := func(flag string, value any) { args = append(args, fmt.Sprintf("--%s %v", flag, value)) }
	if l.Prompts != "" {
		add("prompts", l.Prompts)
	} else {
		add("scenario", l.Scenario)
	}
	if l.Rate > 0 {
		add("rate", l.Rate)
		add("arrivals", l.Arrivals)
	} else {
		add("concurrency", l.Concurrency)
	}
	add("warmup", short(l.WarmUp)+"s")
	add("duration", short(l.Duration)+"s")
	add("rounds", l.Rounds)
	add("timeout", short(l.Timeout)+"s")
	add("max-tokens", l.MaxTokens)
	if l.Words > 0 {
		add("words", l.Words)
	}
	if l.Class != "" {
		add("class", l.Class)
	}
	add("seed", l.Seed)
	return strings.Join(args, " ")
}

func (f Figures) sortedClasses() []schemas.Class {
	var all []schemas.Class
	for _, class := range append(schemas.Classes(), "") {
		if _, ok := f.Classes[class]; ok {
			all = append(all, class)
		}
	}
	return all
}

func shownClass(c schemas.Class) string {
	if c == "" {
		return "not named"
	}
	return string(c)
}

// The quantiles of a table's columns.
func p50(q *Quantiles) Millis { return q.P50 }
func p95(q *Quantiles) Millis { return q.P95 }
func p99(q *Quantiles) Millis { return q.P99 }

// of is one of them, or a dash where there is none.
func of(q *Quantiles, which func(*Quantiles) Millis) string {
	if q == nil {
		return "–"
	}
	return which(q).String()
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
