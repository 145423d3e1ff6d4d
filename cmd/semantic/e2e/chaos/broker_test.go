package chaos

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue/embedded"
)

// A process of this test with these variables is a broker: the server of
// `semantic serve`, alone.
const (
	brokerEnv     = "SEMANTIC_CHAOS_BROKER" // its store
	brokerPortEnv = "SEMANTIC_CHAOS_BROKER_PORT"
)

// runBroker is a broker's process.
func runBroker(store string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // a broker does not outlive its test
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	port, err := strconv.Atoi(os.Getenv(brokerPortEnv))
	if err == nil {
		log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		var server *embedded.Server
		if server, err = embedded.Start(ctx, embedded.Options{Port: port, StoreDir: store, Logger: log}); err == nil {
			<-ctx.Done()
			server.Stop()
			return 0
		}
	}
	fmt.Fprintln(os.Stderr, "broker:", err)
	return 1
}

// broker is how a fleet starts one: always on the same port.
func (f *fleet) newBroker(t *testing.T) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f.brokerAddr = "127.0.0.1:" + strconv.Itoa(freePort(t))
	_, port, _ := net.SplitHostPort(f.brokerAddr)
	store := f.path("broker-store")
	return f.newProcess("broker", func() *exec.Cmd {
		command := exec.Command(self)
		command.Env = append(os.Environ(), brokerEnv+"="+store, brokerPortEnv+"="+port)
		return command
	})
}

// portsTried keeps tests that run at once from the same port.
var portsTried atomic.Int64

// freePort is one that nobody listens on now, below those that the system hands
// out by itself.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 20000 + os.Getpid()%10000 + int(portsTried.Add(1))
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// brokerUp waits until the broker takes connections.
func (f *fleet) brokerUp(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", f.brokerAddr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-f.broker.gone():
			return fmt.Errorf("the broker ended by itself, see %s", f.broker.logPath)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
