package engine

import "math"

// penaltyTokens is how far RepeatPenalty looks back unless told: llama.cpp's
// default.
const penaltyTokens = 64

// adjusts reports whether logits have to be changed before they are sampled.
func (s *Sampling) adjusts() bool {
	return len(s.Bias) > 0 || s.repeats() || s.PresencePenalty != 0 || s.FrequencyPenalty != 0
}

func (s *Sampling) repeats() bool { return s.RepeatPenalty != 0 && s.RepeatPenalty != 1 }

// copyRow makes a row that may be changed.
func (s *sampler) copyRow(logits []float32) []float32 {
	s.row = append(s.row[:0], logits...)
	return s.row
}

// adjust adds the bias and then the penalties, which depend on the tokens
// behind a position and on nothing else, so that any position can be sampled
// again.
func (s *sampler) adjust(row []float32, opts *Sampling, tokens []Token, prompt int) {
	for _, b := range opts.Bias {
		row[b.Token] += b.Logit
	}
	if opts.repeats() {
		s.tally(len(row), tokens[len(tokens)-window(opts.PenaltyTokens, penaltyTokens, len(tokens)):])
		for _, t := range s.tallied {
			row[t] = repeated(row[t], float32(opts.RepeatPenalty))
		}
	}
	if opts.PresencePenalty != 0 || opts.FrequencyPenalty != 0 {
		generated := tokens[max(prompt, len(tokens)-window(opts.PenaltyTokens, len(tokens), len(tokens))):]
		s.tally(len(row), generated)
		for _, t := range s.tallied {
			row[t] -= float32(opts.PresencePenalty + opts.FrequencyPenalty*float64(s.counts[t]))
		}
	}
}

// window is how many of n tokens PenaltyTokens means.
func window(asked, otherwise, n int) int {
	switch asked {
	case 0:
		return min(otherwise, n)
	case -1:
		return n
	}
	return min(asked, n)
}

// repeated makes a logit less likely, on whichever side of 0 it is.
func repeated(logit, penalty float32) float32 {
	if logit > 0 {
		return logit / penalty
	}
	return logit * penalty
}

// tally counts tokens; tallied lists each once.
func (s *sampler) tally(vocabulary int, tokens []Token) {
	for _, t := range s.tallied {
		s.counts[t] = 0
	}
	s.tallied = s.tallied[:0]
	if len(s.counts) < vocabulary {
		s.counts = make([]int32, vocabulary)
	}
	for _, t := range tokens {
		if s.counts[t] == 0 {
			s.tallied = append(s.tallied, t)
		}
		s.counts[t]++
	}
}

// ban makes tokens impossible.
func ban(row []float32, tokens []Token) {
	for _, t := range tokens {
		row[t] = float32(math.Inf(-1))
	}
}

// only makes every token impossible that is not in a set of bits.
func only(row []float32, allowed []uint64) {
	for i := range row {
		if allowed[i/64]>>(i%64)&1 == 0 {
			row[i] = float32(math.Inf(-1))
		}
	}
}
