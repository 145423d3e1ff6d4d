package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Millis is a time in milliseconds. +Inf, null in JSON, is one that is longer than
// the timeout.
type Millis float64

// MarshalJSON writes it to the microsecond.
func (m Millis) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(m), 1) {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, math.Round(float64(m)*1000)/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Millis) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*m = Millis(math.Inf(1))
		return nil
	}
	var value float64
	if err := json.Unmarshal(text, &value); err != nil {
		return fmt.Errorf("milliseconds: %w", err)
	}
	*m = Millis(value)
	return nil
}

// String is for people: three digits, in ms or s.
func (m Millis) String() string {
	switch v := float64(m); {
	case math.IsInf(v, 1):
		return "over the timeout"
	case v >= 999.5:
		return digits(v/1000) + " s"
	default:
		return digits(v) + " ms"
	}
}

// digits writes three of them.
func digits(v float64) string {
	switch {
	case v >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// Quantiles describe a set of times.
type Quantiles struct {
	// N is how many there are.
	N                             int `json:"n"`
	Mean, P50, P90, P95, P99, Max Millis
}

type quantilesJSON struct {
	N    int    `json:"n"`
	Mean Millis `json:"mean"`
	P50  Millis `json:"p50"`
	P90  Millis `json:"p90"`
	P95  Millis `json:"p95"`
	P99  Millis `json:"p99"`
	Max  Millis `json:"max"`
}

// MarshalJSON writes the names in small letters.
func (q Quantiles) MarshalJSON() ([]byte, error) {
	return json.Marshal(quantilesJSON(q)) //nolint:wrapcheck // of its own package
}

// UnmarshalJSON reads what MarshalJSON writes.
func (q *Quantiles) UnmarshalJSON(text []byte) error {
	return json.Unmarshal(text, (*quantilesJSON)(q)) //nolint:wrapcheck // of its own package
}

// QuantilesOf describes the times, which it sorts; nil of none.
func QuantilesOf(times []Millis) *Quantiles {
	if len(times) == 0 {
		return nil
	}
	slices.Sort(times)
	sum := 0.0
	for _, t := range times {
		sum += float64(t)
	}
	return &Quantiles{
		N: len(times), Mean: Millis(sum / float64(len(times))), P50: rank(times, 0.5), P90: rank(times, 0.9), P95: rank(times, 0.95),
		P99: rank(times, 0.99), Max: times[len(times)-1],
	}
}

// rank is the quantile by nearest rank of sorted times: the least of them that at
// least the share q does not exceed.
func rank(times []Millis, q float64) Millis {
	return times[nearest(len(times), q)]
}

func nearest(n int, q float64) int {
	// Less a hair, so that 0.95 of 100 is the 95th whatever 0.95 × 100 rounds to.
	return min(max(int(math.Ceil(q*float64(n)-1e-9))-1, 0), n-1)
}
