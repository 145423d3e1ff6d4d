package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// DefaultPort is NATS's own.
const DefaultPort = 4222

// maxPayload is the largest message: a long prompt is a big job.
const maxPayload = 8 << 20

// Options say where the server listens and stores.
type Options struct {
	// Host to listen on. Default 127.0.0.1.
	Host string
	// Port to listen on. 0 means 4222, -1 a free one.
	Port int
	// StoreDir holds the streams. Required; made if missing.
	StoreDir string
	// Token that clients must present. "" means none.
	Token string
	// SyncInterval is the longest time between a write's acknowledgement and its
	// fsync: what a power cut can lose. Default 1 s.
	SyncInterval time.Duration
	// SyncAlways fsyncs every write before it is acknowledged. Default false.
	SyncAlways bool
	// MaxStore bounds all streams together, in bytes. 0 means three quarters of
	// the disk's free space.
	MaxStore int64
	// ConfigDir is a folder with a nats.conf that says everything else: addresses,
	// TLS, accounts and, for a cluster of three, its members. Host, Port and Token
	// have no meaning with it. Default: none.
	ConfigDir string
	// Logger takes the server's own log. Default: discarded.
	Logger *slog.Logger

	// free measures the disk; tests have their own.
	free func(dir string) (int64, error)
}

// server makes the server's own options.
func (o Options) server() (*server.Options, error) {
	options := &server.Options{ServerName: "semantic", Host: o.Host, Port: o.Port, Authorization: o.Token, MaxPayload: maxPayload}
	if o.ConfigDir != "" {
		var err error
		if options, err = readConfig(o.ConfigDir); err != nil {
			return nil, err
		}
	}
	options.JetStream, options.StoreDir, options.JetStreamMaxStore = true, o.StoreDir, o.MaxStore
	options.SyncInterval, options.SyncAlways = o.SyncInterval, o.SyncAlways
	options.NoSigs = true
	return options, nil
}

// Server is a running NATS server. Safe for concurrent use.
type Server struct {
	options Options
	host    string
	port    int
	members int
	lock    *storeLock
	log     *serverLog
	free    func(dir string) (int64, error)
	full    atomic.Bool
	mended  chan struct{}
	cease   context.CancelFunc
	stop    sync.Once

	mu   sync.Mutex // guards nats
	nats *server.Server
}

// Start starts a server and returns when it serves; the member of a cluster
// serves clients before it has found the others. Errors: [*PortInUseError],
// [*StoreInUseError], [*HiddenStreamsError], [*MembersError], [ErrConfig], or what the server itself reports; ctx bounds the start
// (recovering a large store takes a while).
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("embedded NATS: no store folder given")
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	if o.SyncInterval == 0 {
		o.SyncInterval = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	options, err := o.server()
	if err != nil {
		return nil, err
	}
	if err := portFree(ctx, options.Host, options.Port); err != nil {
		return nil, err
	}
	lock, err := lockStore(o.StoreDir)
	if err != nil {
		return nil, err
	}
	if err := checkStore(o.StoreDir, options); err != nil {
		lock.release()
		return nil, err
	}
	s := &Server{
		options: o, members: max(1, len(options.Routes)), lock: lock, free: o.free, mended: make(chan struct{}),
		log: &serverLog{log: o.Logger, fatal: make(chan string, 1), noSpace: make(chan struct{}, 1)},
	}
	if s.free == nil {
		s.free = free
	}
	lifetime, cease := context.WithCancel(context.WithoutCancel(ctx))
	s.cease = cease
	if err := s.launch(ctx, options); err != nil {
		close(s.mended)
		s.Stop()
		return nil, err
	}
	if addr, ok := s.nats.Addr().(*net.TCPAddr); ok {
		s.host, s.port = addr.IP.String(), addr.Port
	}
	go s.mend(lifetime)
	return s, nil
}

// run starts the server and waits until it serves, reports a fatal error, or
// ctx ends.
func run(ctx context.Context, ns *server.Server, log *serverLog) error {
	ready := make(chan bool, 1)
	go func() {
		ns.Start()
		for ctx.Err() == nil {
			if ns.ReadyForConnections(100 * time.Millisecond) {
				ready <- true
				return
			}
			if !ns.Running() {
				break
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
	case text := <-log.fatal:
		ns.Shutdown()
		<-ready
		return errors.New("embedded NATS: " + text)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("embedded NATS: start: %w", err)
	}
	select {
	case text := <-log.fatal:
		return errors.New("embedded NATS: " + text)
	default:
		return errors.New("embedded NATS: stopped while starting")
	}
}

// ClientURL is where clients connect.
func (s *Server) ClientURL() string { return s.current().ClientURL() }

// InProcessConn is a connection without a socket, as queue.Options.InProcess
// wants it.
func (s *Server) InProcessConn() (net.Conn, error) {
	conn, err := s.current().InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	return conn, nil
}

// Members is how many servers the cluster has; 1 for a server alone.
func (s *Server) Members() int { return s.members }

// Host is the address it listens on.
func (s *Server) Host() string { return s.host }

// Port is the port it listens on.
func (s *Server) Port() int { return s.port }

// current is the server that runs; it is another one after the disk was full.
func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats
}

// Stop stops the server, waits for it, and frees the store. Clients are
// disconnected; what was acknowledged is on disk. Idempotent.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.cease()
		<-s.mended
		if ns := s.current(); ns != nil {
			ns.Shutdown()
			ns.WaitForShutdown()
		}
		s.lock.release()
	})
}

// portFree reports a port that cannot be listened on before the server tries
// it, because the server tells the cause only in its log.
func portFree(ctx context.Context, host string, port int) error {
	if port < 0 {
		return nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &PortInUseError{Host: host, Port: port}
	case err != nil:
		return fmt.Errorf("embedded NATS: %w", err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("embedded NATS: %w", err)
	}
	return nil
}
