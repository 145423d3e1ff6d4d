package queue

import (
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// rateWindow is how far back the drain rate of a class looks.
const rateWindow = 30 * time.Second

// Bounds of what is said about waiting: a place may be free at any moment, and
// nobody knows what is further away than a minute.
const (
	retryAtLeast = time.Second
	retryAtMost  = time.Minute
)

// drainRates measure how fast jobs leave each class, from what the broker says
// of its streams: whoever ended them, and however. Readings are taken where the
// streams are looked at anyway.
type drainRates struct {
	mu sync.Mutex
	// readings are those of the last rateWindow, the oldest first, and one that is
	// older.
	readings map[schemas.Class][]rateReading
}

type rateReading struct {
	at time.Time
	// left is how many jobs have ever left the stream.
	left uint64
}

// add takes a reading of a class's stream.
func (d *drainRates) add(class schemas.Class, state jetstream.StreamState, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readings == nil {
		d.readings = make(map[schemas.Class][]rateReading)
	}
	list, left := d.readings[class], state.LastSeq-state.Msgs
	if len(list) > 0 {
		switch last := list[len(list)-1]; {
		case left < last.left: // another stream than before
			list = nil
		case at.Sub(last.at) < pressureAge/2:
			return
		}
	}
	list = append(list, rateReading{at, left})
	for len(list) > 2 && at.Sub(list[1].at) >= rateWindow {
		list = list[1:]
	}
	d.readings[class] = list
}

// rate is how many jobs a second left the class over the last rateWindow; false
// where there was too little to see.
func (d *drainRates) rate(class schemas.Class, now time.Time) (float64, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.readings[class]
	if len(list) < 2 {
		return 0, false
	}
	first, last := list[0], list[len(list)-1]
	if now.Sub(last.at) > rateWindow {
		return 0, false
	}
	return float64(last.left-first.left) / last.at.Sub(first.at).Seconds(), true
}

// wait is how long so many jobs take to leave the class, between the bounds of
// what is said; the shorter bound where the rate is not known.
func (d *drainRates) wait(class schemas.Class, jobs int64, now time.Time) time.Duration {
	rate, known := d.rate(class, now)
	switch {
	case !known:
		return retryAtLeast
	case rate*retryAtMost.Seconds() <= float64(jobs):
		return retryAtMost
	}
	wait := time.Duration(float64(jobs) / rate * float64(time.Second))
	return max(wait, retryAtLeast)
}
