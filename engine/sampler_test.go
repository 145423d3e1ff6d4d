package engine

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// oracle is the set of tokens that the samplers leave, by sorting everything.
func oracle(logits []float32, opts Sampling) (tokens []Token, weights []float64) {
	var all []candidate
	for i, l := range logits {
		if !math.IsInf(float64(l), -1) && l == l {
			all = append(all, candidate{l, Token(i)})
		}
	}
	slices.SortFunc(all, compare)
	if opts.TopK > 0 {
		all = all[:min(opts.TopK, len(all))]
	}
	probability := func(c candidate) float64 { return math.Exp(float64(c.logit - all[0].logit)) }
	if within(opts.TypicalP) && len(all) > 0 {
		all = typical(all, opts.TypicalP)
	}
	if opts.TopP > 0 && opts.TopP < 1 {
		total, sum := 0.0, 0.0
		for _, c := range all {
			total += probability(c)
		}
		for i, c := range all {
			if sum += probability(c); sum >= opts.TopP*total {
				all = all[:i+1]
				break
			}
		}
	}
	for _, c := range all {
		if opts.MinP > 0 && float64(c.logit) < float64(all[0].logit)+math.Log(opts.MinP) {
			break
		}
		tokens = append(tokens, c.token)
		weights = append(weights, math.Exp(float64(c.logit-all[0].logit)/opts.Temperature))
	}
	return tokens, weights
}

// typical is keepTypical by sorting everything; all is sorted.
func typical(all []candidate, p float64) []candidate {
	total, weighted := 0.0, 0.0
	logit := func(c candidate) float64 { return float64(c.logit - all[0].logit) }
	for _, c := range all {
		total += math.Exp(logit(c))
		weighted += math.Exp(logit(c)) * logit(c)
	}
	distance := func(c candidate) float64 { return math.Abs(weighted/total - logit(c)) }
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b candidate) int { return cmp.Compare(distance(a), distance(b)) })
	sum := 0.0
	for i, c := range sorted {
		if sum += math.Exp(logit(c)); sum > p*total {
			sorted = sorted[:i+1]
			break
		}
	}
	slices.SortFunc(sorted, compare)
	return sorted
}

func TestKeepsWhatSortingKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "logits"), 0))
		logits := make([]float32, rapid.IntRange(1, 400).Draw(t, "size"))
		spread := rapid.SampledFrom([]float64{0, 0.5, 4, 30}).Draw(t, "spread")
		for i := range logits {
			logits[i] = float32(random.NormFloat64() * spread)
			if random.IntN(10) == 0 {
				logits[i] = float32(math.Inf(-1))
			}
			if random.IntN(10) == 0 {
				logits[i] = logits[random.IntN(i+1)]
			}
		}
		opts := Sampling{
			Temperature: rapid.SampledFrom([]float64{0.1, 0.7, 1, 2}).Draw(t, "temperature"),
			TopK:        rapid.SampledFrom([]int{0, 2, 5, 40, 1000}).Draw(t, "top k"),
			TopP:        rapid.SampledFrom([]float64{0, 0.1, 0.5, 0.9, 0.999, 1}).Draw(t, "top p"),
			TypicalP:    rapid.SampledFrom([]float64{0, 0, 0.1, 0.5, 0.9, 1}).Draw(t, "typical p"),
			MinP:        rapid.SampledFrom([]float64{0, 0.05, 0.5, 1}).Draw(t, "min p"),
		}
		var s sampler
		_, ok := s.sample(logits, &opts, 0)
		want, _ := oracle(logits, opts)
		if ok != (len(want) > 0) {
			t.Fatalf("sampled %v from %d tokens", ok, len(want))
		}
		if !ok {
			return
		}
		var got []Token
		for _, c := range s.kept {
			got = append(got, c.token)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("kept %v, want %v, of %v with %+v", got, want, logits, opts)
		}
	})
}

