package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// began logs that a request is here, for who looks for one that hangs.
func (c *call) began(r *http.Request) {
	c.log.LogAttrs(r.Context(), slog.LevelDebug, "request begins",
		slog.String(schemas.LogEvent, schemas.LogEventRequestStart),
		slog.String(schemas.LogMethod, shown(r.Method)),
		slog.String(schemas.LogPath, shown(r.URL.Path)),
		slog.String(schemas.LogRemote, r.RemoteAddr))
}

// ended logs the canonical line of a request: who, what, sizes, timings, outcome.
// What is not known has no attribute.
func (c *call) ended(ctx context.Context, r *http.Request, rec *recorder, took time.Duration) {
	p := &c.progress
	attrs := []slog.Attr{
		slog.String(schemas.LogEvent, schemas.LogEventRequestEnd),
		slog.String(schemas.LogMethod, shown(r.Method)),
		slog.String(schemas.LogPath, shown(r.URL.Path)),
		slog.String(schemas.LogRoute, c.route),
		slog.String(schemas.LogAPI, c.api),
		slog.String(schemas.LogRemote, r.RemoteAddr),
		slog.Int(schemas.LogStatus, c.status(rec.status)),
		slog.String(schemas.LogOutcome, c.outcome()),
		slog.Int(schemas.LogRequestBytes, c.received),
		slog.Int64(schemas.LogResponseBytes, rec.bytes),
		slog.Duration(schemas.LogDuration, took),
	}
	for _, a := range []slog.Attr{
		slog.String(schemas.LogCode, string(c.code)), slog.String(schemas.LogOwner, c.owner), slog.String(schemas.LogAgent, c.agent),
		slog.String(schemas.LogAlias, c.alias), slog.String(schemas.LogClass, string(c.class)), slog.String(schemas.LogFinish, string(p.finish)),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if c.accepted {
		attrs = append(attrs, slog.Bool(schemas.LogStream, c.stream), slog.Int(schemas.LogAttempts, p.attempts),
			slog.Int(schemas.LogEvents, p.events))
	}
	if !p.claimed.IsZero() {
		attrs = append(attrs, slog.Duration(schemas.LogQueued, p.queued()))
	}
	if !p.first.IsZero() {
		attrs = append(attrs, slog.Duration(schemas.LogTTFT, between(c.start, p.first)), slog.Duration(schemas.LogPrefill, p.prefill()),
			slog.Duration(schemas.LogDecode, p.decode()))
	}
	if u := p.usage; u != nil {
		attrs = append(attrs, slog.Int(schemas.LogPromptTokens, u.PromptTokens), slog.Int(schemas.LogCachedTokens, u.CachedTokens),
			slog.Int(schemas.LogCompletionTokens, u.CompletionTokens))
	}
	if c.cause != nil {
		attrs = append(attrs, slog.Any(schemas.LogError, c.cause))
	}
	if len(c.warnings) > 0 {
		attrs = append(attrs, slog.Any(schemas.LogWarnings, c.warnings))
	}
	c.log.LogAttrs(ctx, c.level(), "request", attrs...)
}

func (c *call) level() slog.Level {
	switch {
	case c.code != "" && c.status(0) >= http.StatusInternalServerError:
		return slog.LevelWarn
	case c.quiet:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
