package client

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script puts a shell script on a PATH of its own.
func script(t *testing.T, dir, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if argv, tried := Find(t.Context(), []string{"one"}); argv != nil || tried != nil {
		t.Errorf("found %v, tried %v", argv, tried)
	}
	script(t, dir, "one", "exit 127")
	if argv, tried := Find(t.Context(), []string{"one"}); argv != nil || len(tried) != 1 {
		t.Errorf("found %v, tried %v", argv, tried)
	}
	script(t, dir, "two", `[ "$1 $2" = "-m --version" ]`)
	argv, tried := Find(t.Context(), []string{"one"}, []string{"two", "-m"})
	if strings.Join(argv, " ") != filepath.Join(dir, "two")+" -m" || tried != nil {
		t.Errorf("found %v, tried %v", argv, tried)
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	script(t, dir, "good", `echo "$1 $X"; pwd; echo noise >&2`)
	out, err := Run(t.Context(), Command{Argv: []string{filepath.Join(dir, "good"), "a"}, Dir: dir, Env: []string{"X=y"}})
	if err != nil || !strings.HasPrefix(string(out), "a y\n") || strings.Contains(string(out), "noise") {
		t.Errorf("got %q, %v", out, err)
	}
	script(t, dir, "bad", `echo "to stdout"; echo "to stderr" >&2; exit 3`)
	_, err = Run(t.Context(), Command{Argv: []string{filepath.Join(dir, "bad")}})
	var failed *Error
	var exit *exec.ExitError
	if !errors.As(err, &failed) || !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(err.Error(), "to stdout\n    to stderr") {
		t.Errorf("error %q does not say what the client said", err)
	}
	script(t, dir, "silent", `exit 1`)
	if _, err := Run(t.Context(), Command{Argv: []string{filepath.Join(dir, "silent")}}); err == nil || strings.Contains(err.Error(), "said") {
		t.Errorf("error %v", err)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "started")
	script(t, dir, "slow", `trap 'exit 1' INT; echo > "$1"; while :; do read x < "$2"; done`)
	for _, name := range []string{fifo, fifo + "2"} {
		if err := exec.CommandContext(t.Context(), "mkfifo", name).Run(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(fifo) // returns when the script has started
		cancel()
	}()
	if _, err := Run(ctx, Command{Argv: []string{filepath.Join(dir, "slow"), fifo, fifo + "2"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestLastLines(t *testing.T) {
	long := strings.Repeat("a line\n", 1000)
	got := lastLines(long)
	if !strings.HasPrefix(got, "…\na line\n") || len(got) > tail+10 {
		t.Errorf("%d bytes: %.20q", len(got), got)
	}
}

func TestMissingError(t *testing.T) {
	e := &MissingError{Client: "npm", What: "the runtime", Install: "brew install node", From: "use --from"}
	if s := e.Error(); s != "npm fetches the runtime, and it is not on PATH" {
		t.Error(s)
	}
	if s := e.Hint(); s != "Either install it (brew install node), or use --from." {
		t.Error(s)
	}
	e.Tried = []string{"npm"}
	if s := e.Error(); !strings.Contains(s, "tried npm") {
		t.Error(s)
	}
}
