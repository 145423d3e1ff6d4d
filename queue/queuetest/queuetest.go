// Package queuetest gives tests a real broker: a NATS server in this process,
// on a free loopback port, with its store in a temporary folder.
package queuetest

import (
	"context"
	"testing"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/embedded"
)

// Server is a broker for one test.
type Server struct {
	*embedded.Server
	options embedded.Options
}

// Start starts a broker that stops with the test.
func Start(tb testing.TB, change ...func(*embedded.Options)) *Server {
	tb.Helper()
	s := &Server{options: embedded.Options{Port: -1, StoreDir: tb.TempDir(), MaxStore: 16 << 30}}
	for _, f := range change {
		f(&s.options)
	}
	s.start(tb)
	tb.Cleanup(func() { s.Stop() })
	return s
}

func (s *Server) start(tb testing.TB) {
	tb.Helper()
	server, err := embedded.Start(tb.Context(), s.options)
	if err != nil {
		tb.Fatalf("broker: %v", err)
	}
	s.Server = server
	s.options.Port = server.Port()
}

// Resume starts the broker again, after Stop, on the same port and store.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	s.start(tb)
}

// Restart stops the broker and starts it again on the same port and store.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop()
	s.start(tb)
}

// Open opens a queue on srv, over TCP, with its topology ensured; it is closed
// with the test. Each change is made to the options before.
func Open(tb testing.TB, srv *Server, change ...func(*queue.Options)) *queue.Queue {
	tb.Helper()
	o := queue.Options{URL: srv.ClientURL(), Name: tb.Name(), Config: queue.DefaultConfig()}
	for _, f := range change {
		f(&o)
	}
	q, err := queue.Open(tb.Context(), o)
	if err != nil {
		tb.Fatalf("open queue: %v", err)
	}
	tb.Cleanup(func() {
		// tb.Context has ended by now; Close bounds itself.
		if err := q.Close(context.Background()); err != nil {
			tb.Errorf("close queue: %v", err)
		}
	})
	if err := q.Ensure(tb.Context()); err != nil {
		tb.Fatalf("ensure topology: %v", err)
	}
	return q
}
