// Package embedded runs the NATS server of semantic serve in this process.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Options say where the server listens and stores.
type Options struct {
	// Host to listen on; default 127.0.0.1.
	Host string
	// Port to listen on; 0 means 4222, -1 a free one.
	Port int
	// StoreDir holds the streams; required.
	StoreDir string
	// Token that clients must present; "" means none.
	Token string
	// SyncInterval between fsyncs; default 1 s.
	SyncInterval time.Duration
	// SyncAlways fsyncs every write before it is acknowledged.
	SyncAlways bool
	// MaxStore bounds all streams together, in bytes; 0 means three quarters of
	// the disk's free space.
	MaxStore int64
	// Logger defaults to discarding.
	Logger *slog.Logger
}

// PortInUseError says that another program listens on the port.
type PortInUseError struct {
	Host string
	Port int
}

// Error names the address.
func (e *PortInUseError) Error() string {
	return fmt.Sprintf("embedded NATS: %s:%d is in use", e.Host, e.Port)
}

// StoreInUseError says that another server has the store open.
type StoreInUseError struct{ Dir string }

// Error names the folder.
func (e *StoreInUseError) Error() string {
	return fmt.Sprintf("embedded NATS: the store %s is open in another process", e.Dir)
}

// Server is a running NATS server. Safe for concurrent use.
type Server struct{}

var errTODO = errors.New("embedded: not written yet")

// Start starts a server and returns when it serves.
func Start(ctx context.Context, o Options) (*Server, error) { return nil, errTODO }

// ClientURL is where clients connect.
func (s *Server) ClientURL() string { return "" }

// InProcessConn is a connection without a socket.
func (s *Server) InProcessConn() (net.Conn, error) { return nil, errTODO }

// Stop stops the server and waits for it. Idempotent.
func (s *Server) Stop() {}
