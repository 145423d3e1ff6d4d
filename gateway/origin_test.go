package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHostAllowed(t *testing.T) {
	listed := newOrigins(Config{AllowedHosts: []string{"Mac.local", ".example.com"}})
	open := newOrigins(Config{AllowedHosts: []string{"*"}})
	for host, want := range map[string]bool{
		"":                      true, // HTTP/1.0
		"localhost":             true,
		"LOCALHOST:8000":        true,
		"api.localhost:1":       true,
		"localhost.":            true,
		"127.0.0.1:8000":        true,
		"127.0.0.1":             true,
		"[::1]:8000":            true,
		"[::1]":                 true,
		"192.168.1.5:8000":      true,
		"mac.local:8000":        true,
		"a.b.example.com":       true,
		"example.com":           false,
		"evil.com:8000":         false,
		"127.0.0.1.evil.com":    false,
		"localhost.evil.com:80": false,
		"notlocalhost":          false,
		"0x7f000001":            false,
	} {
		if got := listed.hostAllowed(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
		if !open.hostAllowed(host) {
			t.Errorf("%q: refused though every host is allowed", host)
		}
	}
}

func TestOriginVerdict(t *testing.T) {
	listed := newOrigins(Config{AllowedOrigins: []string{"https://App.example.com"}})
	for _, c := range []struct {
		origin string
		want   originVerdict
	}{
		{"", originNone},
		{"http://localhost:8000", originSame},
		{"HTTP://LOCALHOST:8000", originSame},
		{"http://localhost:3000", originForeign},
		{"https://app.example.com", originListed},
		{"https://app.example.com.evil.com", originForeign},
		{"null", originForeign},
		{"file://", originForeign},
		{"http://localhost:8000@evil.com", originForeign},
		{"://", originForeign},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost:8000/v1/models", nil)
		r.Header.Set("Origin", c.origin)
		if c.origin == "" {
			r.Header.Del("Origin")
		}
		if got := listed.verdict(r); got != c.want {
			t.Errorf("%q: got %v, want %v", c.origin, got, c.want)
		}
	}
}
