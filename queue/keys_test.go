package queue_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

func TestKeys(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	ctx := t.Context()
	for _, bad := range []string{"", "a b", "ü", "a/b", strings.Repeat("x", 65)} {
		if _, err := q.AddKey(ctx, bad); !errors.Is(err, queue.ErrInvalid) {
			t.Errorf("name %q: %v", bad, err)
		}
	}
	key, err := q.AddKey(ctx, "team.a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.AddKey(ctx, "team.a"); !errors.Is(err, queue.ErrKeyExists) {
		t.Errorf("a second one of the name: %v", err)
	}
	// Read anew, as another process would.
	fresh := queuetest.Open(t, srv)
	found, required, err := fresh.FindKey(ctx, key)
	if err != nil || !required || found.Name != "team.a" || found.Hint != key[len(key)-4:] {
		t.Fatalf("found %+v, required %v, %v", found, required, err)
	}
	if found, _, _ := fresh.FindKey(ctx, key+"x"); found.Name != "" {
		t.Errorf("a wrong key is %+v's", found)
	}
	nobodyHasIt(t, srv, key)
	if err := q.OpenToAll(ctx); err == nil {
		keys, _, _ := q.Keys(ctx)
		t.Errorf("opened with keys %v left", keys)
	}
	if err := q.RevokeKey(ctx, "team.a"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"team.a", "never", "*", ""} {
		if err := q.RevokeKey(ctx, name); !errors.Is(err, queue.ErrNoKey) {
			t.Errorf("revoke %q: %v, want ErrNoKey", name, err)
		}
	}
	if keys, required, err := queuetest.Open(t, srv).Keys(ctx); err != nil || len(keys) != 0 || !required {
		t.Errorf("after the last was revoked: %v, required %v, %v", keys, required, err)
	}
}

// nobodyHasIt looks for a key in everything that the broker stores.
func nobodyHasIt(t *testing.T, srv *queuetest.Server, key string) {
	t.Helper()
	_, js := stranger(t, srv)
	kv, err := js.KeyValue(t.Context(), "keys")
	if err != nil {
		t.Fatal(err)
	}
	names, err := kv.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name := range names.Keys() {
		entry, err := kv.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(entry.Value()), key) {
			t.Errorf("entry %s has the key itself", name)
		}
	}
}
