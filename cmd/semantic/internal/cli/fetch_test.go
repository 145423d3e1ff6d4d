package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/semantic-worker/semantic/deploy"
)

// hangingNPM stands in for npm: it answers to --version, and its fetch goes on
// until the pipe is closed that the test writes to.
const hangingNPM = `#!/bin/sh
if [ "$1" = --version ] || [ "$2" = --version ]; then echo 10.0.0; exit; fi
exec cat "$FETCHING"
`

// However the first fetch ends, streams that wait for the model are told that
// the server restarts: their jobs are kept.
func TestEndDuringFetch(t *testing.T) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		end  func(p *process, fetching io.Closer) error
		code int
	}{
		{"stopped", func(p *process, _ io.Closer) error { return p.command.Process.Signal(syscall.SIGTERM) }, 0},
		{"failed", func(_ *process, fetching io.Closer) error { return fetching.Close() }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a stream begins with the first heartbeat of the wait, which takes its time
			bin := t.TempDir()
			executable(t, filepath.Join(bin, "npm"), hangingNPM)
			pipe := filepath.Join(bin, "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			p := start(t, func(c *exec.Cmd) error {
				c.Env = append(c.Env, "FETCHING="+pipe, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
				return c.Start()
			}, "serve", "--port", "0", "--nats-port", "0", "--data-dir", t.TempDir(), "--log-format", "json")
			began := make(chan *os.File, 1)
			go func() {
				fetching, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits for the reader
				if err == nil {
					began <- fetching
				}
			}()
			var fetching *os.File
			select {
			case fetching = <-began:
			case <-p.exited:
				t.Fatal("it ended without a fetch")
			}
			defer func() { _ = fetching.Close() }()
			from := p.stderr.wait(t, p.stderr.wait(t, 0, "gateway listening"), `"url":"`)
			to := p.stderr.wait(t, from, `"`) - 1
			p.stderr.mu.Lock()
			url := strings.Clone(p.stderr.text.String()[from:to])
			p.stderr.mu.Unlock()

			stream := openStreamOf(t, url, lock.DefaultModel.Name)
			if err := c.end(p, fetching); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(stream)
			if err != nil || !bytes.Contains(rest, []byte("server_restarting")) {
				t.Errorf("the stream ended with %v and without server_restarting: %s", err, rest)
			}
			if code := p.code(t); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			p.stderr.end(t)
		})
	}
}
