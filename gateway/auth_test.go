package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestKeyring(t *testing.T) {
	k := newKeyring([]string{"first-key", "second-key"})
	owner := func(header, value string) (string, bool) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set(header, value)
		}
		return k.owner(r)
	}
	first, ok := owner("Authorization", "Bearer first-key")
	if !ok || strings.Contains(first, "first") {
		t.Fatalf("got owner %q, %v", first, ok)
	}
	second, ok := owner("X-Api-Key", "second-key")
	if !ok || second == first {
		t.Fatalf("got owner %q, %v beside %q", second, ok, first)
	}
	for header, value := range map[string]string{"authorization": "bearer first-key", "api-key": "first-key"} {
		if got, ok := owner(header, value); !ok || got != first {
			t.Errorf("%s: got %q, %v", header, got, ok)
		}
	}
	for header, value := range map[string]string{
		"": "", "Authorization": "Basic first-key", "X-Api-Key": "first-key2", "Api-Key": "first-ke",
	} {
		if got, ok := owner(header, value); ok {
			t.Errorf("%s %q: let in as %q", header, value, got)
		}
	}
	if got := newKeyring([]string{"first-key"}).owners[0]; got != first {
		t.Errorf("another gateway calls the owner %q, this one %q", got, first)
	}
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
