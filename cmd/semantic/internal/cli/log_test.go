package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/queue/embedded"
)

// logging is an app whose command line has such log settings.
func logging(t *testing.T, stderr *bytes.Buffer, newCommand func(*app) *cobra.Command, given ...string) *app {
	t.Helper()
	a := &app{Err: stderr}
	root := newRootCommand(a, stderr)
	cmd, rest, err := root.Find(append([]string{newCommand(a).Name()}, given...))
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Fatal(err)
	}
	a.Getenv, a.Environ = func(string) string { return "" }, func() []string { return nil }
	a.Level = new(slog.LevelVar)
	a.setUp(cmd)
	return a
}

// Without a file the worker of serve writes for the terminal that it shares; with
// one it writes what the file has, and serve alone has the file.
func TestWorkerArgsLog(t *testing.T) {
	nats, err := embedded.Start(t.Context(), embedded.Options{Host: "127.0.0.1", Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	for _, c := range []struct {
		config config.Config
		want   []string
	}{
		{config.Config{LogFormat: "auto"}, []string{"--log-format", "auto", "--log-file", "", "--log-content=false"}},
		{config.Config{LogFormat: "auto", LogFile: "f", LogContent: true},
			[]string{"--log-format", "json", "--log-file", "", "--log-content=true"}},
		{config.Config{LogFormat: "console", LogFile: "f"}, []string{"--log-format", "console", "--log-file", "", "--log-content=false"}},
	} {
		c.config.NATSHost = "127.0.0.1"
		args := (&serveProcess{config: &config.Loaded{Config: c.config}, nats: nats}).workerArgs()
		at := slices.Index(args, "--log-format")
		if got := args[at : at+len(c.want)]; !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.config, got, c.want)
		}
	}
}

// The commands that serve write to the file, and say where it cannot be; others
// leave it alone. What is logged on purpose is warned about.
func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "semantic.log")
	var stderr bytes.Buffer
	a := logging(t, &stderr, newWorkerCommand, "--log-file", path, "--log-content")
	if a.LogFile == nil || a.loadedErr != nil {
		t.Fatalf("no file: %v", a.loadedErr)
	}
	a.warnOfContent(a.loaded)
	second := logging(t, &stderr, newServeCommand, "--log-file", path)
	if !errors.Is(second.loadedErr, telemetry.ErrLogFileInUse) || !strings.HasPrefix(second.loadedErr.Error(), "--log-file: ") {
		t.Errorf("a second process: %v", second.loadedErr)
	}
	a.closeLog()
	if stderr.Len() > 0 {
		t.Errorf("the error output has %s", &stderr)
	}
	a = logging(t, &stderr, newWorkerCommand, "--log-content")
	a.warnOfContent(a.loaded)
	if !strings.Contains(stderr.String(), "prompts and answers are logged") {
		t.Errorf("no warning: %s", &stderr)
	}
	a.warnOfContent(&config.Loaded{})
	if strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("more than the warning: %s", &stderr)
	}
}
