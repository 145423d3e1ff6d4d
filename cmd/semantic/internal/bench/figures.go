package bench

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// collection is every round together.
type collection struct {
	samples []sample
	seconds float64
	classes map[schemas.Class]*counted
}

func (a *collection) add(r *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a.samples = append(a.samples, r.samples...)
	a.seconds += r.until.Sub(r.from).Seconds()
	if a.classes == nil {
		a.classes = make(map[schemas.Class]*counted)
	}
	for class, of := range r.classes {
		to := a.classes[class]
		if to == nil {
			to = new(counted)
			a.classes[class] = to
		}
		to.tokens += of.tokens
		to.ended += of.ended
		to.cut += of.cut
		to.gaps.merge(&of.gaps)
	}
}

func (a *collection) into(report *Report, c Config) {
	report.All = a.figures(c)
	report.series = a.samples
	gaps := new(histogram)
	for _, of := range a.classes {
		gaps.merge(&of.gaps)
	}
	report.gaps = gaps
}

func (r *round) figures(c Config) Figures {
	var one collection
	one.add(r)
	return one.figures(c)
}

// figures are those of everything, and by class where there are several.
func (a *collection) figures(c Config) Figures {
	all := new(counted)
	for _, of := range a.classes {
		all.tokens += of.tokens
		all.ended += of.ended
		all.cut += of.cut
		all.gaps.merge(&of.gaps)
	}
	f := figuresOf(a.samples, all, a.seconds, c)
	if len(a.classes) < 2 {
		return f
	}
	f.Classes = make(map[schemas.Class]Figures)
	for class, of := range a.classes {
		var mine []sample
		for _, s := range a.samples {
			if s.class == class {
				mine = append(mine, s)
			}
		}
		f.Classes[class] = figuresOf(mine, of, a.seconds, c)
	}
	return f
}

func figuresOf(samples []sample, of *counted, seconds float64, c Config) Figures {
	f := Figures{Seconds: math.Round(seconds*1000) / 1000, Requests: len(samples), Cut: of.cut, InterToken: of.gaps.quantiles()}
	if seconds > 0 {
		f.TokensPerSecond = rounded(float64(of.tokens) / seconds)
		f.RequestsPerSecond = rounded(float64(of.ended) / seconds)
	}
	var first, end, less, wait, prefill, late []Millis
	for _, s := range samples {
		if c.Rate > 0 {
			late = append(late, millis(s.late))
		}
		switch s.result.Code {
		case "":
			f.OK++
			end = append(end, millis(s.endToEnd))
			less = append(less, millis(s.endToEnd-s.decode))
			if s.firstToken > 0 {
				first = append(first, millis(s.firstToken))
			}
		case CodeTimeout:
			end, less = append(end, Millis(math.Inf(1))), append(less, Millis(math.Inf(1)))
			if s.firstToken > 0 {
				first = append(first, millis(s.firstToken))
			} else {
				first = append(first, Millis(math.Inf(1)))
			}
			fallthrough
		default:
			if f.Errors == nil {
				f.Errors = make(map[string]int)
			}
			f.Errors[s.result.Code]++
		}
		if u := s.result.Usage; u != nil && s.result.Code == "" {
			f.PromptTokens += u.PromptTokens
			f.CachedTokens += u.CachedTokens
			f.CompletionTokens += u.CompletionTokens
		}
		if t := s.result.Timings; t != nil {
			wait, prefill = append(wait, Millis(t.QueuedMS)), append(prefill, Millis(t.PrefillMS))
		}
	}
	f.FirstToken, f.EndToEnd, f.LessDecode = QuantilesOf(first), QuantilesOf(end), QuantilesOf(less)
	f.QueueWait, f.Prefill, f.Late = QuantilesOf(wait), QuantilesOf(prefill), QuantilesOf(late)
	return f
}

func millis(d time.Duration) Millis { return Millis(float64(d) / float64(time.Millisecond)) }

// rounded keeps a thousandth.
func rounded(v float64) float64 { return math.Round(v*1000) / 1000 }

// requests are the samples as JSON lines, in the order in which they were due.
func (r *Report) requests() []byte {
	type line struct {
		Round      int           `json:"round"`
		Due        float64       `json:"due_ms"`
		Late       float64       `json:"late_ms"`
		Class      schemas.Class `json:"class,omitempty"`
		Agent      string        `json:"agent,omitempty"`
		Job        string        `json:"job,omitempty"`
		Code       string        `json:"code,omitempty"`
		FirstToken *Millis       `json:"time_to_first_token_ms,omitempty"`
		EndToEnd   Millis        `json:"end_to_end_ms"`
		QueueWait  *float64      `json:"queue_wait_ms,omitempty"`
		Prefill    *float64      `json:"prefill_ms,omitempty"`
		Prompt     int           `json:"prompt_tokens,omitempty"`
		Cached     int           `json:"cached_tokens,omitempty"`
		Completion int           `json:"completion_tokens,omitempty"`
	}
	samples := slices.Clone(r.series)
	slices.SortStableFunc(samples, func(a, b sample) int {
		if a.round != b.round {
			return a.round - b.round
		}
		return int(a.due - b.due)
	})
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	for _, s := range samples {
		l := line{
			Round: s.round, Due: rounded(float64(millis(s.due))), Late: rounded(float64(millis(s.late))), Class: s.class, Agent: s.agent,
			Job: s.result.Job, Code: s.result.Code, EndToEnd: millis(s.endToEnd),
		}
		if s.firstToken > 0 {
			first := millis(s.firstToken)
			l.FirstToken = &first
		}
		if t := s.result.Timings; t != nil {
			l.QueueWait, l.Prefill = &t.QueuedMS, &t.PrefillMS
		}
		if u := s.result.Usage; u != nil {
			l.Prompt, l.Cached, l.Completion = u.PromptTokens, u.CachedTokens, u.CompletionTokens
		}
		_ = out.Encode(l) // into memory, of plain values
	}
	return b.Bytes()
}

// codes are the codes of errors, the most frequent first.
func codes(errors map[string]int) []string {
	all := slices.Sorted(maps.Keys(errors))
	slices.SortStableFunc(all, func(a, b string) int { return errors[b] - errors[a] })
	return all
}
