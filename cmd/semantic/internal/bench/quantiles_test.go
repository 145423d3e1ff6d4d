package bench

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A quantile by nearest rank is a sample that at least the share q does not exceed,
// and less than q is below.
func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 50), func(v int) Millis { return Millis(v) }), 1, 400).Draw(t, "times")
		q := QuantilesOf(times)
		for _, c := range []struct {
			share float64
			value Millis
		}{{0.5, q.P50}, {0.9, q.P90}, {0.95, q.P95}, {0.99, q.P99}, {1, q.Max}} {
			below, upTo := 0, 0
			for _, v := range times {
				if v < c.value {
					below++
				}
				if v <= c.value {
					upTo++
				}
			}
			want := c.share * float64(len(times))
			if !slices.Contains(times, c.value) || float64(upTo) < want-1e-6 || float64(below) > want-1e-6 {
				t.Fatalf("quantile %v of %v is %v: %d below, %d up to it", c.share, times, c.value, below, upTo)
			}
		}
	})
}

func TestQuantilesOfNothing(t *testing.T) {
	if QuantilesOf(nil) != nil || new(histogram).quantiles() != nil {
		t.Error("nothing has quantiles")
	}
}

// The histogram's quantiles are those of the samples, within what it says.
func TestHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Int64Range(0, int64(24*time.Hour)), 1, 300).Draw(t, "durations")
		if rapid.Bool().Draw(t, "small") {
			for i := range durations {
				durations[i] %= int64(time.Second)
			}
		}
		half := rapid.IntRange(0, len(durations)).Draw(t, "half")
		var one, two histogram
		var times []Millis
		for i, d := range durations {
			times = append(times, millis(time.Duration(d)))
			if i < half {
				one.add(time.Duration(d))
			} else {
				two.add(time.Duration(d))
			}
		}
		one.merge(&two)
		got, want := one.quantiles(), QuantilesOf(times)
		if got.N != want.N {
			t.Fatalf("%d samples of %d", got.N, want.N)
		}
		for _, c := range []struct{ got, want Millis }{
			{got.P50, want.P50}, {got.P90, want.P90}, {got.P95, want.P95}, {got.P99, want.P99}, {got.Max, want.Max}, {got.Mean, want.Mean},
		} {
			if off := math.Abs(float64(c.got - c.want)); off > float64(c.want)*HistogramError+0.001 {
				t.Fatalf("got %v, want %v", float64(c.got), float64(c.want))
			}
		}
	})
}

func TestBuckets(t *testing.T) {
	for us := int64(0); us < 1<<40; us += us/97 + 1 {
		i := bucket(us)
		if next := bucket(us + 1); next != i && next != i+1 {
			t.Fatalf("%d µs is in bucket %d, the next in %d", us, i, next)
		}
		if off := math.Abs(middle(i) - float64(us)); off > float64(us)*HistogramError+0.5 {
			t.Fatalf("%d µs is in a bucket around %v", us, middle(i))
		}
	}
}

// What is over the timeout is null, and stays so.
func TestMillisJSON(t *testing.T) {
	q := Quantiles{N: 3, Mean: Millis(math.Inf(1)), P50: 1.23456, P90: 12345678.9, Max: Millis(math.Inf(1))}
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"n":3,"mean":null,"p50":1.235,"p90":12345678.9,"p95":0,"p99":0,"max":null}`
	if string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	var back Quantiles
	if err := json.Unmarshal(text, &back); err != nil || !math.IsInf(float64(back.Max), 1) || back.P50 != 1.235 {
		t.Errorf("%+v, %v", back, err)
	}
	for _, c := range []struct {
		ms   Millis
		want string
	}{
		{0.123, "0.12 ms"}, {9.99, "9.99 ms"}, {99.9, "99.9 ms"}, {999, "999 ms"}, {1000, "1.00 s"}, {123456, "123 s"},
		{Millis(math.Inf(1)), "over the timeout"},
	} {
		if got := c.ms.String(); got != c.want {
			t.Errorf("%v ms is %q, want %q", float64(c.ms), got, c.want)
		}
	}
}
