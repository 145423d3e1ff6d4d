// Package deploy holds what semantic is deployed with. The Go side of it is
// the lock file of the native runtime and the default model, embedded in the
// binary: which packages, which versions, which hashes. Where they are fetched
// from is the business of the npm and pip clients and their configuration;
// the lock names no address. And the NATS server configurations that
// `semantic nats init` copies.
package deploy
