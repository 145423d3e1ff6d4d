package schemas

import (
	"context"
	"log/slog"
	"time"
)

// LogAudit writes a line about a change that an operator made, whatever the least
// level of the logger is: one may have raised that just now.
func LogAudit(ctx context.Context, log *slog.Logger, message string, attrs ...slog.Attr) {
	line := slog.NewRecord(time.Now(), slog.LevelInfo, message, 0)
	line.AddAttrs(slog.String(LogEvent, LogEventAdminChange))
	line.AddAttrs(attrs...)
	// What a line of a log cannot tell has nobody to be told.
	_ = log.Handler().Handle(ctx, line)
}
