package bench

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// reportOf has a round for each median of the time to first token.
func reportOf(medians ...float64) *Report {
	r := &Report{
		Format: Format, Release: "test", MadeAt: time.Unix(0, 0).UTC(), Load: loadOf(DefaultConfig(), ""),
		Target: Served{By: "http", Model: "m"},
	}
	for _, m := range medians {
		q := &Quantiles{N: 1000, P50: Millis(m), P95: Millis(m), P99: Millis(m)}
		r.Rounds = append(r.Rounds, Round{Figures: Figures{Requests: 1000, OK: 1000, FirstToken: q, TokensPerSecond: 1000 / m}})
	}
	return r
}

// draw is the figures of some rounds of something that takes so long, with noise.
func draw(source *rand.Rand, rounds int, mean, noise float64) []float64 {
	all := make([]float64, rounds)
	for i := range all {
		all[i] = mean * math.Exp(noise*source.NormFloat64())
	}
	return all
}

func verdictOf(t *testing.T, a, b *Report, figure string) Row {
	t.Helper()
	c, err := Compare(a, b, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range c.Rows {
		if row.Figure == figure {
			return row
		}
	}
	t.Fatalf("nothing is said of %s", figure)
	return Row{}
}

// What has not changed is rarely judged, whatever the noise; what has is judged the
// right way round.
func TestCompareHonest(t *testing.T) {
	source := rand.New(rand.NewPCG(7, 7))
	const draws = 100
	for _, c := range []struct {
		rounds              int
		noise, change       float64
		leastTold, mostTold int
	}{
		{4, 0.3, 1, 0, 12}, // at 5 of 100 more than 12 are told once in 600 runs, but the draw is always the same
		{6, 0.1, 1, 0, 12},
		{10, 0.02, 1, 0, 12},
		{4, 0.02, 1.2, 97, draws},
		{6, 0.05, 0.8, 95, draws},
		{10, 0.05, 1.02, 0, draws / 2},
	} {
		told, wrongly := 0, 0
		for range draws {
			a, b := reportOf(draw(source, c.rounds, 100, c.noise)...), reportOf(draw(source, c.rounds, 100*c.change, c.noise)...)
			row, _ := compareFigure(compared()[0], a, b)
			if row.Verdict != CannotTell {
				told++
			}
			if c.change != 1 && row.Verdict == verdict(c.change > 1) {
				wrongly++
			}
			if row.Low > row.Change || row.High < row.Change {
				t.Fatalf("%+v", row)
			}
		}
		if told < c.leastTold || told > c.mostTold || wrongly > 1 {
			t.Errorf("%+v: %d of %d judged, %d wrongly", c, told, draws, wrongly)
		}
	}
}

func TestCompare(t *testing.T) {
	slow, fast, few := reportOf(100, 101, 102, 103), reportOf(80, 81, 82, 83), reportOf(80, 81, 82)
	never := math.Inf(1)
	for _, c := range []struct {
		name   string
		a, b   *Report
		figure string
		want   Verdict
		why    string
	}{
		{"faster", slow, fast, "time to first token p95", Faster, ""},
		{"slower", fast, slow, "time to first token p95", Slower, ""},
		{"a rate", slow, fast, "tokens", Faster, ""},
		{"itself", slow, slow, "time to first token p50", CannotTell, "within the noise"},
		{"few rounds", slow, few, "time to first token p50", CannotTell, "4 and 3 rounds; it takes 4 each"},
		{"over the timeout", slow, reportOf(never, never, never, never), "time to first token p50", Slower, "over the timeout"},
		{
			"both over it", reportOf(never, never, never, never), reportOf(never, never, never, never), "time to first token p50",
			CannotTell, "over the timeout",
		},
		{"nothing", reportOf(0, 0, 0, 0), reportOf(0, 0, 0, 0), "time to first token p50", CannotTell, "it is 0"},
	} {
		if row := verdictOf(t, c.a, c.b, c.figure); row.Verdict != c.want || row.Why != c.why {
			t.Errorf("%s: %+v, want %s (%s)", c.name, row, c.want, c.why)
		}
	}
	small := reportOf(80, 81, 82, 83)
	small.Rounds[1].FirstToken.N = 30
	row := verdictOf(t, slow, small, "time to first token p95")
	if row.Verdict != CannotTell || row.Why != "rounds of less than 40 samples" {
		t.Errorf("few samples: %+v", row)
	}
	c, err := Compare(slow, fast, nil, false)
	text := c.Text()
	if err != nil || !strings.Contains(text, "-19.7 %") || !strings.Contains(text, "faster") || strings.Contains(text, "queue") {
		t.Errorf("%v:\n%s", err, text)
	}
}

// A machine that gets slower, or was slow for a while, is not taken for a slower B.
func TestCompareAgain(t *testing.T) {
	of := func(at float64) *Report { return reportOf(at, at+1, at+2, at+3) }
	for _, c := range []struct {
		a, b, again float64
		want        Verdict
	}{
		{100, 120, 101, Slower},
		{100, 80, 101, Faster},
		{100, 120, 140, CannotTell}, // it gets slower
		{100, 120, 120, CannotTell},
		{100, 100, 140, CannotTell},
	} {
		again := of(c.again)
		again.Machine = Machine{Processors: 2, LoadAverage: "3.10 1 1"}
		result, err := Compare(of(c.a), of(c.b), again, false)
		if err != nil || result.Rows[0].Verdict != c.want {
			t.Errorf("%v, %v, %v: %+v, %v", c.a, c.b, c.again, result.Rows[0], err)
		}
		if text := result.Text(); !strings.Contains(text, "A again: semantic test, 1970-01-01 00:00 UTC, load average before it: 3.10 1 1\n") {
			t.Errorf("%s", text)
		}
	}
	other := of(100)
	other.Load.Concurrency = 9
	if _, err := Compare(of(100), of(100), other, false); !errors.As(err, new(*MismatchError)) {
		t.Errorf("%v", err)
	}
}

// Two different loads are not compared, unless that is wanted.
func TestCompareDifferentLoads(t *testing.T) {
	a, b := reportOf(1, 1, 1, 1), reportOf(1, 1, 1, 1)
	b.Load.Concurrency, b.Target.Model, b.Load.Seed = 8, "n", 99
	mismatch := new(MismatchError)
	const want = "the two loads differ: concurrency 1 and 8; model m and n"
	if _, err := Compare(a, b, nil, false); !errors.As(err, &mismatch) || mismatch.Error() != want {
		t.Errorf("%v", err)
	}
	b.Interrupted, b.All.Requests, b.All.OK = true, 10, 8
	c, err := Compare(a, b, nil, true)
	if err != nil || len(c.Notes) != 4 {
		t.Errorf("%v, %q", err, c.Notes)
	}
}

// The exact test is the count over all ways to deal the values.
func TestRankSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Map(rapid.IntRange(0, 9), func(v int) float64 { return float64(v) })
		x, y := rapid.SliceOfN(value, 1, 5).Draw(t, "x"), rapid.SliceOfN(value, 1, 5).Draw(t, "y")
		ranks, seen := doubledRanks(x, y)
		total := 0
		for _, r := range ranks {
			total += r
		}
		mean := float64(total) * float64(len(x)) / float64(len(ranks))
		far, all := 0, 0
		for set := range 1 << len(ranks) {
			sum, n := 0, 0
			for i, r := range ranks {
				if set>>i&1 == 1 {
					sum, n = sum+r, n+1
				}
			}
			if n != len(x) {
				continue
			}
			all++
			if math.Abs(float64(sum)-mean) >= math.Abs(float64(seen)-mean)-1e-9 {
				far++
			}
		}
		want := float64(far) / float64(all)
		if got := rankSum(x, y); math.Abs(got-want) > 1e-9 {
			t.Fatalf("p of %v and %v is %v, want %v", x, y, got, want)
		}
		if got := rankSum(y, x); math.Abs(got-want) > 1e-9 {
			t.Fatalf("the other way round p is %v, want %v", got, want)
		}
	})
	if p := rankSum(make([]float64, mostRounds), make([]float64, mostRounds)); p != 1 {
		t.Errorf("p of what is equal is %v", p)
	}
}
