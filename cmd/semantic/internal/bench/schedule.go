package bench

import (
	"math/rand/v2"
	"time"
)

// random is a source of its own for each use and number, so that what is drawn
// for one request does not depend on which others were drawn before.
func random(seed, use, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, use<<48^number))
}

// The uses of random.
const (
	useArrivals = iota + 1
	usePrompt
	useShared
	useClass
	useLength
)

// arrivals returns a function that gives the times since the start of a round at
// which requests are due, in their order, one at each call and without end.
func arrivals(kind Arrivals, rate float64, seed uint64) func() time.Duration {
	source, n, at := random(seed, useArrivals, 0), 0, 0.0
	return func() time.Duration {
		switch kind {
		case ArrivalsConstant:
			at = float64(n) / rate
		case ArrivalsBurst:
			at = float64(n/BurstSize) * BurstSize / rate
		case ArrivalsPoisson:
			at += source.ExpFloat64() / rate
		}
		n++
		return time.Duration(at * float64(time.Second))
	}
}
