package queue

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// skewAge is how long a reading of the broker's clock counts, unless a better one
// comes.
const skewAge = 30 * time.Second

// clockSkew is how far the broker's clock is ahead of this machine's. It is read
// from every answer that says what time it is there.
type clockSkew struct {
	mu sync.Mutex
	// ahead is wrong by at most half of what the answer took.
	ahead, took time.Duration
	at          time.Time // zero: never read
}

// add takes the time that an answer told, which was asked for and came then.
func (c *clockSkew) add(server, asked, answered time.Time) {
	if server.IsZero() {
		return // an old server
	}
	took := answered.Sub(asked)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && took > c.took && answered.Sub(c.at) < skewAge {
		return
	}
	c.ahead, c.took, c.at = server.Sub(asked.Add(took/2)), took, answered
}

// brokerTime is the time there at a time here; the same where it was never read.
func (c *clockSkew) brokerTime(here time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return here.Add(c.ahead)
}

// read is the skew, false where it is not known.
func (c *clockSkew) read() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead, !c.at.IsZero()
}

// skewCollector exports the skew, once it is known.
type skewCollector struct {
	skew *clockSkew
	desc *prometheus.Desc
}

func newSkewCollector(skew *clockSkew) prometheus.Collector {
	return &skewCollector{skew: skew, desc: prometheus.NewDesc("semantic_queue_clock_skew_seconds",
		"How far the broker's clock is ahead of this machine's; negative where it is behind. Times of both are in the logs of jobs.", nil, nil)}
}

// Describe implements prometheus.Collector.
func (c *skewCollector) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector.
func (c *skewCollector) Collect(out chan<- prometheus.Metric) {
	if ahead, known := c.skew.read(); known {
		out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, ahead.Seconds())
	}
}
