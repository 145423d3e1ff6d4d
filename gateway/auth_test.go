package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/queue/queuetest"
)

func TestKeyring(t *testing.T) {
	q := queuetest.Open(t, queuetest.Start(t), unhurried)
	k := newKeyring(q, []string{"first-key", "second-key"})
	owner := func(k *keyring, header, value string) string {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set(header, value)
		}
		who, err := k.owner(r)
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	first := owner(k, "Authorization", "Bearer first-key")
	if first == "" || strings.Contains(first, "first") {
		t.Fatalf("got owner %q", first)
	}
	if second := owner(k, "X-Api-Key", "second-key"); second == "" || second == first {
		t.Fatalf("got owner %q beside %q", second, first)
	}
	for header, value := range map[string]string{"authorization": "bearer first-key", "api-key": "first-key"} {
		if got := owner(k, header, value); got != first {
			t.Errorf("%s: got %q", header, got)
		}
	}
	for header, value := range map[string]string{
		"": "", "Authorization": "Basic first-key", "X-Api-Key": "first-key2", "Api-Key": "first-ke",
	} {
		if got := owner(k, header, value); got != "" {
			t.Errorf("%s %q: let in as %q", header, value, got)
		}
	}
	if got := newKeyring(q, []string{"first-key"}).owners[0]; got != first {
		t.Errorf("another gateway calls the owner %q, this one %q", got, first)
	}
	if got := owner(newKeyring(q, nil), "Api-Key", "anything"); got != ownerLocal {
		t.Errorf("without keys: %q", got)
	}
}

// TestKeysWithoutRestart: a key that is added or revoked counts at once, at every
// gateway; the last one that is revoked does not open the door.
func TestKeysWithoutRestart(t *testing.T) {
	broker := queuetest.Start(t)
	admin := queuetest.Open(t, broker, unhurried)
	rings := []*keyring{newKeyring(queuetest.Open(t, broker, unhurried), nil), newKeyring(queuetest.Open(t, broker, unhurried), nil)}
	everywhere := func(key, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		for i, ring := range rings {
			eventually(t, fmt.Sprintf("gateway %d knows %q as %q", i, key, want), func() bool {
				got, err := ring.owner(r)
				return err == nil && got == want
			})
		}
	}
	everywhere("none", ownerLocal)
	anna, err := admin.AddKey(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	everywhere(anna, "key:anna")
	everywhere("none", "")
	if err := admin.RevokeKey(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	everywhere(anna, "")
	again, err := admin.AddKey(t.Context(), "anna")
	if err != nil || again == anna {
		t.Fatalf("the name cannot be used again: %q, %v", again, err)
	}
	everywhere(again, "key:anna")
	everywhere(anna, "")
	if err := admin.RevokeKey(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	if err := admin.OpenToAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	everywhere("none", ownerLocal)
}

func TestRequestID(t *testing.T) {
	for _, id := range []string{"a", "req_1-2.3:4", strings.Repeat("x", maxRequestID)} {
		if got := requestIDFrom(id); got != id {
			t.Errorf("%q became %q", id, got)
		}
	}
	for _, id := range []string{"", "a b", "a\nb", "ü", strings.Repeat("x", maxRequestID+1), `"`} {
		got := requestIDFrom(id)
		if got == id || !validRequestID(got) {
			t.Errorf("%q became %q", id, got)
		}
	}
	if first, second := requestIDFrom(""), requestIDFrom(""); first == second {
		t.Error("two requests have one id")
	}
}
