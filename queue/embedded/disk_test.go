package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestDiskFull: a server whose disk was full says so, and goes on by itself with
// what it had stored, at the same address, once there is room.
func TestDiskFull(t *testing.T) {
	lines, room := make(lineChan, 1000), make(chan int64)
	s, err := Start(t.Context(), Options{
		Port: -1, StoreDir: t.TempDir(), MaxStore: 1 << 20, Logger: slog.New(lines),
		free: func(string) (int64, error) { return <-room, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	back := make(chan bool, 1)
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { back <- true }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream(nats.MaxWait(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish("s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	url, first := s.ClientURL(), s.current()

	s.log.Errorf("%s", fmt.Sprintf("JetStream failed to store a msg on stream 'S': %v", syscall.ENOSPC))
	lines.wait(t, "is full")
	if !s.DiskFull() {
		t.Error("the disk is not full")
	}
	room <- roomAgain - 1
	room <- roomAgain
	lines.wait(t, "has room again")
	if s.DiskFull() {
		t.Error("the disk is still full")
	}
	if first == s.current() || first.Running() || s.ClientURL() != url {
		t.Errorf("the same server %v, the old one runs %v, at %s, was %s", first == s.current(), first.Running(), s.ClientURL(), url)
	}
	<-back
	if m, err := js.GetMsg("S", 1); err != nil || string(m.Data) != "kept" {
		t.Errorf("what was stored: %v, %v", m, err)
	}
	if _, err := js.Publish("s", []byte("more")); err != nil {
		t.Error(err)
	}

	// Also a server that waits for room can be stopped.
	s.log.Errorf("%v", syscall.ENOSPC)
	lines.wait(t, "is full")
	s.Stop()
}

// TestFree: the disk of a folder has room, one that is not there is an error.
func TestFree(t *testing.T) {
	if n, err := free(t.TempDir()); err != nil || n <= 0 {
		t.Errorf("free: %d, %v", n, err)
	}
	if _, err := free(t.TempDir() + "/none"); err == nil {
		t.Error("free space of nothing")
	}
}

// lineChan is a log whose lines can be waited for.
type lineChan chan string

func (lineChan) Enabled(context.Context, slog.Level) bool { return true }

func (l lineChan) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l lineChan) WithGroup(string) slog.Handler { return l }

func (l lineChan) Handle(_ context.Context, r slog.Record) error {
	l <- r.Message
	return nil
}

func (l lineChan) wait(t *testing.T, part string) {
	t.Helper()
	for {
		select {
		case line := <-l:
			if strings.Contains(line, part) {
				return
			}
		case <-time.After(time.Minute):
			t.Fatalf("the log does not say %q", part)
		}
	}
}
