package schemas_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Bodies of the admin interface are strict: what is not known, or out of range, is
// refused in the name of its field.
func TestAdminRequests(t *testing.T) {
	window := func(doc string) error { _, err := schemas.DecodeBatchWindowChange([]byte(doc)); return err }
	level := func(doc string) error { _, err := schemas.DecodeLogLevelChange([]byte(doc)); return err }
	drain := func(doc string) error { _, err := schemas.DecodeDrainRequest([]byte(doc)); return err }
	for _, c := range []struct {
		decode func(string) error
		doc    string
		field  string
		code   schemas.Code
	}{
		{window, `{}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":-1}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":60000.1}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":1e999}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":null}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":"5ms"}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":5,"window_ms":6}`, "window_ms", schemas.CodeInvalidRequest},
		{window, `{"window_ms":5,"Window_MS":6}`, "Window_MS", schemas.CodeUnknownParameter},
		{window, `{"window_ms":5,"worker":"w"}`, "worker", schemas.CodeUnknownParameter},
		{window, `[]`, "", schemas.CodeInvalidRequest},
		{window, `{"window_ms":5} x`, "", schemas.CodeInvalidRequest},
		{window, ``, "", schemas.CodeInvalidRequest},
		{level, `{"level":"loud"}`, "level", schemas.CodeInvalidRequest},
		{level, `{"level":"DEBUG+3"}`, "level", schemas.CodeInvalidRequest},
		{level, `{"level":""}`, "level", schemas.CodeInvalidRequest},
		{level, `{"level":3}`, "level", schemas.CodeInvalidRequest},
		{level, `{"level":"info","for":"1h"}`, "for", schemas.CodeUnknownParameter},
		{drain, `{"timeout_ms":-1}`, "timeout_ms", schemas.CodeInvalidRequest},
		{drain, `{"timeout_ms":1.5}`, "timeout_ms", schemas.CodeInvalidRequest},
		{drain, `{"timeout_ms":99999999999999}`, "timeout_ms", schemas.CodeInvalidRequest},
		{drain, `{"timeout_ms":1,"pause":true}`, "timeout_ms", schemas.CodeInvalidRequest},
		{drain, `{"pause":1}`, "pause", schemas.CodeInvalidRequest},
		{drain, `{"now":true}`, "now", schemas.CodeUnknownParameter},
	} {
		wantField(t, c.doc, c.decode(c.doc), c.field, c.code)
	}
	for _, good := range []error{
		window(`{"window_ms":0}`), window(`{"window_ms":60000}`), level(`{"level":"Warn"}`), drain(`{}`),
		drain(`{"pause":true}`), drain(`{"timeout_ms":0}`), drain(`{"pause":false,"timeout_ms":5}`),
	} {
		if good != nil {
			t.Error(good)
		}
	}
	half, err := schemas.DecodeBatchWindowChange([]byte(`{"window_ms":0.5}`))
	if err != nil || half.Window() != 500*time.Microsecond {
		t.Errorf("%v, %v", half.Window(), err)
	}
}

func TestLogLevels(t *testing.T) {
	for _, name := range schemas.LogLevels() {
		level, err := schemas.ParseLogLevel(name)
		if err != nil || schemas.LogLevelName(level) != name {
			t.Errorf("%s is %v, %v", name, level, err)
		}
	}
	if got := schemas.LogLevelName(slog.LevelWarn); got != "warn" {
		t.Errorf("warn is %q", got)
	}
}
