package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Limits say what is fit for production.
type Limits struct {
	// LessDecode is the most that the 95th percentile of a request less its decode
	// may be; InterToken that of the time between tokens. Positive.
	LessDecode, InterToken time.Duration
	// Factor is by how much an alarm's threshold is above what was measured; more
	// than 1.
	Factor float64
}

// DefaultLimits are 2 s, the bound of the alarm on slow requests; 250 ms, at which
// an answer still comes as fast as people read; and the factor 2.
func DefaultLimits() Limits {
	return Limits{LessDecode: 2 * time.Second, InterToken: 250 * time.Millisecond, Factor: 2}
}

// Validate returns a [*FieldError] for the first limit that is out of range.
func (l Limits) Validate() error {
	switch {
	case l.LessDecode <= 0:
		return wrong("less-decode", "%s is not more than 0", l.LessDecode)
	case l.InterToken <= 0:
		return wrong("inter-token", "%s is not more than 0", l.InterToken)
	case !(l.Factor > 1) || math.IsInf(l.Factor, 1): // nor is NaN
		return wrong("factor", "%v is not more than 1", l.Factor)
	}
	return nil
}

// Summary is several loads on the same thing.
type Summary struct {
	Limits Limits
	// Loads from the least to the most.
	Loads []*Report
	// Fit is the largest load up to which every one keeps to the limits; nil where not
	// even the least does.
	Fit *Report
	// Beyond is the first that does not; nil where all do.
	Beyond *Report
}

// Summarize sorts the loads and finds the largest that is fit. They must be of one
// scenario, model, longest answer and kind of loop: else a [*MismatchError].
func Summarize(reports []*Report, limits Limits) (*Summary, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	s := &Summary{Limits: limits, Loads: slices.Clone(reports)}
	first := reports[0]
	for _, r := range reports[1:] {
		var all []string
		for _, d := range first.differences(r) {
			switch name, _, _ := strings.Cut(d, " "); name {
			case "concurrency", "rate", "duration", "warmup", "timeout":
				if (first.Load.Rate > 0) == (r.Load.Rate > 0) {
					continue
				}
			}
			all = append(all, d)
		}
		if len(all) > 0 {
			return nil, &MismatchError{all}
		}
	}
	slices.SortStableFunc(s.Loads, func(a, b *Report) int { return cmp.Compare(a.Load.size(), b.Load.size()) })
	for _, r := range s.Loads {
		if len(s.breaks(r)) > 0 {
			s.Beyond = r
			break
		}
		s.Fit = r
	}
	return s, nil
}

// size orders loads.
func (l Load) size() float64 {
	if l.Rate > 0 {
		return l.Rate
	}
	return float64(l.Concurrency)
}

// broken is a limit that a load breaks, and how far: 1 is the limit.
type broken struct {
	what string
	by   float64
}

// breaks are the limits that the load breaks, the one that is broken by most first.
func (s *Summary) breaks(r *Report) []broken {
	var all []broken
	f := r.All
	if failed := f.Failed(); failed > 0 {
		all = append(all, broken{fmt.Sprintf("%d of %s not answered (%s)", failed, plural(f.Requests, "request"),
			strings.Join(codes(f.Errors), ", ")), math.Inf(1)})
	}
	for _, l := range []struct {
		name  string
		q     *Quantiles
		limit time.Duration
	}{{"requests less decode", f.LessDecode, s.Limits.LessDecode}, {"the time between tokens", f.InterToken, s.Limits.InterToken}} {
		if by := over(l.q, l.limit); by > 1 {
			all = append(all, broken{fmt.Sprintf("the 95th percentile of %s is %s; the limit is %s", l.name, l.q.P95, millis(l.limit)), by})
		}
	}
	slices.SortStableFunc(all, func(a, b broken) int { return cmp.Compare(b.by, a.by) })
	return all
}

// Verdict says in words what is fit and what gives way first.
func (s *Summary) Verdict() []string {
	var all []string
	if s.Fit != nil {
		f := s.Fit.All
		all = append(all, fmt.Sprintf("**Fit for production up to %s at once**: every request answered, "+
			"half of the first tokens within %s and 95 of 100 within %s, %s between tokens (p95 %s), %s tokens/s in all.",
			s.Fit.Load, of(f.FirstToken, p50), of(f.FirstToken, p95), of(f.InterToken, p50), of(f.InterToken, p95), digits(f.TokensPerSecond)))
	} else {
		all = append(all, fmt.Sprintf("**Not fit for production at any load measured**, the least of which is %s.", s.Loads[0].Load))
	}
	if s.Beyond == nil {
		return append(all, "Nothing gave way at the loads measured: the limit is beyond them.")
	}
	f := s.Beyond.All
	var what []string
	for _, b := range s.breaks(s.Beyond) {
		what = append(what, b.what)
	}
	all = append(all, fmt.Sprintf("**What gives way first**: at %s %s.", s.Beyond.Load, strings.Join(what, "; and ")))
	all = append(all, s.because(f)...)
	return all
}

// because says where the time goes at the first load that is not fit.
func (s *Summary) because(f Figures) []string {
	var all []string
	first, wait, prefill := f.FirstToken, f.QueueWait, f.Prefill
	if over(f.LessDecode, s.Limits.LessDecode) > 1 && wait != nil && prefill != nil && first != nil && !math.IsInf(float64(first.Mean), 1) {
		share := func(q *Quantiles) float64 { return min(float64(q.Mean/max(first.Mean, 1e-3)), 1) * 100 }
		all = append(all, fmt.Sprintf("Of the mean time to first token there, %s, the wait in the queue for a place is %s (%.0f %%), "+
			"and the time from there, in which prompts are read, %s (%.0f %%).",
			first.Mean, wait.Mean, share(wait), prefill.Mean, share(prefill)))
	}
	if over(f.InterToken, s.Limits.InterToken) > 1 && s.Fit != nil {
		all = append(all, fmt.Sprintf("Half of the tokens come within %s of the one before, and 95 of 100 within %s; at %s it is %s and %s.",
			of(f.InterToken, p50), of(f.InterToken, p95), s.Fit.Load, of(s.Fit.All.InterToken, p50), of(s.Fit.All.InterToken, p95)))
	}
	places := 0
	for _, w := range s.Beyond.Target.Workers {
		places += w.Capacity
	}
	if places > 0 {
		all = append(all, fmt.Sprintf("The workers run %s at once.", plural(places, "request")))
	}
	if s.Fit != nil && s.Fit.All.TokensPerSecond > 0 {
		all = append(all, fmt.Sprintf("Tokens a second go from %s to %s.", digits(s.Fit.All.TokensPerSecond), digits(f.TokensPerSecond)))
	}
	if last := s.Loads[len(s.Loads)-1]; last != s.Beyond && last.All.Failed() == 0 {
		all = append(all, fmt.Sprintf("Heavier loads are answered later, not lost: at %s all of %s were answered, half of them within %s.",
			last.Load, plural(last.All.Requests, "request"), of(last.All.EndToEnd, p50)))
	}
	return all
}

// over is the 95th percentile as a multiple of its limit; 0 where there is none.
func over(q *Quantiles, limit time.Duration) float64 {
	if q == nil {
		return 0
	}
	return float64(q.P95 / millis(limit))
}
