package engine

import "math"

// candidate is a token that may be drawn.
type candidate struct {
	logit float32
	token Token
}

// better orders candidates: likelier first, the lower id among equals.
func better(a, b candidate) bool {
	return a.logit > b.logit || a.logit == b.logit && a.token < b.token
}

func compare(a, b candidate) int {
	if better(a, b) {
		return -1
	}
	return 1
}

// sampler chooses tokens. It applies top_k, typical_p, top_p, min_p and then the
// temperature, in llama.cpp's order: all of them look at the probabilities
// before the temperature. It holds scratch space only, so one serves all
// sequences; it allocates nothing once that has grown to the vocabulary's size.
type sampler struct {
	kept  []candidate
	edge  []candidate
	exps  []float64
	count [nucleusBuckets]float64
	// row is a copy of a row of logits that may be changed; counts and tallied
	// are tally's.
	row     []float32
	counts  []int32
	tallied []Token
	// allowed is a set of tokens, as a grammar's mask.
	allowed []uint64
}

// sample returns the token for one position from logits that are adjusted
// already. ok is false when no logit is a number above -Inf.
func (s *sampler) sample(logits []float32, opts *Sampling, position int) (_ Token, ok bool) {
	best, ok := argmax(logits)
	if !ok || opts.Temperature == 0 || opts.TopK == 1 || math.IsInf(float64(logits[best]), 1) {
		return best, ok
	}
	top := logits[best]
	if opts.TopK > 0 && opts.TopK < len(logits) {
		s.keepTopK(logits, opts.TopK)
	} else {
		s.keepAll(logits, opts, top)
	}
	if within(opts.TypicalP) {
		s.keepTypical(opts.TypicalP, top)
		top = s.highest()
	}
	if within(opts.TopP) {
		s.keepTopP(opts.TopP, top)
	}
	if opts.MinP > 0 {
		s.keepMinP(opts.MinP, top)
	}
	return s.draw(opts.Temperature, top, uniform(opts.Seed, position)), true
}

// within reports whether a share of the probability leaves anything out.
func within(p float64) bool { return p > 0 && p < 1 }

// argmax returns the likeliest token, the lowest id among equals. NaN is never
// chosen.
func argmax(logits []float32) (_ Token, ok bool) {
	best, at := float32(math.Inf(-1)), -1
	for i, l := range logits {
		if l > best {
			best, at = l, i
		}
	}
	return Token(max(at, 0)), at >= 0
}

// draw takes one of the kept tokens, which are in order of their ids.
func (s *sampler) draw(temperature float64, top float32, u float64) Token {
	s.exps = s.exps[:0]
	total := 0.0
	for _, c := range s.kept {
		e := math.Exp(float64(c.logit-top) / temperature)
		s.exps = append(s.exps, e)
		total += e
	}
	rest := u * total
	last := 0
	for i, e := range s.exps {
		if e == 0 {
			continue
		}
		last = i
		if rest -= e; rest < 0 {
			break
		}
	}
	return s.kept[last].token
}

// uniform returns a number in [0, 1) that depends on the seed and the position
// alone: two rounds of the splitmix64 finaliser over a counter, so any position
// can be drawn without those before it.
func uniform(seed int64, position int) float64 {
	x := mix(uint64(seed) + 0x9e3779b97f4a7c15)
	x = mix(x + uint64(position+1)*0xd1342543de82ef95)
	return float64(x>>11) / (1 << 53)
}

// mix is the finaliser of splitmix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
