package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// origins decides which Host and Origin headers are served. A page that any
// browser tab may open can send requests to loopback, either across origins or
// (DNS rebinding) under a name of its own that suddenly resolves to 127.0.0.1.
// The first shows in Origin, the second in Host. Immutable.
type origins struct {
	hosts   []string
	origins []string
}

func newOrigins(c Config) *origins {
	o := &origins{}
	for _, host := range c.AllowedHosts {
		o.hosts = append(o.hosts, strings.ToLower(host))
	}
	for _, origin := range c.AllowedOrigins {
		o.origins = append(o.origins, strings.ToLower(origin))
	}
	return o
}

// hostAllowed accepts localhost, IP addresses and configured names. An address
// needs no list: a browser that shows one in Host went to that very address,
// so nothing was rebound. No Host at all (HTTP/1.0) is no browser.
func (o *origins) hostAllowed(hostport string) bool {
	if hostport == "" {
		return true
	}
	host := strings.ToLower(strings.TrimSuffix(hostOf(hostport), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return slices.ContainsFunc(o.hosts, func(allowed string) bool {
		return allowed == "*" || allowed == host ||
			(strings.HasPrefix(allowed, ".") && strings.HasSuffix(host, allowed))
	})
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// originVerdict is what a request's Origin header means.
type originVerdict int

const (
	// originNone: no browser, or a plain navigation.
	originNone originVerdict = iota
	// originSame: a page that this gateway serves.
	originSame
	// originListed: another site, and the configuration allows it.
	originListed
	// originForeign: another site.
	originForeign
)

func (o *origins) verdict(r *http.Request) originVerdict {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return originNone
	}
	// "null" parses to an empty host, which no request has.
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return originSame
	}
	lower := strings.ToLower(origin)
	if slices.ContainsFunc(o.origins, func(allowed string) bool { return allowed == "*" || allowed == lower }) {
		return originListed
	}
	return originForeign
}

// setCORS lets a page of a listed origin read the response.
func setCORS(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", strings.Join([]string{
		headerRequestID, headerJob, headerOwnerToken, headerWarning, headerTraceParent, "Retry-After",
	}, ", "))
}

// isPreflight tells a CORS preflight from other OPTIONS requests.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions &&
		r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

func answerPreflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	setCORS(h, r.Header.Get("Origin"))
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	// What is asked for is echoed: SDKs send headers of their own
	// (X-Stainless-…), and the origin is trusted already.
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}
