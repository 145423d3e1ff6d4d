// Package telemetry sets up what a process of semantic reports about itself:
// its log handler, its metrics registry, and, in `semantic serve`, the one
// /metrics page that shows the gateway and its worker child together.
package telemetry
