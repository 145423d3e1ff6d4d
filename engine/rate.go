package engine

import (
	"sync"
	"time"
)

// rateSeconds is over how many seconds a rate is taken.
const rateSeconds = 10

// rate counts per second of the clock, for the last few.
type rate struct {
	mu     sync.Mutex
	second int64
	counts [rateSeconds]int
}

func (r *rate) add(now time.Time, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	r.counts[r.second%rateSeconds] += n
}

func (r *rate) value(now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance(now)
	sum := 0
	for _, n := range r.counts {
		sum += n
	}
	return float64(sum) / rateSeconds
}

func (r *rate) advance(now time.Time) {
	second := now.Unix()
	for r.second = max(r.second, second-rateSeconds); r.second < second; {
		r.second++
		r.counts[r.second%rateSeconds] = 0
	}
}
