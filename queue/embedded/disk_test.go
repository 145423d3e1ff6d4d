package embedded

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestDiskFull: a server whose disk was full says so, and goes on by itself with
// what it had stored, at the same address, once there is room.
func TestDiskFull(t *testing.T) {
	var room atomic.Int64
	s, err := Start(t.Context(), Options{
		Port: -1, StoreDir: t.TempDir(), MaxStore: 1 << 20,
		free: func(string) (int64, error) { return room.Load(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
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

	s.log.Warnf("slow: %v", time.Second)
	s.log.Errorf("%s", fmt.Sprintf("JetStream failed to store a msg on stream 'S': %v", syscall.ENOSPC))
	wait(t, "the full disk is noticed", s.DiskFull)
	room.Store(roomAgain - 1)
	if first != s.current() {
		t.Fatal("started again without room")
	}
	room.Store(roomAgain)
	wait(t, "the server goes on", func() bool { return !s.DiskFull() })
	if first == s.current() || first.Running() || s.ClientURL() != url {
		t.Errorf("the same server %v, the old one runs %v, at %s, was %s", first == s.current(), first.Running(), s.ClientURL(), url)
	}
	wait(t, "the client is back", func() bool {
		m, err := js.GetMsg("S", 1, nats.MaxWait(time.Second))
		return err == nil && string(m.Data) == "kept"
	})
	if _, err := js.Publish("s", []byte("more")); err != nil {
		t.Error(err)
	}

	// Also a server that waits for room can be stopped.
	room.Store(0)
	s.log.Errorf("%v", syscall.ENOSPC)
	wait(t, "the full disk is noticed", s.DiskFull)
	s.Stop()
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
