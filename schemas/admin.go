package schemas

import (
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas/internal/strictjson"
)

// MaxBatchWindow is the longest batch window that may be set.
const MaxBatchWindow = time.Minute

// BatchWindowChange is the body of a request that sets the batch window.
type BatchWindowChange struct {
	// WindowMS is how long an idle engine waits for company before it starts a
	// step, in milliseconds and parts of them: 0 … 60,000. 0 waits for nobody.
	WindowMS float64 `json:"window_ms"`
}

// Window is WindowMS as a duration.
func (c BatchWindowChange) Window() time.Duration {
	return time.Duration(math.Round(c.WindowMS * float64(time.Millisecond)))
}

// LogLevelChange is the body of a request that sets the log level.
type LogLevelChange struct {
	// Level is debug, info, warn or error.
	Level string `json:"level"`
}

// DrainRequest is the body of a request that drains a worker.
type DrainRequest struct {
	// Pause makes the worker take no more jobs but stay, until it is told to take
	// jobs again. Without it the worker hands over what it runs, and ends.
	Pause bool `json:"pause,omitempty"`
	// TimeoutMS is how long running jobs get to end before they are handed over, in
	// milliseconds; nil leaves it to the worker. Not together with Pause.
	TimeoutMS *int64 `json:"timeout_ms,omitempty"`
}

// LogLevels are the names of the log levels, the least first.
func LogLevels() []string { return []string{"debug", "info", "warn", "error"} }

// ParseLogLevel reads the name of a log level, in letters of any case.
func ParseLogLevel(name string) (slog.Level, error) {
	levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
	if i := slices.Index(LogLevels(), strings.ToLower(name)); i >= 0 {
		return levels[i], nil
	}
	return 0, fmt.Errorf("%q is not a log level: use debug, info, warn or error", name)
}

// LogLevelName is the name of a log level.
func LogLevelName(level slog.Level) string { return strings.ToLower(level.String()) }

var (
	windowBinder = strictjson.For[BatchWindowChange]()
	levelBinder  = strictjson.For[LogLevelChange]()
	drainBinder  = strictjson.For[DrainRequest]()
)

// DecodeBatchWindowChange reads and validates a change of the batch window. Its
// errors are [*FieldError].
func DecodeBatchWindowChange(data []byte) (BatchWindowChange, error) {
	return bindRequest(data, windowBinder, func(c BatchWindowChange) error {
		if most := MaxBatchWindow.Milliseconds(); !(c.WindowMS >= 0 && c.WindowMS <= float64(most)) {
			return invalid("window_ms", "is %v, must be 0 to %d", c.WindowMS, most)
		}
		return nil
	})
}

// DecodeLogLevelChange reads and validates a change of the log level. Its errors
// are [*FieldError].
func DecodeLogLevelChange(data []byte) (LogLevelChange, error) {
	return bindRequest(data, levelBinder, func(c LogLevelChange) error {
		if _, err := ParseLogLevel(c.Level); err != nil {
			return invalid("level", "is %q, must be one of %s", c.Level, strings.Join(LogLevels(), ", "))
		}
		return nil
	})
}

// DecodeDrainRequest reads and validates a request to drain. Its errors are
// [*FieldError].
func DecodeDrainRequest(data []byte) (DrainRequest, error) {
	return bindRequest(data, drainBinder, func(d DrainRequest) error {
		switch {
		case d.TimeoutMS == nil:
		case d.Pause:
			return invalid("timeout_ms", "has no meaning with pause: nothing that runs is handed over")
		case *d.TimeoutMS < 0 || *d.TimeoutMS > MaxDeadlineMS:
			return invalid("timeout_ms", "is %d, must be 0 to %d", *d.TimeoutMS, int64(MaxDeadlineMS))
		}
		return nil
	})
}

func bindRequest[T any](data []byte, binder strictjson.Binder[T], validate func(T) error) (T, error) {
	var zero T
	root, err := strictjson.Parse(data)
	if err != nil {
		return zero, fieldError(err)
	}
	request, err := binder.Bind(root)
	if err != nil {
		return zero, fieldError(err)
	}
	if err := validate(request); err != nil {
		return zero, err
	}
	return request, nil
}
