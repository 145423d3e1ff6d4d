package queue

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// TestDrainRate: what leaves a class is what was stored less what is there.
func TestDrainRate(t *testing.T) {
	const class = schemas.ClassNormal
	var d drainRates
	at := time.Unix(0, 0)
	see := func(after time.Duration, stored, there uint64) {
		at = at.Add(after)
		d.add(class, jetstream.StreamState{LastSeq: stored, Msgs: there}, at)
	}
	if got := d.wait(class, 5, at); got != retryAtLeast {
		t.Errorf("nothing seen: %v", got)
	}
	see(0, 100, 100)
	see(10*time.Second, 120, 100)
	if rate, ok := d.rate(class, at); !ok || rate != 2 {
		t.Errorf("20 left in 10 s: rate %v, %v", rate, ok)
	}
	for _, c := range []struct {
		jobs int64
		want time.Duration
	}{{1, retryAtLeast}, {10, 5 * time.Second}, {119, 59500 * time.Millisecond}, {10_000, retryAtMost}} {
		if got := d.wait(class, c.jobs, at); got != c.want {
			t.Errorf("%d jobs: %v, want %v", c.jobs, got, c.want)
		}
	}
	// A class that stands still, as far back as is looked.
	for range 5 {
		see(10*time.Second, 120, 100)
	}
	if got := d.wait(class, 1, at); got != retryAtMost {
		t.Errorf("nothing leaves: %v", got)
	}
	// Another stream than before.
	see(10*time.Second, 3, 3)
	if _, ok := d.rate(class, at); ok {
		t.Error("a rate across two streams")
	}
	if _, ok := d.rate(schemas.ClassBatch, at); ok {
		t.Error("a rate of another class")
	}
}
