package schemas_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

// The line is written whatever the level, with what the logger adds.
func TestLogAudit(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelError})).With(schemas.LogWorker, "w1")
	log.Info("not this")
	schemas.LogAudit(t.Context(), log, "changed", slog.String(schemas.LogWho, "anna"))
	line := out.String()
	for _, part := range []string{`"event":"admin.change"`, `"who":"anna"`, `"worker":"w1"`, `"level":"INFO"`} {
		if !strings.Contains(line, part) || strings.Contains(line, "not this") {
			t.Errorf("%s: no %s", line, part)
		}
	}
}
