package metricsdoc

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Metric is one metric as the code exports it.
type Metric struct {
	Name string
	// Type is counter, gauge or histogram.
	Type string
	Help string
	// Labels are sorted; on the page of `semantic serve` the worker's have `worker` as
	// well.
	Labels []string
	// Buckets are the upper bounds of a histogram's classic buckets, without +Inf.
	Buckets []float64
	// Native says that a histogram is also a native one.
	Native bool
	// Roles export it, sorted.
	Roles []string
}

// Unit is what the metric counts or measures, by its name; "" where that is no unit.
func (m Metric) Unit() string {
	name := strings.TrimSuffix(m.Name, "_total")
	if name == "semantic_tokens_generated" {
		return "tokens"
	}
	if strings.HasSuffix(name, "_tokens_per_second") {
		return "tokens/s"
	}
	switch unit := name[strings.LastIndex(name, "_")+1:]; unit {
	case "seconds", "bytes", "tokens", "rows", "cells", "blocks":
		return unit
	case "ratio":
		return "0 … 1"
	}
	return ""
}

// recorder takes note of what is registered. The zero recorder is ready.
type recorder struct {
	mu   sync.Mutex
	list []*registration
}

type registration struct {
	role      string
	collector prometheus.Collector
}

// as is a registerer of what a role exports.
func (r *recorder) as(role string) prometheus.Registerer { return roleRegisterer{r, role} }

type roleRegisterer struct {
	r    *recorder
	role string
}

// Register implements prometheus.Registerer.
func (r roleRegisterer) Register(c prometheus.Collector) error {
	r.r.mu.Lock()
	defer r.r.mu.Unlock()
	r.r.list = append(r.r.list, &registration{r.role, c})
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r roleRegisterer) MustRegister(list ...prometheus.Collector) {
	for _, c := range list {
		_ = r.Register(c)
	}
}

// Unregister implements prometheus.Registerer: what was exported once is exported.
func (r roleRegisterer) Unregister(prometheus.Collector) bool { return true }

func (r *recorder) metrics() ([]Metric, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]*Metric)
	for _, registered := range r.list {
		described := make(chan *prometheus.Desc)
		go func() {
			registered.collector.Describe(described)
			close(described)
		}()
		for d := range described {
			m, err := parse(d)
			if err != nil {
				return nil, err
			}
			if err := m.look(registered.collector); err != nil {
				return nil, err
			}
			known := all[m.Name]
			switch {
			case known == nil:
				known = &m
				all[m.Name] = known
			case known.Help != m.Help || known.Type != m.Type:
				return nil, fmt.Errorf("%s is registered in two ways: %+v and %+v", m.Name, *known, m)
			}
			known.Labels = union(known.Labels, m.Labels...)
			known.Roles = union(known.Roles, registered.role)
		}
	}
	metrics := make([]Metric, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		metrics = append(metrics, *all[name])
	}
	return metrics, nil
}

func union(list []string, more ...string) []string {
	list = append(list, more...)
	slices.Sort(list)
	return slices.Compact(list)
}

// description is how the library prints one; there is no other way to read it.
var (
	description = regexp.MustCompile(
		`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constLabel = regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
)

func parse(d *prometheus.Desc) (Metric, error) {
	found := description.FindStringSubmatch(d.String())
	if found == nil {
		return Metric{}, fmt.Errorf("not understood: %s", d)
	}
	help, err := strconv.Unquote(found[2])
	if err != nil {
		return Metric{}, fmt.Errorf("help of %s: %w", found[1], err)
	}
	m := Metric{Name: found[1], Help: help}
	for _, label := range constLabel.FindAllStringSubmatch(found[3], -1) {
		m.Labels = append(m.Labels, label[1])
	}
	if found[4] != "" {
		m.Labels = append(m.Labels, strings.Split(found[4], ",")...)
	}
	slices.Sort(m.Labels)
	return m, nil
}

// look finds the type, and the buckets of a histogram.
func (m *Metric) look(c prometheus.Collector) error {
	var one prometheus.Metric
	switch c := c.(type) {
	case *prometheus.CounterVec:
		m.Type = "counter"
	case *prometheus.GaugeVec:
		m.Type = "gauge"
	case *prometheus.HistogramVec:
		variable := strings.Split(description.FindStringSubmatch(describedBy(c).String())[4], ",")
		observer, err := c.GetMetricWithLabelValues(variable...)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		one, _ = observer.(prometheus.Metric)
	case prometheus.Metric:
		one = c
	default: // a collector of our own: what it counts says so
		if m.Type = "gauge"; strings.HasSuffix(m.Name, "_total") {
			m.Type = "counter"
		}
	}
	if one == nil {
		return nil
	}
	var written dto.Metric
	if err := one.Write(&written); err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	switch {
	case written.GetCounter() != nil:
		m.Type = "counter"
	case written.GetGauge() != nil:
		m.Type = "gauge"
	case written.GetHistogram() != nil:
		m.Type = "histogram"
		for _, b := range written.GetHistogram().GetBucket() {
			m.Buckets = append(m.Buckets, b.GetUpperBound())
		}
		m.Native = written.GetHistogram().Schema != nil
	default:
		return fmt.Errorf("%s has no known type", m.Name)
	}
	return nil
}

// describedBy is the one description of a vector.
func describedBy(c prometheus.Collector) *prometheus.Desc {
	described := make(chan *prometheus.Desc, 1)
	c.Describe(described)
	return <-described
}
