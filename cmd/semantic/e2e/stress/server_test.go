package stress

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// server is a running `semantic serve` with a simulated model.
type server struct {
	t       *testing.T
	command *exec.Cmd
	exited  chan struct{}
	err     error
	http    *http.Client
	right   simulation

	HTTP   string `json:"http"`
	NATS   string `json:"nats"`
	Worker string `json:"worker"`
}

// serve starts one on free ports and waits until it takes requests. The test's end
// stops it, as an operator would, and wants it to say that all was well.
func serve(t *testing.T, args ...string) *server {
	t.Helper()
	dir := t.TempDir()
	ready, logs := filepath.Join(dir, "ready.json"), filepath.Join(dir, "log")
	log, err := os.Create(logs)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s := &server{t: t, exited: make(chan struct{}), right: newSimulation(t), http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}}
	s.command = exec.Command(binary, append([]string{
		"serve", "--backend", "sim", "--model", model, "--port", "0", "--nats-port", "0", "--admin-addr", "off",
		"--data-dir", filepath.Join(dir, "data"), "--ready-file", ready, "--log-format", "json", "--drain-timeout", "10s",
	}, args...)...)
	s.command.Env = environment(filepath.Join(dir, "home"))
	s.command.Stdout, s.command.Stderr = log, log
	if err := s.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.command.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		s.http.CloseIdleConnections()
		s.stop()
		if t.Failed() {
			t.Logf("the last complaints in the server's log:\n%s", complaints(logs))
		}
	})
	s.wait("it is ready", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, s) == nil
	})
	s.wait("/health/ready says 200", func() bool { return s.health() == http.StatusOK })
	return s
}

// complaints are the last lines of a log that say more than that something was done.
func complaints(file string) string {
	const most = 40
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `"level":"INFO"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-most):], "")
}

// environment is this process's, without what would configure semantic.
func environment(home string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SEMANTIC_") {
			env = append(env, kv)
		}
	}
	return append(env, "SEMANTIC_HOME="+home)
}

// stop ends it.
func (s *server) stop() {
	_ = s.command.Process.Signal(os.Interrupt) // fails only if it has ended
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-s.exited:
	case <-late.C:
		s.t.Error("the server does not stop")
		_ = s.command.Process.Kill()
		<-s.exited
		return
	}
	if s.err != nil {
		s.t.Errorf("the server ended with: %v", s.err)
	}
}

// wait waits for something that happens outside this process.
func (s *server) wait(what string, condition func() bool) {
	s.t.Helper()
	s.waitFor(func() string { return what }, condition)
}

// waitFor is wait for something that is said only when it does not happen.
func (s *server) waitFor(what func() string, condition func() bool) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-s.exited:
			s.t.Fatalf("the server ended (%v) before %s", s.err, what())
		case <-late.C:
			s.t.Fatalf("never: %s", what())
		}
	}
}

// get reads a page.
func (s *server) get(path string, header http.Header) (status int, page []byte, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.t.Context()), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if header != nil {
		request.Header = header
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	page, err = io.ReadAll(response.Body)
	return response.StatusCode, page, err
}

// health is the status of the ready page; 0 without one.
func (s *server) health() int {
	status, _, err := s.get("/health/ready", nil)
	if err != nil {
		return 0
	}
	return status
}
