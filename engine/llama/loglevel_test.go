package llama

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	binding "github.com/hybridgroup/yzma/pkg/llama"
)

// What the library says comes out of the process's own handler, a level lower.
func TestNativeLevels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := logs{logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for i, level := range []binding.LogLevel{
		binding.LogLevelDebug, binding.LogLevelInfo, binding.LogLevelWarn, binding.LogLevelError,
	} {
		l.level = level
		l.emit(fmt.Sprintf("line%d", i))
	}
	l.level = binding.LogLevelWarn
	l.emit("n_ctx_seq > n_ctx_train -- possible training context overflow")
	var got []string
	for line := range strings.Lines(out.String()) {
		_, line, _ = strings.Cut(line, "level=")
		got = append(got, strings.TrimSpace(line))
	}
	want := []string{
		"DEBUG msg=line1 component=llama.cpp", "INFO msg=line2 component=llama.cpp", "WARN msg=line3 component=llama.cpp",
		`DEBUG msg="n_ctx_seq > n_ctx_train -- possible training context overflow" component=llama.cpp`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
