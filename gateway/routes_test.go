package gateway

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/semantic-worker/semantic/schemas"
)

// openapi.yaml and the gateway name the same paths, method by method. HEAD goes
// without saying where there is GET.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(schemas.OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, operations := range doc.Paths {
		for method := range operations {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, rt := range bareGateway(t, nil).routes() {
		for method := range rt.methods {
			if method == http.MethodHead && rt.methods[http.MethodGet] != nil {
				continue
			}
			served = append(served, method+" "+strings.ReplaceAll(rt.path, "...}", "}"))
		}
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %q\n   served %q", described, served)
	}
}

// Whatever the target, the answer is ours: no redirect, no page, no plain text.
func TestOddTargets(t *testing.T) {
	b := startBench(t, expectM)
	for line, code := range map[string]schemas.Code{
		"GET //v1//models":                          schemas.CodeNotFound,
		"GET /v1/./models":                          schemas.CodeNotFound,
		"GET /v1/../v1/models":                      schemas.CodeNotFound,
		"POST /v1/chat/completions/":                schemas.CodeNotFound,
		"GET /v1/models/":                           schemas.CodeNotFound,
		"GET http://localhost":                      schemas.CodeNotFound,
		"GET *":                                     schemas.CodeNotFound,
		"OPTIONS *":                                 schemas.CodeNotFound,
		"CONNECT localhost:80":                      schemas.CodeNotFound,
		"CONNECT /v1/models":                        schemas.CodeMethodNotAllowed,
		"OPTIONS /v1/models":                        schemas.CodeMethodNotAllowed,
		"TRACE /health":                             schemas.CodeMethodNotAllowed,
		"DELETE /v1/models/a/b":                     schemas.CodeMethodNotAllowed,
		"GET /v1/models/%2e%2e/x":                   schemas.CodeModelNotFound,
		"GET /v1/models/%00%ff%0d%0aX:":             schemas.CodeModelNotFound,
		"GET /" + strings.Repeat("x", 20_000):       schemas.CodeNotFound,
		strings.Repeat("X", 20_000) + " /v1/models": schemas.CodeMethodNotAllowed,
		"GET http://evil.example.com/v1/models":     schemas.CodeForbidden,
	} {
		name := line[:min(len(line), 40)]
		t.Run(name, func(t *testing.T) {
			resp := status(t, b.dial(line+" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
			got := wantError(t, resp, code)
			if len(got.Message) > 1000 {
				t.Errorf("a message of %d bytes", len(got.Message))
			}
			if strings.ContainsAny(got.Message, "{}") {
				t.Errorf("the message shows a pattern: %q", got.Message)
			}
			if (resp.Header.Get("Allow") != "") != (code == schemas.CodeMethodNotAllowed) {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
		})
	}
}

func TestNoRouteNamesTheOneMeant(t *testing.T) {
	b := startBench(t)
	for target, meant := range map[string]string{
		"/chat/completions":       "/v1/chat/completions",
		"/v1/v1/chat/completions": "/v1/chat/completions",
		"/v1//chat/completions/":  "/v1/chat/completions",
		"//models":                "/v1/models",
		"/v1/health":              "/health",
	} {
		got := wantError(t, b.do(http.MethodGet, target, ""), schemas.CodeNotFound)
		if !strings.Contains(got.Message, "Did you mean "+meant+"?") {
			t.Errorf("%s: message %q", target, got.Message)
		}
	}
	if got := wantError(t, b.do(http.MethodGet, "/v2/models", ""), schemas.CodeNotFound); strings.Contains(got.Message, "mean") {
		t.Errorf("message %q", got.Message)
	}
}

// A refused Host or Origin names what would allow it.
func TestForbiddenNamesItsMend(t *testing.T) {
	b := startBench(t, expectM)
	for _, c := range []struct{ header, value, mend string }{
		{"Host", "evil.example.com", "--allowed-hosts"},
		{"Origin", "http://evil.example.com", "--allowed-origins"},
	} {
		got := wantError(t, b.do(http.MethodGet, "/v1/models", "", c.header, c.value), schemas.CodeForbidden)
		if !strings.Contains(got.Message, c.mend) {
			t.Errorf("%s: %q does not name %s", c.header, got.Message, c.mend)
		}
	}
}
