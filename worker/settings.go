package worker

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// settings are what operators may change, as they are now.
func (w *Worker) settings() queue.WorkerSettings {
	s := queue.WorkerSettings{BatchWindowMS: float64(w.engine.BatchWindow()) / float64(time.Millisecond)}
	if w.level != nil {
		s.LogLevel = schemas.LogLevelName(w.level.Level())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Paused = w.paused
	return s
}

// changes are the last ones that were made, by the tokens of their answers: a
// message comes again when its answer was late, and is answered as it was then.
type changes struct {
	last [16]struct {
		token  string
		before queue.WorkerSettings
	}
	next int
}

func (c *changes) find(token string) (queue.WorkerSettings, bool) {
	for _, made := range c.last {
		if token != "" && made.token == token {
			return made.before, true
		}
	}
	return queue.WorkerSettings{}, false
}

func (c *changes) add(token string, before queue.WorkerSettings) {
	c.last[c.next].token, c.last[c.next].before = token, before
	c.next = (c.next + 1) % len(c.last)
}

// change does what a message asks, and says what there was before.
func (w *Worker) change(ctx context.Context, message queue.ControlMessage) queue.WorkerReport {
	before, repeated := w.answered.find(message.Answer)
	var refused error
	if !repeated {
		before = w.settings()
		if refused = w.apply(message); refused == nil {
			w.answered.add(message.Answer, before)
		}
		w.auditChange(ctx, message, before, w.settings(), refused)
	}
	report := w.report()
	report.Before = &before
	if refused != nil {
		report.Before, report.Refused = nil, refused.Error()
	}
	return report
}

// apply makes a change, or says why not.
func (w *Worker) apply(message queue.ControlMessage) error {
	switch message.Kind {
	case queue.ControlBatchWindow:
		return w.setBatchWindow(message.WindowMS)
	case queue.ControlLogLevel:
		if w.level == nil {
			return &refusedError{"its log level is fixed"}
		}
		level, err := schemas.ParseLogLevel(message.Level)
		if err != nil {
			return &refusedError{err.Error()}
		}
		w.level.Set(level)
		return nil
	}
	return w.setPaused(message.Kind == queue.ControlPause)
}

func (w *Worker) setBatchWindow(ms *float64) error {
	most := w.config.MaxBatchWindow
	if ms == nil || !(*ms >= 0 && *ms <= float64(most)/float64(time.Millisecond)) {
		return &refusedError{fmt.Sprintf("its batch window may be 0 to %s", most)}
	}
	w.engine.SetBatchWindow(time.Duration(math.Round(*ms * float64(time.Millisecond))))
	return nil
}

// setPaused stops the taking of jobs, or lets it go on. Who drains is about to end.
func (w *Worker) setPaused(pause bool) error {
	w.mu.Lock()
	draining := w.draining
	if !draining {
		w.paused = pause
	}
	w.mu.Unlock()
	if draining {
		return &refusedError{"it is draining, and ends then"}
	}
	if pause {
		w.handBackUnstarted(errPaused, false)
	}
	signal(w.news)
	signal(w.changed)
	return nil
}

// auditChange says in the log who changed what. What changes nothing is no change.
func (w *Worker) auditChange(
	ctx context.Context, message queue.ControlMessage, before, after queue.WorkerSettings, refused error,
) {
	var old, now any
	switch message.Kind {
	case queue.ControlBatchWindow:
		old, now = before.BatchWindowMS, after.BatchWindowMS
	case queue.ControlLogLevel:
		old, now = before.LogLevel, after.LogLevel
	default:
		old, now = before.Paused, after.Paused
	}
	switch {
	case refused != nil:
		w.log.Warn("a change by an operator was refused", schemas.LogEvent, schemas.LogEventAdminChange, schemas.LogRequestID, message.RequestID,
			schemas.LogWho, message.By, schemas.LogChange, message.Kind, schemas.LogError, refused)
	case old != now:
		w.audit(ctx, message, old, now)
	}
}

// audit says in the log that somebody changed something.
func (w *Worker) audit(ctx context.Context, message queue.ControlMessage, old, now any) {
	schemas.LogAudit(ctx, w.log, "changed by an operator",
		slog.String(schemas.LogRequestID, message.RequestID), slog.String(schemas.LogWho, message.By),
		slog.String(schemas.LogChange, message.Kind), slog.Any(schemas.LogBefore, old), slog.Any(schemas.LogAfter, now))
}
