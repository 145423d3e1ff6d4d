package engine

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAdjust(t *testing.T) {
	inf := float32(math.Inf(1))
	zeroThenOnes := append([]Token{0}, slices.Repeat([]Token{1}, 64)...)
	for name, c := range map[string]struct {
		opts   Sampling
		tokens []Token
		prompt int
		want   []float32
	}{
		"bias":                             {Sampling{Bias: []Bias{{1, 3}, {2, -inf}}}, []Token{0}, 1, []float32{2, 4, -inf, -1}},
		"a token is repeated once or more": {Sampling{RepeatPenalty: 2}, []Token{0, 3, 0}, 3, []float32{1, 1, 0, -2}},
		"repetition looks 64 tokens back":  {Sampling{RepeatPenalty: 2}, zeroThenOnes, 1, []float32{2, 0.5, 0, -1}},
		"or as far as it is told":          {Sampling{RepeatPenalty: 2, PenaltyTokens: 1}, []Token{0, 1}, 1, []float32{2, 0.5, 0, -1}},
		"or over everything":               {Sampling{RepeatPenalty: 2, PenaltyTokens: -1}, zeroThenOnes, 1, []float32{1, 0.5, 0, -1}},
		"presence does not see the prompt": {Sampling{PresencePenalty: 1}, []Token{0, 1, 1}, 1, []float32{2, 0, 0, -1}},
		"frequency counts":                 {Sampling{FrequencyPenalty: 0.5}, []Token{0, 1, 1}, 1, []float32{2, 0, 0, -1}},
		"both, within a window": {
			Sampling{FrequencyPenalty: 0.5, PresencePenalty: 1, PenaltyTokens: 1}, []Token{1, 1, 2, 2}, 1, []float32{2, 1, -1.5, -1},
		},
		"a negative one encourages": {Sampling{FrequencyPenalty: -1}, []Token{0, 1, 1}, 1, []float32{2, 3, 0, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			logits := []float32{2, 1, 0, -1}
			var s sampler
			row := s.copyRow(logits)
			s.adjust(row, &c.opts, c.tokens, c.prompt)
			if !slices.Equal(row, c.want) {
				t.Errorf("%v, want %v", row, c.want)
			}
			if !slices.Equal(logits, []float32{2, 1, 0, -1}) {
				t.Error("the logits themselves were changed")
			}
			if !c.opts.adjusts() {
				t.Error("adjusts says that nothing changes")
			}
		})
	}
}

// A position is adjusted by the tokens before it and by nothing that the
// sampler did before.
func TestAdjustDependsOnTheTokensAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := rapid.Int32Range(0, 19)
		opts := Sampling{
			RepeatPenalty:    rapid.Float64Range(0.5, 2).Draw(t, "repeat"),
			PresencePenalty:  rapid.Float64Range(-2, 2).Draw(t, "presence"),
			FrequencyPenalty: rapid.Float64Range(-2, 2).Draw(t, "frequency"),
			PenaltyTokens:    rapid.IntRange(-1, 30).Draw(t, "window"),
		}
		logits := vocabularyLogits(20)
		var used sampler
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			tokens := rapid.SliceOfN(token, 1, 40).Draw(t, "tokens")
			prompt := rapid.IntRange(0, len(tokens)).Draw(t, "prompt")
			var fresh sampler
			a, b := used.copyRow(logits), fresh.copyRow(logits)
			used.adjust(a, &opts, tokens, prompt)
			fresh.adjust(b, &opts, tokens, prompt)
			if !slices.Equal(a, b) {
				t.Fatalf("%v, a new sampler gives %v", a, b)
			}
		}
	})
}

func TestLogprobs(t *testing.T) {
	logits := vocabularyLogits(1000)
	logits[7] = float32(math.Inf(-1))
	var s sampler
	got := s.logprob(logits, 42, len(logits))
	sum, mine := 0.0, float32(0)
	for i, top := range got.Top {
		sum += math.Exp(float64(top.Logprob))
		if top.Token == 42 {
			mine = top.Logprob
		}
		if i > 0 && top.Logprob > got.Top[i-1].Logprob {
			t.Fatal("the likeliest is not the first")
		}
	}
	if math.Abs(sum-1) > 1e-5 || mine != got.Logprob {
		t.Errorf("the probabilities sum to %v; token 42 has %v and %v", sum, mine, got.Logprob)
	}
	if few := s.logprob(logits, 42, 3); !slices.Equal(few.Top, got.Top[:3]) {
		t.Errorf("the likeliest 3 are %v, want %v", few.Top, got.Top[:3])
	}
	if none := s.logprob(logits, 7, 0); none.Top != nil || !math.IsInf(float64(none.Logprob), -1) {
		t.Errorf("an impossible token: %+v", none)
	}
}

func TestSamplingIsValidated(t *testing.T) {
	nan := math.NaN()
	for name, s := range map[string]Sampling{
		"temperature":      {Temperature: nan},
		"top p":            {TopP: nan},
		"min p":            {MinP: 1.5},
		"typical p":        {TypicalP: -0.1},
		"top k":            {TopK: -1},
		"repeat":           {RepeatPenalty: -1},
		"presence":         {PresencePenalty: nan},
		"frequency":        {FrequencyPenalty: math.Inf(1)},
		"window":           {PenaltyTokens: -2},
		"min tokens":       {MinTokens: -1},
		"bias is no token": {Bias: []Bias{{10, 1}}},
		"bias is nan":      {Bias: []Bias{{1, float32(nan)}}},
		"bias in disorder": {Bias: []Bias{{2, 1}, {1, 1}}},
		"bias twice":       {Bias: []Bias{{2, 1}, {2, 1}}},
	} {
		if err := s.validate(10); err == nil {
			t.Errorf("%s: %+v is accepted", name, s)
		}
	}
	good := Sampling{Temperature: 1, TypicalP: 1, RepeatPenalty: 1.1, PenaltyTokens: -1, Bias: []Bias{{1, float32(math.Inf(-1))}, {9, 100}}}
	if err := good.validate(10); err != nil {
		t.Error(err)
	}
}

func BenchmarkAdjustAndLogprob(b *testing.B) {
	logits := vocabularyLogits(49152)
	random := rand.New(rand.NewPCG(1, 2))
	tokens := make([]Token, 2000)
	for i := range tokens {
		tokens[i] = random.Int32N(49152)
	}
	var s sampler
	b.Run("penalties over 2000 tokens", func(b *testing.B) {
		opts := Sampling{RepeatPenalty: 1.1, FrequencyPenalty: 1}
		for range b.N {
			s.adjust(s.copyRow(logits), &opts, tokens, 0)
		}
	})
	b.Run("logprobs", func(b *testing.B) {
		for range b.N {
			s.logprob(logits, 1, 20)
		}
	})
}
