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
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	span := func(key string, d time.Duration, known bool) {
		if known {
			attrs = append(attrs, slog.Duration(key, d))
		}
	}
	text(schemas.LogCode, string(c.code))
	text(schemas.LogOwner, c.owner)
	text(schemas.LogAgent, c.agent)
	text(schemas.LogAlias, c.alias)
	text(schemas.LogClass, string(c.class))
	text(schemas.LogFinish, string(p.finish))
	if c.accepted {
		attrs = append(attrs, slog.Bool(schemas.LogStream, c.stream), slog.Int(schemas.LogAttempts, p.attempts), slog.Int(schemas.LogEvents, p.events))
	}
	span(schemas.LogQueued, p.queued(), !p.claimed.IsZero())
	span(schemas.LogPrefill, p.prefill(), !p.claimed.IsZero() && !p.first.IsZero())
	span(schemas.LogTTFT, between(c.start, p.first), !p.first.IsZero())
	span(schemas.LogDecode, p.decode(), !p.first.IsZero())
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
