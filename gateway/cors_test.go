package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

const app = "https://app.example.com"

func TestOriginRefusedByDefault(t *testing.T) {
	b := startBench(t, expectM)
	for _, origin := range []string{app, "null", "http://localhost:1"} {
		wantError(t, b.post(chatBody("x", false), "Origin", origin), schemas.CodeForbidden)
		wantError(t, b.do(http.MethodGet, "/health", "", "Origin", origin), schemas.CodeForbidden)
		resp := b.do(http.MethodOptions, "/v1/chat/completions", "",
			"Origin", origin, "Access-Control-Request-Method", "POST")
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: allowed", origin)
		}
		wantError(t, resp, schemas.CodeForbidden)
	}
	same := b.do(http.MethodGet, "/v1/models", "", "Origin", b.http.URL)
	if same.StatusCode != http.StatusOK || same.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("same origin: %d", same.StatusCode)
	}
}

func TestCORSWhenConfigured(t *testing.T) {
	b := startBench(t, withKeys("k"), func(o *benchOptions) { o.Config.AllowedOrigins = []string{app} })
	// A preflight carries no key, and needs none.
	resp := b.do(http.MethodOptions, "/v1/chat/completions", "",
		"Origin", app, "Access-Control-Request-Method", "POST",
		"Access-Control-Request-Headers", "authorization, x-stainless-os", "Access-Control-Request-Private-Network", "true")
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("status %d", resp.StatusCode)
	}
	for header, want := range map[string]string{
		"Access-Control-Allow-Origin":          app,
		"Access-Control-Allow-Headers":         "authorization, x-stainless-os",
		"Access-Control-Allow-Methods":         "GET, POST, DELETE, OPTIONS",
		"Access-Control-Allow-Private-Network": "true",
		"Vary":                                 "Origin",
	} {
		if got := resp.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	got := b.do(http.MethodGet, "/v1/models", "", "Origin", app, "Authorization", "Bearer k")
	if got.StatusCode != http.StatusOK || got.Header.Get("Access-Control-Allow-Origin") != app {
		t.Errorf("status %d, allowed %q", got.StatusCode, got.Header.Get("Access-Control-Allow-Origin"))
	}
	// What a page needs to come back to its job, it may read.
	exposed := got.Header.Get("Access-Control-Expose-Headers")
	for _, header := range []string{headerJob, headerOwnerToken, headerRequestID, "Retry-After"} {
		if !strings.Contains(exposed, header) {
			t.Errorf("%s is not among %s", header, exposed)
		}
	}
	// The page may read why it was refused.
	refused := b.do(http.MethodGet, "/v1/models", "", "Origin", app)
	if refused.Header.Get("Access-Control-Allow-Origin") != app {
		t.Error("an error is hidden from the page")
	}
	wantError(t, refused, schemas.CodeUnauthorized)
	wantError(t, b.do(http.MethodGet, "/v1/models", "", "Origin", "https://evil.example.com"), schemas.CodeForbidden)
	// OPTIONS that is no preflight is a method like any other.
	wantError(t, b.do(http.MethodOptions, "/v1/models", "", "Authorization", "Bearer k"), schemas.CodeMethodNotAllowed)
}

func TestAllowedHosts(t *testing.T) {
	b := startBench(t, func(o *benchOptions) { o.Config.AllowedHosts = []string{"mac.local"} })
	if resp := b.do(http.MethodGet, "/health/live", "", "Host", "mac.local:8000"); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	wantError(t, b.do(http.MethodGet, "/health/live", "", "Host", "evil.example.com"), schemas.CodeForbidden)
}
