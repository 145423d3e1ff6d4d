package engine

import (
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type labels = prometheus.Labels

// collectors makes metrics of one model.
type collectors struct {
	model string
	all   []prometheus.Collector
}

func (c *collectors) labels(more labels) labels {
	all := labels{"model": c.model}
	maps.Copy(all, more)
	return all
}

func (c *collectors) counter(name, help string, more labels) prometheus.Counter {
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: c.labels(more)})
	c.all = append(c.all, counter)
	return counter
}

// gauge is asked for its value at every scrape.
func (c *collectors) gauge(name, help string, more labels, value func() float64) {
	c.all = append(c.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: c.labels(more)}, value))
}

// histogram has the buckets, and a native histogram beside them.
func (c *collectors) histogram(name, help string, more labels, buckets []float64) prometheus.Histogram {
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help, ConstLabels: c.labels(more), Buckets: buckets,
		NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
	})
	c.all = append(c.all, histogram)
	return histogram
}
