// Package queue is everything that semantic does with NATS.
package queue
