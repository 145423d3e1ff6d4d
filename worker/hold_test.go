package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The delay doubles from RetryDelay to MaxRetryDelay, whatever the count, and
// never goes past the deadline.
func TestHoldDelay(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	for i, seconds := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		if got := holdDelay(c, uint64(i)+1, time.Hour).Seconds(); got != seconds {
			t.Errorf("delivery %d: %v s, want %v s", i+1, got, seconds)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c.RetryDelay = time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first"))
		c.MaxRetryDelay = c.RetryDelay + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		n := rapid.Uint64().Draw(t, "deliveries")
		left := time.Duration(rapid.Int64().Draw(t, "left"))
		delay := holdDelay(c, n, left)
		switch {
		case delay < 0 || delay > c.MaxRetryDelay || delay > max(left, 0):
			t.Fatalf("delay %v with %v left", delay, left)
		case left >= c.MaxRetryDelay && delay < c.RetryDelay:
			t.Fatalf("delay %v is less than the first", delay)
		case n < 1<<63 && holdDelay(c, n+1, left) < delay:
			t.Fatalf("delay %v shrinks", delay)
		}
	})
}

// What was said of a job is not said again, until there are too many.
func TestToldOnce(t *testing.T) {
	t.Parallel()
	told := newTold()
	if !told.first("a") || told.first("a") || !told.first("b") || told.first("a") {
		t.Error("not once for each")
	}
	for i := range toldMost {
		told.jobs[uint64(i)] = struct{}{}
	}
	if !told.first("c") || len(told.jobs) != 1 || !told.first("a") {
		t.Errorf("%d jobs remembered", len(told.jobs))
	}
}
