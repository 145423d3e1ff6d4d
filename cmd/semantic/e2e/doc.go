// Package e2e holds the end-to-end tests: the real binary, started as people
// start it, spoken to by the clients that people use (the official OpenAI SDKs
// of Go, Python and Node, the nats command line), and killed as machines do.
//
// deps.sh fetches those clients; `make test` runs it and sets SEMANTIC_TEST_DEPS
// to where they are.
package e2e
