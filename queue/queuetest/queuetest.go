// Package queuetest gives tests a real broker: a NATS server in this process,
// on a free loopback port, with its store in a temporary folder.
package queuetest

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

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
	options, chosen := s.options, s.options.Port > 0
	for tries := 0; ; tries++ {
		if !chosen {
			options.Port = nextPort()
		}
		server, err := embedded.Start(tb.Context(), options)
		if taken := new(embedded.PortInUseError); errors.As(err, &taken) && !chosen && tries < ports {
			continue
		}
		if err != nil {
			tb.Fatalf("broker: %v", err)
		}
		s.Server, s.options.Port = server, options.Port
		return
	}
}

// The ports of the brokers. They are not among those that systems hand out to who
// wants any, and no two of a process are the same: while a broker is away nobody
// else gets its port, and its clients.
const (
	firstPort = 20_000
	ports     = 12_000
)

// portsTaken counts the ports that this process has chosen.
var portsTaken atomic.Int64

// nextPort is the process's next one; processes begin at different ones.
func nextPort() int {
	const apart = 331
	return firstPort + int((int64(os.Getpid())*apart+portsTaken.Add(1))%ports)
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

// patience is for what only ends a wait that is in vain.
const patience = time.Minute

// Patient is the default configuration, but what only bounds the broker's answers is
// so long that a machine that is held up does not reach it.
func Patient() queue.Config {
	c := queue.DefaultConfig()
	c.ConnectTimeout, c.RequestTimeout, c.SubmitTimeout = patience, patience, patience
	return c
}

// Open opens a queue on srv, over TCP, with its topology ensured; it is closed
// with the test. It has the configuration Patient; each change is made to the
// options before.
func Open(tb testing.TB, srv *Server, change ...func(*queue.Options)) *queue.Queue {
	tb.Helper()
	o := queue.Options{URL: srv.ClientURL(), Name: tb.Name(), Config: Patient()}
	for _, f := range change {
		f(&o)
	}
	q, err := queue.Open(tb.Context(), o)
	// The broker is there: with a short RequestTimeout its first answer may be late.
	for begin := time.Now(); errors.Is(err, queue.ErrUnavailable) && time.Since(begin) < patience; {
		q, err = queue.Open(tb.Context(), o)
	}
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
