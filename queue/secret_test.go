package queue_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

func secret(t testing.TB, q *queue.Queue) []byte {
	t.Helper()
	s, err := q.Secret(within(t, time.Minute))
	if err != nil {
		t.Fatalf("secret: %v", err)
	}
	return s
}

// TestSecret: who asks at once agrees, a restart keeps it, and one that an
// operator removed is made anew for who connects then.
func TestSecret(t *testing.T) {
	srv := queuetest.Start(t)
	const gateways = 8
	queues := make([]*queue.Queue, gateways)
	for i := range queues {
		queues[i] = queuetest.Open(t, srv, fast)
	}
	secrets := make([][]byte, gateways)
	var asked sync.WaitGroup
	for i, q := range queues {
		asked.Go(func() { secrets[i] = secret(t, q) })
	}
	asked.Wait()
	if len(secrets[0]) != 32 || bytes.Equal(secrets[0], make([]byte, 32)) {
		t.Fatalf("the secret is %x", secrets[0])
	}
	for i := range secrets {
		if !bytes.Equal(secrets[i], secrets[0]) {
			t.Errorf("gateway %d has another secret", i)
		}
	}
	srv.Restart(t)
	for i, q := range queues {
		if !bytes.Equal(secret(t, q), secrets[0]) {
			t.Errorf("gateway %d has another secret after the broker's restart", i)
		}
	}

	_, js := stranger(t, srv)
	kv, err := js.KeyValue(t.Context(), "secrets")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "deployment"); err != nil {
		t.Fatal(err)
	}
	second := secret(t, queuetest.Open(t, srv, fast))
	if len(second) != 32 || bytes.Equal(second, secrets[0]) {
		t.Errorf("after its removal the secret is %x", second)
	}
	if !bytes.Equal(secret(t, queuetest.Open(t, srv, fast)), second) {
		t.Error("the new secret is not kept")
	}
}

// TestSecretDamaged: what cannot be the secret is refused, not used.
func TestSecretDamaged(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv, fast)
	_, js := stranger(t, srv)
	var kv jetstream.KeyValue
	kv, err := js.KeyValue(t.Context(), "secrets")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "deployment", []byte("short")); err != nil {
		t.Fatal(err)
	}
	if s, err := q.Secret(within(t, time.Minute)); err == nil {
		t.Errorf("a secret of %d bytes was accepted", len(s))
	}
}
