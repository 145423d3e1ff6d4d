package embedded_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/queue/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, o embedded.Options) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func TestStartStop(t *testing.T) {
	dir := t.TempDir()
	var log lockedBuffer
	s := start(t, embedded.Options{
		Port: -1, StoreDir: dir, Token: "secret", SyncAlways: true, MaxStore: 1 << 30,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if !strings.HasPrefix(s.ClientURL(), "nats://127.0.0.1:") || s.Port() == 0 {
		t.Errorf("listens on %s, port %d", s.ClientURL(), s.Port())
	}
	if _, err := nats.Connect(s.ClientURL()); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("without the token: %v", err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.Token("secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(); err != nil {
		t.Errorf("JetStream: %v", err)
	}
	if nc.MaxPayload() != 8<<20 {
		t.Errorf("payload limit %d", nc.MaxPayload())
	}
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil {
		t.Errorf("store: %v", err)
	}
	s.Stop()
	s.Stop()
	if _, err := s.InProcessConn(); err == nil {
		t.Error("a stopped server takes connections")
	}
	text := log.String()
	if !strings.Contains(text, "component=nats-server") {
		t.Errorf("log %q", text)
	}
	// The client without the token.
	if !strings.Contains(text, "level=WARN") || !strings.Contains(text, "authentication error") || strings.Contains(text, "level=ERROR") {
		t.Errorf("a client's fault is not a warning: %q", text)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = embedded.Start(t.Context(), embedded.Options{Port: port, StoreDir: t.TempDir()})
	var used *embedded.PortInUseError
	if !errors.As(err, &used) || used.Port != port || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("error %v", err)
	}
}

func TestStoreInUse(t *testing.T) {
	dir := t.TempDir()
	first := start(t, embedded.Options{Port: -1, StoreDir: dir})
	_, err := embedded.Start(t.Context(), embedded.Options{Port: -1, StoreDir: dir})
	var used *embedded.StoreInUseError
	if !errors.As(err, &used) || used.Dir != dir || !strings.Contains(err.Error(), dir) {
		t.Fatalf("error %v", err)
	}
	first.Stop()
	start(t, embedded.Options{Port: -1, StoreDir: dir}).Stop()
}

func TestStartErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		options embedded.Options
	}{
		"no store":                   {t.Context(), embedded.Options{Port: -1}},
		"store is a file":            {t.Context(), embedded.Options{Port: -1, StoreDir: file}},
		"no such host":               {t.Context(), embedded.Options{Port: 1, Host: "256.0.0.1", StoreDir: t.TempDir()}},
		"bad host":                   {t.Context(), embedded.Options{Port: -1, Host: "256.0.0.1", StoreDir: t.TempDir()}},
		"context ended":              {ended, embedded.Options{Port: -1, StoreDir: t.TempDir()}},
		"default port of a bad host": {t.Context(), embedded.Options{Host: "256.0.0.1", StoreDir: t.TempDir()}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			s, err := embedded.Start(c.ctx, c.options)
			if err == nil {
				s.Stop()
				t.Fatal("started")
			}
			t.Logf("%v (after %v)", err, time.Since(begin))
		})
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
