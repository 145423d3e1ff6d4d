package bench

import (
	"fmt"
	"math"
	"slices"
)

// most points that a series of a plot has.
const plotPoints = 2000

// SVG is a picture of the report: latencies by percentile, and each request over
// time. A report that was read from a file has no single requests: its picture has
// the percentiles that are in it.
func (r *Report) SVG() []byte {
	panels := []panel{r.percentiles()}
	if len(r.series) > 0 {
		panels = append(panels, r.overTime())
	}
	subtitle := fmt.Sprintf("%s, %s, %d tokens at most · %s answered, %d failed · %s tokens/s",
		r.Target.Model, r.Load, r.Load.MaxTokens, plural(r.All.OK, "request"), r.All.Failed(), digits(r.All.TokensPerSecond))
	return picture("semantic bench: "+string(r.Load.Scenario), subtitle, panels...)
}

// curve is a latency by quantile.
type curve struct {
	name, colour string
	at           func(q float64) Millis
	n            int
}

// percentiles are the curves of all latencies.
func (r *Report) percentiles() panel {
	curves, to := r.curves(), 0.95
	for _, c := range curves {
		for _, q := range []float64{0.99, 0.999} {
			if float64(c.n)*(1-q) >= 1 {
				to = max(to, q)
			}
		}
	}
	p := panel{title: "Latency by percentile", x: percentAxis(to)}
	var all []float64
	for _, c := range curves {
		s := series{name: c.name, colour: c.colour}
		for i := range 201 {
			q := 1 - math.Pow(10, math.Log10(1-to)*float64(i)/200)
			if q < 0.01 || q > 1-1/float64(c.n+1) {
				continue // the least of many says little, and there is nothing beyond the most
			}
			v := float64(c.at(q))
			if math.IsInf(v, 1) {
				break // from here on over the timeout
			}
			s.x, s.y = append(s.x, q), append(s.y, max(v, 0.01))
			all = append(all, max(v, 0.01))
		}
		p.series = append(p.series, s)
	}
	p.y = logAxis("time (log scale)", all...)
	return p
}

func (r *Report) curves() []curve {
	var all []curve
	add := func(name, colour string, q *Quantiles, exact func(sample) Millis) {
		if q == nil {
			return
		}
		c := curve{name: name, colour: colour, n: q.N, at: q.between}
		if len(r.series) > 0 && exact != nil {
			var times []Millis
			for _, s := range r.series {
				if t := exact(s); t >= 0 {
					times = append(times, t)
				}
			}
			if len(times) > 0 {
				slices.Sort(times)
				c.at = func(q float64) Millis { return rank(times, q) }
			}
		}
		all = append(all, c)
	}
	over := Millis(math.Inf(1))
	add("end to end", orange, r.All.EndToEnd, func(s sample) Millis {
		switch s.result.Code {
		case "":
			return millis(s.endToEnd)
		case CodeTimeout:
			return over
		}
		return -1
	})
	add("time to first token", blue, r.All.FirstToken, func(s sample) Millis {
		switch {
		case s.result.Code != "" && s.result.Code != CodeTimeout:
			return -1
		case s.firstToken > 0:
			return millis(s.firstToken)
		case s.result.Code == CodeTimeout:
			return over
		}
		return -1
	})
	add("wait in the queue", purple, r.All.QueueWait, func(s sample) Millis {
		if s.result.Timings == nil {
			return -1
		}
		return Millis(s.result.Timings.QueuedMS)
	})
	add("between tokens", green, r.All.InterToken, nil)
	if r.gaps != nil && r.gaps.n > 0 {
		all[len(all)-1].at = r.gaps.quantile
	}
	return all
}

// between is a quantile of those that are known, on straight lines between them.
func (q *Quantiles) between(at float64) Millis {
	x := []float64{0.5, 0.9, 0.95, 0.99}
	y := []Millis{q.P50, q.P90, q.P95, q.P99}
	for i := range x {
		if at <= x[i] {
			if i == 0 {
				return y[0]
			}
			return y[i-1] + (y[i]-y[i-1])*Millis((at-x[i-1])/(x[i]-x[i-1]))
		}
	}
	return y[len(y)-1]
}

// overTime are the requests by when they were due, one round behind the other.
func (r *Report) overTime() panel {
	first := series{name: "time to first token", colour: blue, mark: 2.2}
	end := series{name: "end to end", colour: orange, mark: 2.2}
	failed := series{name: "failed or cut", colour: red, mark: 3}
	begins := make([]float64, len(r.Rounds)+1)
	for i, round := range r.Rounds {
		begins[i+1] = begins[i] + round.Seconds
	}
	stride := len(r.series)/plotPoints + 1
	var all []float64
	for i, s := range r.series {
		at := begins[min(s.round-1, len(r.Rounds))] + s.due.Seconds()
		if s.result.Code != "" {
			failed.x, failed.y = append(failed.x, at), append(failed.y, max(float64(millis(s.endToEnd)), 0.01))
			all = append(all, max(float64(millis(s.endToEnd)), 0.01))
			continue
		}
		if i%stride != 0 {
			continue
		}
		first.x, first.y = append(first.x, at), append(first.y, max(float64(millis(s.firstToken)), 0.01))
		end.x, end.y = append(end.x, at), append(end.y, max(float64(millis(s.endToEnd)), 0.01))
		all = append(all, first.y[len(first.y)-1], end.y[len(end.y)-1])
	}
	p := panel{
		title: "Each request, by the time when it was due", x: secondsAxis(begins[len(begins)-1]), y: logAxis("time (log scale)", all...),
		series: []series{end, first}, rules: begins[1 : len(begins)-1],
	}
	if len(p.rules) > 0 {
		p.title += "; grey lines: rounds"
	}
	if len(failed.x) > 0 {
		p.series = append(p.series, failed)
	}
	return p
}

func secondsAxis(to float64) axis {
	a := linearAxis("seconds of counted time", to)
	a.high = to
	for i, t := range a.ticks {
		if t.at > to*1.001 {
			a.ticks = a.ticks[:i]
			break
		}
	}
	return a
}
