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
//
// What is no HTTP request, or one over the limits of headers, never comes to the
// handler: net/http answers it with a line of plain text and closes the
// connection (400, 417, 431, 501, 505). Package http has no hook for these.
func NewHTTPServer(g *Gateway) *http.Server {
	return &http.Server{
		Handler:           g.Handler(),
		ReadHeaderTimeout: g.config.HeaderTimeout,
		IdleTimeout:       g.config.IdleTimeout,
		MaxHeaderBytes:    g.config.MaxHeaderBytes,
		// OPTIONS * is guarded, counted and answered as everything else.
		DisableGeneralOptionsHandler: true,
		// Faults of single connections (a TLS handshake, a broken request line).
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}
