package engine

import (
	"fmt"
	"math"
	"slices"
)

// validate refuses values outside their ranges, NaN included.
func (s Sampling) validate() error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0):
		return fmt.Errorf("%w: Temperature is %v, must be finite and not negative", ErrInvalid, s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("%w: TopK is %d, must not be negative", ErrInvalid, s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("%w: TopP is %v, must be in [0, 1]", ErrInvalid, s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("%w: MinP is %v, must be in [0, 1]", ErrInvalid, s.MinP)
	}
	return nil
}

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

// sampler chooses tokens. It applies top_k, top_p, min_p and then the
// temperature, in llama.cpp's order: top_p and min_p look at the probabilities
// before the temperature. It holds scratch space only, so one serves all
// sequences; it allocates nothing once that has grown to the vocabulary's size.
type sampler struct {
	kept  []candidate
	edge  []candidate
	exps  []float64
	count [nucleusBuckets]float64
}

// sample returns the token for one position. ok is false when no logit is a
// number above -Inf, which only a broken model gives.
func (s *sampler) sample(logits []float32, opts Sampling, position int) (_ Token, ok bool) {
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
	if opts.TopP > 0 && opts.TopP < 1 {
		s.keepTopP(opts.TopP, top)
	}
	if opts.MinP > 0 {
		s.keepMinP(opts.MinP, top)
	}
	return s.draw(opts.Temperature, top, uniform(opts.Seed, position)), true
}

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

// keepTopK keeps the k likeliest, in order of their ids: a heap of the k best so
// far, its worst on top, is asked about every token and rarely changes.
func (s *sampler) keepTopK(logits []float32, k int) {
	heap := s.kept[:0]
	for i, l := range logits {
		c := candidate{l, Token(i)}
		switch {
		case !(l > float32(math.Inf(-1))):
		case len(heap) < k:
			heap = append(heap, c)
			siftUp(heap)
		case better(c, heap[0]):
			heap[0] = c
			siftDown(heap)
		}
	}
	slices.SortFunc(heap, func(a, b candidate) int { return int(a.token - b.token) })
	s.kept = heap
}

func siftUp(heap []candidate) {
	for i := len(heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !better(heap[parent], heap[i]) {
			return
		}
		heap[parent], heap[i] = heap[i], heap[parent]
		i = parent
	}
}

func siftDown(heap []candidate) {
	for i := 0; ; {
		worst := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if better(heap[worst], heap[child]) {
				worst = child
			}
		}
		if worst == i {
			return
		}
		heap[i], heap[worst] = heap[worst], heap[i]
		i = worst
	}
}

// keepAll keeps every token, except those that min_p alone would drop anyway.
func (s *sampler) keepAll(logits []float32, opts Sampling, top float32) {
	floor := math.Inf(-1)
	if opts.MinP > 0 && !(opts.TopP > 0 && opts.TopP < 1) {
		floor = minLogit(opts.MinP, top)
	}
	s.kept = s.kept[:0]
	for i, l := range logits {
		if float64(l) >= floor && l > float32(math.Inf(-1)) {
			s.kept = append(s.kept, candidate{l, Token(i)})
		}
	}
}

// Buckets of the nucleus search: an eighth of a logit each. Everything that is
// e^-32 times as likely as the best is in the last one.
const (
	nucleusBuckets   = 256
	bucketsPerLogit  = 8
	lastBucket       = nucleusBuckets - 1
	lastBucketOffset = float32(lastBucket) / bucketsPerLogit
)

func bucket(logit, top float32) int {
	below := top - logit
	if below >= lastBucketOffset {
		return lastBucket
	}
	return int(below * bucketsPerLogit)
}

// keepTopP keeps the smallest set of likeliest tokens that has the probability
// p. The mass per bucket tells in which bucket the set ends; only that one is
// sorted.
func (s *sampler) keepTopP(p float64, top float32) {
	s.count = [nucleusBuckets]float64{}
	for _, c := range s.kept {
		s.count[bucket(c.logit, top)] += math.Exp(float64(c.logit - top))
	}
	total := 0.0
	for _, mass := range s.count {
		total += mass
	}
	want, sum, last := p*total, 0.0, 0
	for last < lastBucket && sum+s.count[last] < want {
		sum += s.count[last]
		last++
	}
	s.edge = s.edge[:0]
	for _, c := range s.kept {
		if bucket(c.logit, top) == last {
			s.edge = append(s.edge, c)
		}
	}
	slices.SortFunc(s.edge, compare)
	// The first token is always kept, so the loop ends at a candidate.
	var worst candidate
	for _, c := range s.edge {
		worst = c
		if sum += math.Exp(float64(c.logit - top)); sum >= want {
			break
		}
	}
	s.kept = slices.DeleteFunc(s.kept, func(c candidate) bool { return better(worst, c) })
}

func minLogit(p float64, top float32) float64 { return float64(top) + math.Log(p) }

func (s *sampler) keepMinP(p float64, top float32) {
	floor := minLogit(p, top)
	s.kept = slices.DeleteFunc(s.kept, func(c candidate) bool { return float64(c.logit) < floor })
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
