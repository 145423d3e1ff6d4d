package gateway

import (
	"log/slog"
	"net/http"
)

// NewHTTPServer makes a server around the gateway with its configured limits.
// There is no write timeout on the whole response, since a stream may be long;
// each write is bounded by the handler instead.
//
// To stop: [Gateway.Drain] first, then the server's Shutdown. A server that is
// closed without Drain looks to its handlers like clients that left, and their
// jobs are cancelled.
func NewHTTPServer(g *Gateway) *http.Server {
	return &http.Server{
		Handler:           g.Handler(),
		ReadHeaderTimeout: g.config.HeaderTimeout,
		IdleTimeout:       g.config.IdleTimeout,
		MaxHeaderBytes:    g.config.MaxHeaderBytes,
		// Faults of single connections (a TLS handshake, a broken request line).
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}
