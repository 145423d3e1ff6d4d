package engine

import (
	"math"
	"slices"
)

// MaxTopLogprobs bounds Request.TopLogprobs.
const MaxTopLogprobs = 20

// TokenLogprob is the log probability of a generated token.
type TokenLogprob struct {
	Token   Token
	Logprob float32
	// Top are the likeliest tokens, the likeliest first.
	Top []TopToken
}

// TopToken is a token that could have been chosen, with its log probability.
type TopToken struct {
	Token   Token
	Logprob float32
}

// logprob returns what the model itself thought of a token: the logarithm of its
// probability under a softmax over the whole vocabulary.
func (s *sampler) logprob(logits []float32, token Token, top int) TokenLogprob {
	best, _ := argmax(logits)
	highest, sum := float64(logits[best]), 0.0
	for _, l := range logits {
		if x := float64(l) - highest; x > -math.MaxFloat64 { // not NaN, not -Inf
			sum += math.Exp(x)
		}
	}
	norm := highest + math.Log(sum)
	result := TokenLogprob{Token: token, Logprob: float32(float64(logits[token]) - norm)}
	if top == 0 {
		return result
	}
	s.keepTopK(logits, top)
	slices.SortFunc(s.kept, compare)
	result.Top = make([]TopToken, len(s.kept))
	for i, c := range s.kept {
		result.Top[i] = TopToken{c.token, float32(float64(c.logit) - norm)}
	}
	return result
}
