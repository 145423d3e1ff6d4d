package bench

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
)

// Verdict is what a comparison says of one figure.
type Verdict string

// The verdicts, on B against A.
const (
	Faster     Verdict = "faster"
	Slower     Verdict = "slower"
	CannotTell Verdict = "cannot tell"
)

// Bounds of a comparison.
const (
	// leastRounds of each side: with three of each even the clearest order comes by
	// chance in one of ten comparisons.
	leastRounds = 4
	// alpha is how often at most a figure is judged that has not changed.
	alpha     = 0.05
	resamples = 4_000
)

// Comparison is what two reports of the same load say of each other.
type Comparison struct {
	A string `json:"a"`
	B string `json:"b"`
	// Again is A measured again; may be empty.
	Again string `json:"again,omitempty"`
	Rows  []Row  `json:"rows"`
	// Notes are what the reader has to know beside it.
	Notes []string `json:"notes,omitempty"`
}

// Row compares one figure.
type Row struct {
	Figure string `json:"figure"`
	// Unit is ms or /s.
	Unit string `json:"unit"`
	// A and B are the medians over the rounds; null: over the timeout.
	A Millis `json:"a"`
	B Millis `json:"b"`
	// Change is B/A − 1, between Low and High with 95 % confidence, by a bootstrap
	// over the rounds. All are 0 where there are too few rounds, or none.
	Change float64 `json:"change"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// P is how often chance alone makes a difference as clear (exact rank-sum test).
	P       float64 `json:"p"`
	Verdict Verdict `json:"verdict"`
	// Why is said with CannotTell.
	Why string `json:"why,omitempty"`
}

// MismatchError says that two reports are of different loads.
type MismatchError struct{ Differences []string }

func (e *MismatchError) Error() string {
	return "the two loads differ: " + strings.Join(e.Differences, "; ")
}

// figure is one that is compared. least is how many requests of a round it takes to
// mean anything; more is better only of rates.
type figure struct {
	name, unit string
	more       bool
	least      int
	of         func(f Figures) (float64, int)
}

func compared() []figure {
	var all []figure
	for _, t := range []struct {
		name string
		of   func(f Figures) *Quantiles
	}{
		{"time to first token", func(f Figures) *Quantiles { return f.FirstToken }},
		{"between tokens", func(f Figures) *Quantiles { return f.InterToken }},
		{"end to end", func(f Figures) *Quantiles { return f.EndToEnd }},
		{"wait in the queue", func(f Figures) *Quantiles { return f.QueueWait }},
	} {
		for _, q := range []struct {
			name  string
			least int
			of    func(*Quantiles) Millis
		}{{"p50", 5, p50}, {"p95", 40, p95}, {"p99", 200, p99}} {
			all = append(all, figure{t.name + " " + q.name, "ms", false, q.least, func(f Figures) (float64, int) {
				if found := t.of(f); found != nil {
					return float64(q.of(found)), found.N
				}
				return math.NaN(), 0
			}})
		}
	}
	return append(all,
		figure{"tokens", "/s", true, 1, func(f Figures) (float64, int) { return f.TokensPerSecond, f.Requests }},
		figure{"requests", "/s", true, 1, func(f Figures) (float64, int) { return f.RequestsPerSecond, f.Requests }})
}

// Compare compares B with A and, where again is not nil, with A measured again after
// B: then a figure is judged only if both say the same, so that a machine that got
// slower meanwhile is not taken for a slower B. Reports of different loads are a
// [*MismatchError], unless anyway.
func Compare(a, b, again *Report, anyway bool) (Comparison, error) {
	differences := a.differences(b)
	if again != nil {
		differences = append(differences, a.differences(again)...)
	}
	if len(differences) > 0 && !anyway {
		return Comparison{}, &MismatchError{differences}
	}
	c := Comparison{A: a.name(), B: b.name()}
	if again != nil {
		c.Again = again.name()
	}
	for _, d := range differences {
		c.Notes = append(c.Notes, "not the same: "+d)
	}
	if a.Machine.String() != b.Machine.String() {
		c.Notes = append(c.Notes, "other machines: "+a.Machine.String()+" and "+b.Machine.String())
	}
	c.Notes = append(c.Notes, a.notes("A")...)
	c.Notes = append(c.Notes, b.notes("B")...)
	if again != nil {
		c.Notes = append(c.Notes, again.notes("A again")...)
	}
	for _, f := range compared() {
		row, ok := compareFigure(f, a, b)
		if ok && again != nil {
			row = row.confirmed(compareFigure(f, again, b))
		}
		if ok {
			c.Rows = append(c.Rows, row)
		}
	}
	return c, nil
}

// notes are what the reader has to know of a side.
func (r *Report) notes(side string) []string {
	var all []string
	if r.Interrupted {
		all = append(all, side+" was stopped before it was done")
	}
	if failed := r.All.Failed(); failed > 0 {
		all = append(all, fmt.Sprintf("%s: %d of %d requests were not answered in full", side, failed, r.All.Requests))
	}
	return all
}

// confirmed is the row where the second comparison says the same, else one that
// cannot tell.
func (r Row) confirmed(second Row, ok bool) Row {
	if r.Verdict == CannotTell || ok && second.Verdict == r.Verdict {
		return r
	}
	r.Verdict, r.Why = CannotTell, "A measured again does not say so"
	return r
}

func (r *Report) name() string {
	return fmt.Sprintf("semantic %s, %s UTC, load average before it: %s",
		r.Release, r.MadeAt.Format("2006-01-02 15:04"), known(r.Machine.LoadAverage))
}

// differences names what of the loads is not the same. The seeds and the number of
// rounds may differ: they are drawn and counted.
func (r *Report) differences(other *Report) []string {
	a, b := r.Load, other.Load
	var all []string
	for _, v := range []struct {
		name string
		a, b any
	}{
		{"scenario", a.Scenario, b.Scenario},
		{"prompts", a.Prompts, b.Prompts},
		{"rate", a.Rate, b.Rate},
		{"arrivals", a.Arrivals, b.Arrivals},
		{"concurrency", a.Concurrency, b.Concurrency},
		{"duration", a.Duration, b.Duration},
		{"warmup", a.WarmUp, b.WarmUp},
		{"timeout", a.Timeout, b.Timeout},
		{"max-tokens", a.MaxTokens, b.MaxTokens},
		{"words", a.Words, b.Words},
		{"class", a.Class, b.Class},
		{"model", r.Target.Model, other.Target.Model},
		{"by", r.Target.By, other.Target.By},
	} {
		if v.a != v.b {
			all = append(all, fmt.Sprintf("%s %v and %v", v.name, v.a, v.b))
		}
	}
	return all
}

// compareFigure is false where neither report has the figure.
func compareFigure(f figure, a, b *Report) (Row, bool) {
	x, fewX := valuesOf(f, a)
	y, fewY := valuesOf(f, b)
	if len(x) == 0 || len(y) == 0 {
		return Row{}, false
	}
	row := Row{Figure: f.name, Unit: f.unit, A: Millis(median(x)), B: Millis(median(y)), P: 1, Verdict: CannotTell}
	switch {
	case len(x) < leastRounds || len(y) < leastRounds:
		row.Why = fmt.Sprintf("%d and %d rounds; it takes %d each", len(x), len(y), leastRounds)
		return row, true
	case fewX || fewY:
		row.Why = fmt.Sprintf("rounds of less than %d samples", f.least)
		return row, true
	case math.IsInf(slices.Max(append(slices.Clone(x), y...)), 1):
		// How much it changed cannot be said; whether it did can.
		row.P, row.Why = rankSum(x, y), "over the timeout"
		if row.P <= alpha {
			row.Verdict = verdict(row.B < row.A)
		}
		return row, true
	case median(x) <= 0:
		row.Why = "it is 0"
		return row, true
	}
	row.Change = median(y)/median(x) - 1
	row.Low, row.High = bootstrap(x, y)
	row.P = rankSum(x, y)
	if apart := row.Low > 0 || row.High < 0; row.P > alpha || !apart {
		row.Why = "within the noise"
	} else {
		row.Verdict = verdict((row.Change > 0) == f.more)
	}
	return row, true
}

func verdict(better bool) Verdict {
	if better {
		return Faster
	}
	return Slower
}

// valuesOf is the figure of each round; few where one is of too few samples.
func valuesOf(f figure, r *Report) (values []float64, few bool) {
	for _, round := range r.Rounds {
		v, n := f.of(round.Figures)
		if math.IsNaN(v) {
			continue
		}
		few = few || n < f.least
		values = append(values, v)
	}
	return values, few
}

func median(values []float64) float64 { return medianOf(slices.Clone(values)) }

// medianOf sorts the values.
func medianOf(sorted []float64) float64 {
	slices.Sort(sorted)
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// bootstrap is the middle 95 % of the change of the median, over rounds drawn again
// with replacement. The draw is always the same.
func bootstrap(x, y []float64) (low, high float64) {
	source := rand.New(rand.NewPCG(1, 2))
	draw := func(from, into []float64) float64 {
		for i := range into {
			into[i] = from[source.IntN(len(from))]
		}
		return medianOf(into)
	}
	changes := make([]float64, 0, resamples)
	drawnX, drawnY := make([]float64, len(x)), make([]float64, len(y))
	for range resamples {
		if base := draw(x, drawnX); base > 0 {
			changes = append(changes, draw(y, drawnY)/base-1)
		}
	}
	slices.Sort(changes)
	return changes[nearest(len(changes), 0.025)], changes[nearest(len(changes), 0.975)]
}

// rankSum is the exact two-sided p of the rank-sum test: the share of all ways to
// deal the ranks to the two sides whose sum is at least as far from its mean. Equal
// values share their ranks.
func rankSum(x, y []float64) float64 {
	ranks, seen := doubledRanks(x, y)
	n, total := len(x), 0
	for _, r := range ranks {
		total += r
	}
	// ways[k][s] is in how many ways k of the ranks sum to s.
	ways := make([][]float64, n+1)
	for k := range ways {
		ways[k] = make([]float64, total+1)
	}
	ways[0][0] = 1
	for _, r := range ranks {
		for k := n; k >= 1; k-- {
			for s := total; s >= r; s-- {
				ways[k][s] += ways[k-1][s-r]
			}
		}
	}
	mean := float64(total) * float64(n) / float64(len(ranks))
	far, all := 0.0, 0.0
	for s, w := range ways[n] {
		all += w
		if math.Abs(float64(s)-mean) >= math.Abs(float64(seen)-mean)-1e-9 {
			far += w
		}
	}
	return far / all
}

// doubledRanks are the ranks of all values, twice so that shared ones are whole, and
// the sum of those of x.
func doubledRanks(x, y []float64) (ranks []int, sum int) {
	all := slices.Sorted(slices.Values(append(slices.Clone(x), y...)))
	rankOf := func(v float64) int {
		first, _ := slices.BinarySearch(all, v)
		last := first
		for last < len(all) && all[last] == v {
			last++
		}
		return first + last + 1 // twice the mean of first+1 … last
	}
	for _, v := range all {
		ranks = append(ranks, rankOf(v))
	}
	for _, v := range x {
		sum += rankOf(v)
	}
	return ranks, sum
}

// Text is the comparison for a terminal.
func (c Comparison) Text() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "A: %s\nB: %s\n", c.A, c.B)
	if c.Again != "" {
		fmt.Fprintf(&b, "A again: %s\n", c.Again)
	}
	for _, note := range c.Notes {
		fmt.Fprintf(&b, "Note: %s\n", note)
	}
	fmt.Fprintf(&b, "\n%-24s %12s %12s %9s %20s %7s  %s\n", "", "A", "B", "change", "95 % interval", "p", "B is")
	for _, r := range c.Rows {
		value := cell
		if r.Unit != "ms" {
			value = func(m Millis) string { return digits(float64(m)) + " " + r.Unit }
		}
		fmt.Fprintf(&b, "%-24s %12s %12s", r.Figure, value(r.A), value(r.B))
		if r.Low == 0 && r.High == 0 {
			fmt.Fprintf(&b, " %9s %20s %7s", "", "", "")
		} else {
			fmt.Fprintf(&b, " %9s %20s %7.3f", percent(r.Change), percent(r.Low)+" … "+percent(r.High), r.P)
		}
		fmt.Fprintf(&b, "  %s", r.Verdict)
		if r.Why != "" {
			fmt.Fprintf(&b, " (%s)", r.Why)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\nMedians over the rounds. A figure that did not change is judged in at most %.0f of 100 comparisons; "+
		"of %d figures one may be.\n",
		alpha*100, len(c.Rows))
	return b.String()
}

func percent(v float64) string {
	if v > 9.995 {
		return fmt.Sprintf("× %.0f", v+1)
	}
	return fmt.Sprintf("%+.1f %%", v*100)
}