// The tokens are drawn as often as they are likely: chi-square over fixed
// logits, with the critical value for one in a thousand.
func TestDrawsAreDistributed(t *testing.T) {
	logits := []float32{2, 1.5, 1, 0.5, 0, -0.5, -1, -1.5, -2, float32(math.Inf(-1))}
	for _, opts := range []Sampling{
		{Temperature: 1, Seed: 1}, {Temperature: 0.6, Seed: -2}, {Temperature: 1.5, TopK: 5, Seed: 3},
		{Temperature: 1, TopP: 0.8, Seed: 4}, {Temperature: 2, MinP: 0.1, Seed: 5},
		{Temperature: 1, TypicalP: 0.6, Seed: 6},
	} {
		const n = 20_000
		var s sampler
		counts := map[Token]int{}
		for position := range n {
			token, _ := s.sample(logits, &opts, position)
			counts[token]++
		}
		tokens, weights := oracle(logits, opts)
		total := 0.0
		for _, w := range weights {
			total += w
		}
		chi, seen := 0.0, 0
		for i, token := range tokens {
			want := weights[i] / total * n
			chi += (float64(counts[token]) - want) * (float64(counts[token]) - want) / want
			seen += counts[token]
		}
		// 26.1 is the value for 8 degrees of freedom; fewer have smaller ones.
		if chi > 26.1 || seen != n {
			t.Errorf("%+v: chi-square %.1f, %d of %d draws among the kept", opts, chi, seen, n)
		}
	}
}

func TestGreedy(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		opts   Sampling
		want   Token
		ok     bool
	}{
		{[]float32{1, 3, 3, 2}, Sampling{}, 1, true},
		{[]float32{nan, -5, nan}, Sampling{}, 1, true},
		{[]float32{1, 3, 3, 2}, Sampling{Temperature: 1, TopK: 1}, 1, true},
		{[]float32{1, inf, 3}, Sampling{Temperature: 1}, 1, true},
		{[]float32{nan, -inf}, Sampling{}, 0, false},
		{[]float32{nan, -inf}, Sampling{Temperature: 1}, 0, false},
		{nil, Sampling{}, 0, false},
	} {
		var s sampler
		if got, ok := s.sample(c.logits, &c.opts, 7); got != c.want || ok != c.ok {
			t.Errorf("%v %+v: %d %v, want %d %v", c.logits, c.opts, got, ok, c.want, c.ok)
		}
	}
}

func TestUniformDependsOnSeedAndPosition(t *testing.T) {
	seen := map[float64]bool{}
	for seed := range int64(100) {
		for position := range 100 {
			u := uniform(seed-50, position)
			if u < 0 || u >= 1 || seen[u] || u != uniform(seed-50, position) {
				t.Fatalf("seed %d, position %d: %v", seed-50, position, u)
			}
			seen[u] = true
		}
	}
}

func vocabularyLogits(n int) []float32 {
	random := rand.New(rand.NewPCG(1, 2))
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(random.NormFloat64() * 3)
	}
	return logits
}

func TestSamplingAllocatesNothing(t *testing.T) {
	logits := vocabularyLogits(5000)
	for _, opts := range samplings() {
		var s sampler
		s.sample(logits, &opts, 0)
		if n := testing.AllocsPerRun(200, func() { s.sample(logits, &opts, 1) }); n != 0 {
			t.Errorf("%+v: %v allocations", opts, n)
		}
	}
}

func samplings() map[string]Sampling {
	return map[string]Sampling{
		"greedy":  {},
		"top40":   {Temperature: 0.8, TopK: 40, TopP: 0.95, MinP: 0.05},
		"topp":    {Temperature: 1, TopP: 0.9},
		"typical": {Temperature: 1, TypicalP: 0.9},
		"minp":    {Temperature: 1, MinP: 0.05},
		"all":     {Temperature: 1},
	}
}

func BenchmarkSampler(b *testing.B) {
	logits := vocabularyLogits(49152)
	for name, opts := range samplings() {
		b.Run(name, func(b *testing.B) {
			var s sampler
			b.ReportAllocs()
			for i := range b.N {
				s.sample(logits, &opts, i)
			}
		})
	}
}
