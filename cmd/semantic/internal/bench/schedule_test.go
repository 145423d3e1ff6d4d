package bench

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestArrivals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]Arrivals{ArrivalsPoisson, ArrivalsConstant, ArrivalsBurst}).Draw(t, "kind")
		rate := rapid.Float64Range(0.01, 5000).Draw(t, "rate")
		seed := rapid.Uint64().Draw(t, "seed")
		next, again := arrivals(kind, rate, seed), arrivals(kind, rate, seed)
		const n = 4000
		last := time.Duration(0)
		for i := range n {
			at := next()
			if at != again() {
				t.Fatalf("request %d is due at another time with the same seed", i)
			}
			if at < last {
				t.Fatalf("request %d is due at %s, before the one ahead of it at %s", i, at, last)
			}
			if kind == ArrivalsBurst && i%BurstSize != 0 && at != last {
				t.Fatalf("request %d of a burst is due at %s, not at %s", i, at, last)
			}
			last = at
		}
		// Of n exponential times the sum is within 8 % of n/rate, but once in a million.
		if got := n / last.Seconds(); got < rate*0.92 || got > rate*1.08 {
			t.Fatalf("%v a second came, not %v", got, rate)
		}
	})
}

// Another seed is another draw, of times and of prompts.
func TestSeeds(t *testing.T) {
	one, two := arrivals(ArrivalsPoisson, 1, 1), arrivals(ArrivalsPoisson, 1, 2)
	if one() == two() {
		t.Error("two seeds give the same times")
	}
	a, _ := newSource(DefaultConfig(), 1, nil).next()
	b, _ := newSource(DefaultConfig(), 2, nil).next()
	if a.Messages[0].Content == b.Messages[0].Content {
		t.Error("two seeds give the same prompts")
	}
}
