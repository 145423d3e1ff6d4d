package engine

import (
	"cmp"
	"math"
	"slices"
)

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
func (s *sampler) keepAll(logits []float32, opts *Sampling, top float32) {
	floor := math.Inf(-1)
	if opts.MinP > 0 && !within(opts.TopP) && !within(opts.TypicalP) {
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

// keepTypical keeps the tokens whose surprise (-log p) is nearest to the expected
// one, until their probability is above p (Meister et al., "Locally Typical
// Sampling", 2023). As in keepTopP only one bucket, of distances here, is sorted.
func (s *sampler) keepTypical(p float64, top float32) {
	total, weighted := 0.0, 0.0
	for _, c := range s.kept {
		x := float64(c.logit - top)
		e := math.Exp(x)
		total += e
		weighted += e * x
	}
	// The surprise of a token is log(total) - x, the expected one
	// log(total) - mean: they differ by mean - x.
	mean := weighted / total
	distance := func(c candidate) float64 { return math.Abs(mean - float64(c.logit-top)) }
	in := func(c candidate) int { return int(min(distance(c)*bucketsPerLogit, lastBucket)) }
	s.count = [nucleusBuckets]float64{}
	for _, c := range s.kept {
		s.count[in(c)] += math.Exp(float64(c.logit - top))
	}
	want, sum, last := p*total, 0.0, 0
	for last < lastBucket && sum+s.count[last] <= want {
		sum += s.count[last]
		last++
	}
	s.edge = s.edge[:0]
	for _, c := range s.kept {
		if in(c) == last {
			s.edge = append(s.edge, c)
		}
	}
	nearer := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(distance(a), distance(b)), cmp.Compare(a.token, b.token))
	}
	slices.SortFunc(s.edge, nearer)
	var farthest candidate
	for _, c := range s.edge {
		farthest = c
		if sum += math.Exp(float64(c.logit - top)); sum > want {
			break
		}
	}
	s.kept = slices.DeleteFunc(s.kept, func(c candidate) bool {
		return in(c) > last || in(c) == last && nearer(c, farthest) > 0
	})
}

// highest is the likeliest kept logit.
func (s *sampler) highest() float32 {
	top := s.kept[0].logit
	for _, c := range s.kept {
		top = max(top, c.logit)
	}
	return top
}

func minLogit(p float64, top float32) float64 { return float64(top) + math.Log(p) }

func (s *sampler) keepMinP(p float64, top float32) {
	floor := minLogit(p, top)
	s.kept = slices.DeleteFunc(s.kept, func(c candidate) bool { return float64(c.logit) < floor })
}
