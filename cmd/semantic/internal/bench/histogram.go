package bench

import (
	"math"
	"math/bits"
	"time"
)

// The histogram's buckets: 128 to each doubling, exact below 256 µs/256.
const (
	subBits = 7
	subs    = 1 << subBits
)

// HistogramError is the most by which a quantile of a histogram is off, as a share
// of it: half a bucket. Below it come 0.5 µs.
const HistogramError = 1.0 / (2 * subs)

// histogram counts times in buckets of a relative width, to the microsecond. The
// zero value is empty.
type histogram struct {
	counts []int64
	n      int64
	sum    float64 // in µs
	most   int64   // in µs
}

func (h *histogram) add(d time.Duration) {
	us := max(d.Microseconds(), 0)
	i := bucket(us)
	if i >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, i+1-len(h.counts))...)
	}
	h.counts[i]++
	h.n++
	h.sum += float64(us)
	h.most = max(h.most, us)
}

func (h *histogram) merge(other *histogram) {
	if len(other.counts) > len(h.counts) {
		h.counts = append(h.counts, make([]int64, len(other.counts)-len(h.counts))...)
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.n += other.n
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// bucket is the place of a time: itself below 2·subs, then subs of them to each
// doubling.
func bucket(us int64) int {
	if us < 2*subs {
		return int(us)
	}
	shift := bits.Len64(uint64(us)) - 1 - subBits
	return shift*subs + int(us>>shift)
}

// middle is the middle of a bucket, in µs.
func middle(i int) float64 {
	if i < 2*subs {
		return float64(i)
	}
	shift := i/subs - 1
	low := int64(i-shift*subs) << shift
	return float64(low) + float64(int64(1)<<shift-1)/2
}

func (h *histogram) quantile(q float64) Millis {
	want := int64(nearest(int(min(h.n, math.MaxInt)), q)) + 1
	for i, n := range h.counts {
		if want -= n; want <= 0 {
			return Millis(min(middle(i), float64(h.most)) / 1000)
		}
	}
	return Millis(float64(h.most) / 1000)
}

// quantiles describe it; nil if it is empty.
func (h *histogram) quantiles() *Quantiles {
	if h.n == 0 {
		return nil
	}
	return &Quantiles{
		N: int(h.n), Mean: Millis(h.sum / float64(h.n) / 1000), P50: h.quantile(0.5), P90: h.quantile(0.9), P95: h.quantile(0.95),
		P99: h.quantile(0.99), Max: Millis(float64(h.most) / 1000),
	}
}
