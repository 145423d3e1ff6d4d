package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine/enginetest"
)

// patience bounds every wait; none ends by it when all is well.
const patience = 3 * time.Minute

// server is a running `semantic serve`.
type server struct {
	t       *testing.T
	command *exec.Cmd
	exited  chan struct{}
	err     error
	log     *lineLog

	HTTP   string `json:"http"`
	NATS   string `json:"nats"`
	Model  string `json:"model"`
	Worker string `json:"worker"`
}

// place is what a server keeps over its restarts.
type place struct{ home, data string }

func newPlace(t *testing.T) place {
	t.Helper()
	return place{home: t.TempDir(), data: t.TempDir()}
}

// environment is this process's, without what would configure semantic.
func (p place) environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SEMANTIC_") {
			env = append(env, kv)
		}
	}
	return append(env, "SEMANTIC_HOME="+p.home)
}

// run runs a command of the program to its end and returns what it printed.
func (p place) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, binary, args...)
	command.Env = p.environment()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("semantic %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// installed makes, once, the home of a user who installed the native runtime and
// the default model, with what `model pull` makes of it for this machine.
var installed = sync.OnceValues(func() (string, error) {
	home, err := os.MkdirTemp(filepath.Dir(binary), "home-")
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"runtime", "install", "--from", os.Getenv("SEMANTIC_TEST_LIB")},
		{"model", "pull", "--from", os.Getenv("SEMANTIC_TEST_MODEL")},
	} {
		command := exec.Command(binary, args...)
		command.Env = place{home: home}.environment()
		if out, err := command.CombinedOutput(); err != nil {
			return "", fmt.Errorf("semantic %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return home, nil
})

// real gives the place the native runtime and the default model. Its home is
// that of all such places: servers only read it.
func (p place) real(t *testing.T) place {
	t.Helper()
	enginetest.Native(t)
	home, err := installed()
	if err != nil {
		t.Fatal(err)
	}
	p.home = home
	return p
}

// simulated are the flags of a server without a model.
func simulated(step time.Duration) []string {
	return []string{"--backend", "sim", "--model", "sim", "--sim-step", step.String()}
}

// serve starts a server on free ports and waits until it takes requests. The
// test's end stops it.
func (p place) serve(t *testing.T, args ...string) *server {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	all := append([]string{
		"serve", "--port", "0", "--nats-port", "0", "--data-dir", p.data, "--ready-file", ready,
		"--log-level", "debug", "--log-format", "json",
	}, args...)
	s := &server{t: t, command: exec.Command(binary, all...), exited: make(chan struct{}), log: newLineLog()}
	private.arguments(t, args)
	s.command.Env = p.environment()
	s.command.Stdout, s.command.Stderr = s.log, s.log
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.command.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		_ = s.command.Process.Kill()
		<-s.exited
		private.check(t, s.log.String())
		if t.Failed() {
			t.Logf("log of semantic %s:\n%s", strings.Join(all, " "), s.log.tail(120))
		}
	})
	s.wait("it is ready", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, s) == nil
	})
	s.wait("/health/ready says 200", func() bool {
		answer, err := http.Get(s.HTTP + "/health/ready")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// wait waits for something that happens outside this process.
func (s *server) wait(what string, condition func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-s.exited:
			s.t.Fatalf("the server ended (%v) before %s", s.err, what)
		case <-late:
			s.t.Fatalf("never: %s", what)
		}
	}
}

// signal sends a signal to the server.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.command.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// join waits for the server's end and returns its exit code.
func (s *server) join() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatal("the server does not end")
	}
	var exit *exec.ExitError
	if errors.As(s.err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// worker returns the process id of the n-th worker child, counted from 0.
func (s *server) worker(n int) int {
	s.t.Helper()
	var pid int
	s.wait("the worker child is started", func() bool {
		pids := s.log.numbers("child started", "pid")
		if len(pids) <= n {
			return false
		}
		pid = pids[n]
		return true
	})
	return pid
}

// lineLog collects the output of a server.
type lineLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newLineLog() *lineLog { return &lineLog{} }

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lineLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tail returns the last n lines.
func (l *lineLog) tail(n int) string {
	lines := strings.SplitAfter(l.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "")
}

// lines returns the JSON lines with a message.
func (l *lineLog) lines(msg string) []map[string]any {
	var out []map[string]any
	for line := range strings.Lines(l.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == msg {
			out = append(out, fields)
		}
	}
	return out
}

// numbers returns a field of the lines with a message.
func (l *lineLog) numbers(msg, key string) []int {
	var out []int
	for _, fields := range l.lines(msg) {
		if number, ok := fields[key].(float64); ok {
			out = append(out, int(number))
		}
	}
	return out
}
