// Package metricsdoc knows every metric that the program exports, because it has the
// parts of a gateway and of a worker register theirs, on a real broker and without a
// model. From that it writes docs/metrics.md; tests compare pages, rules and
// dashboards with it.
package metricsdoc

//go:generate go run ./gen ../../../../docs/metrics.md
