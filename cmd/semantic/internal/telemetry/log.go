package telemetry

import (
	"io"
	"log/slog"

	"github.com/lmittmann/tint"

	"github.com/semantic-worker/semantic/schemas"
)

// LogFormat is how log lines look.
type LogFormat string

// The log formats.
const (
	// LogAuto is console on a terminal and json elsewhere.
	LogAuto LogFormat = "auto"
	// LogJSON is one JSON object a line.
	LogJSON LogFormat = "json"
	// LogConsole is for people, coloured on a terminal.
	LogConsole LogFormat = "console"
)

// LogOptions configure [NewLogger].
type LogOptions struct {
	// Level is the least level that is written; nil means info. A
	// *slog.LevelVar can be changed while the logger is in use.
	Level slog.Leveler
	// Format of the lines; empty means auto.
	Format LogFormat
	// Terminal tells whether the writer is a terminal.
	Terminal bool
	// NoColor turns colours off on a terminal too (NO_COLOR).
	NoColor bool
}

// NewLogger returns a logger that writes to w. The writer needs no lock of its
// own.
func NewLogger(w io.Writer, o LogOptions) *slog.Logger {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	console := o.Format == LogConsole || o.Format != LogJSON && o.Terminal
	if !console {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: seconds}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level:       o.Level,
		TimeFormat:  "15:04:05.000",
		NoColor:     !o.Terminal || o.NoColor,
		ReplaceAttr: forPeople,
	}))
}

// red is the colour of errors on a terminal.
const red = 9

// forPeople shows errors in red, and leaves out what is empty.
func forPeople(groups []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindString && a.Value.String() == "" && a.Key != slog.MessageKey {
		return slog.Attr{}
	}
	if _, isError := a.Value.Any().(error); isError && len(groups) == 0 {
		return tint.Attr(red, a)
	}
	return a
}

// seconds writes a duration in seconds, with the unit in its key: slog's bare
// nanoseconds tell neither.
func seconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	a.Key, a.Value = a.Key+"_seconds", slog.Float64Value(a.Value.Duration().Seconds())
	return a
}

// ParseLevel reads a level by its name: debug, info, warn or error.
func ParseLevel(name string) (slog.Level, error) { return schemas.ParseLogLevel(name) }
