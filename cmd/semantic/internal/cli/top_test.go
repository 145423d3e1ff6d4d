package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// On a terminal `top` shows the fleet, follows the terminal's size, says when the
// broker is away, and q ends it.
func TestTop(t *testing.T) {
	server, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "20ms", "--parallel", "1")
	openStream(t, info.HTTP)
	var screen *os.File
	p := start(t, func(c *exec.Cmd) error {
		c.Env = append(c.Env, "TERM=xterm-256color")
		var err error
		screen, err = pty.StartWithSize(c, &pty.Winsize{Rows: 30, Cols: 100})
		return err
	}, "top", "--nats", info.NATS, "--interval", "100ms")
	shown := collect(t, screen)
	at := shown.wait(t, 0, "q quits")
	at = shown.wait(t, at, "1 worker, 1 stream, ")
	at = shown.wait(t, at, "QUEUED")
	at = shown.wait(t, at, "TOK/S")
	if err := pty.Setsize(screen, &pty.Winsize{Rows: 6, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	at = shown.wait(t, at, "more lines")
	if err := server.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	shown.wait(t, at, "The broker is away, for ")
	if _, err := io.WriteString(screen, "q"); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	shown.end(t)
	// It leaves the terminal as it was: the other screen, with a cursor.
	if text := shown.text.String(); !strings.Contains(text, "\x1b[?1049l") || !strings.Contains(text, "\x1b[?25h") {
		t.Errorf("the terminal stays as it is: %q", text[max(len(text)-200, 0):])
	}
}

// A signal ends it too, with the terminal as it was.
func TestTopSignal(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start)
	var screen *os.File
	p := start(t, atTerminal(&screen), "top", "--nats", info.NATS)
	shown := collect(t, screen)
	shown.wait(t, 0, "q quits")
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	shown.end(t)
	if text := shown.text.String(); !strings.Contains(text, "\x1b[?1049l") {
		t.Errorf("the terminal stays as it is: %q", text[max(len(text)-200, 0):])
	}
}

// Without a terminal it prints one snapshot, or one a line as JSON.
func TestTopPlain(t *testing.T) {
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "20ms", "--parallel", "1")
	openStream(t, info.HTTP)
	// A stream opens before its request runs, and a worker has a second to answer.
	eventually(t, func() string {
		code, stdout, stderr := run(t, "top", "--nats", info.NATS)
		if code != 0 || !strings.HasPrefix(stdout, "1 worker, 1 stream, ") || !strings.Contains(stdout, "\nMODEL  CLASS   QUEUED  RUNNING  ") {
			return fmt.Sprintf("exit code %d:\n%s%s", code, stdout, stderr)
		}
		return ""
	})
	eventually(t, func() string {
		code, stdout, stderr := run(t, "top", "--nats", info.NATS, "--json", "--interval", "100ms", "--count", "3")
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if code != 0 || len(lines) != 3 {
			t.Fatalf("exit code %d:\n%s%s", code, stdout, stderr)
		}
		var last struct {
			Streams int     `json:"streams"`
			Rate    float64 `json:"tokens_per_second"`
			Depth   []struct {
				Running int       `json:"running"`
				Oldest  time.Time `json:"oldest_at"`
			} `json:"depth"`
			Workers []struct {
				Rate float64 `json:"tokens_per_second"`
			} `json:"workers"`
		}
		if err := json.Unmarshal([]byte(lines[2]), &last); err != nil {
			t.Fatal(err)
		}
		if last.Streams != 1 || last.Rate <= 0 || len(last.Workers) != 1 || last.Workers[0].Rate != last.Rate ||
			len(last.Depth) != 1 || last.Depth[0].Running != 1 || time.Since(last.Depth[0].Oldest).Abs() > time.Hour {
			return "the last snapshot: " + lines[2]
		}
		return ""
	})
	for _, c := range []struct{ args, want string }{
		{"--interval=1ms", "--interval: 1ms is not between 100ms and 1h0m0s"},
		{"--count=3", "--count: has no meaning without --json"},
	} {
		if code, _, stderr := run(t, "top", "--nats", info.NATS, c.args); code != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d: %s", c.args, code, stderr)
		}
	}
	if code, _, stderr := run(t, "top", "--nats", "nats://127.0.0.1:1"); code != 1 || !strings.Contains(stderr, "--nats names another one") {
		t.Errorf("no broker: exit code %d: %s", code, stderr)
	}
}
