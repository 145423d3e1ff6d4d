// Package engine batches: many sequences decode together on one backend.
//
// It knows no HTTP, no NATS and no wire types. One goroutine, the loop, locked
// to its OS thread, owns the backend, its KV cache and every sequence; others
// hand it requests and read snapshots.
package engine
