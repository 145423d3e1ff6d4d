package cli_test

import (
	"bufio"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/natsinit"
	"github.com/semantic-worker/semantic/queue"
)

// noRefusal fails where a process was refused something by the broker: its role
// has not the rights that its work needs.
func (p *process) noRefusal(t *testing.T, who string) {
	t.Helper()
	p.stderr.mu.Lock()
	defer p.stderr.mu.Unlock()
	lines := bufio.NewScanner(strings.NewReader(p.stderr.text.String()))
	for lines.Scan() {
		if strings.Contains(strings.ToLower(lines.Text()), "permission") {
			t.Errorf("%s: %s", who, lines.Text())
		}
	}
}

// TestCommandsByRole: a broker with accounts in `semantic serve`, a worker that
// joins with its file, and every command with the credentials that are for it.
func TestCommandsByRole(t *testing.T) {
	b := makeBrokers(t, 1, natsinit.Options{Workers: []string{"air"}})
	const name = "127-0-0-1"
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	server, isReady := b.whole(t, name)
	ready := isReady()
	url := ready.HTTP
	file := filepath.Join(t.TempDir(), "ready.json")
	joined := start(t, (*exec.Cmd).Start, "worker", "--backend", "sim", "--model", "sim", "--sim-step", "5ms",
		"--nats-creds", b.creds("worker-air"), "--data-dir", t.TempDir(), "--ready-file", file, "--log-level", "warn")
	if _, err := readReady(file, joined.exited); err != nil {
		t.Fatal(err)
	}
	answered := ask(ctx, url, "words=3 hello", nil)
	if answered.err != nil {
		t.Fatal(answered.err)
	}
	for _, c := range []struct {
		creds, command string
		code           int
		want           string
	}{
		{"observer", "ps", 0, "air-1"},
		{"observer", "ps", 0, name},
		{"observer", "jobs list --state ended", 0, answered.job},
		{"observer", "jobs show " + answered.job, 0, "done"},
		{"observer", "dead list", 0, ""},
		{"observer", "doctor --backend sim", 0, "2 workers"},
		{"observer", "key add someone", 1, "not permitted"},
		{"observer", "jobs cancel nothing", 1, ""},
		{"observer", "nats backup " + filepath.Join(t.TempDir(), "b"), 1, "admin.creds"},
		{"worker-air", "key list", 1, "not permitted"},
		{"gateway", "key add someone", 0, ""},
		{"gateway", "key list", 0, "someone"},
		{"gateway", "key revoke someone", 0, ""},
		{"gateway", "submit --model sim words=2", 0, ""},
		{"gateway", "jobs list --state ended", 0, answered.job},
		{"admin", "nats migrate --dry-run", 0, "current"},
		{"admin", "nats backup " + filepath.Join(t.TempDir(), "b"), 0, "EVENTS"},
		{"observer", "batch-window get", 0, "air-1"},
		{"observer", "batch-window set 1ms", 1, "not permitted"},
		{"observer", "drain air-1 --pause", 1, "may change workers"},
		{"gateway", "batch-window set 1ms air-1", 0, "1ms"},
		{"gateway", "drain air-1 --pause", 0, "no more jobs"},
		{"gateway", "undrain air-1", 0, "takes jobs again"},
		{"gateway", "drain air-1", 0, ""},
	} {
		args := append(strings.Fields(c.command), "--nats-creds", b.creds(c.creds))
		var output []byte
		var err error
		for again := true; again; { // a worker has a second to answer
			// A process of its own, because doctor starts itself.
			command := exec.CommandContext(ctx, "semantic", args...)
			command.Env = environment(t)
			output, err = command.CombinedOutput()
			again = strings.Contains(string(output), queue.ErrSilent.Error()) && ctx.Err() == nil
		}
		code, exit := 0, new(exec.ExitError)
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != c.code || !strings.Contains(string(output), c.want) || c.code == 0 && strings.Contains(string(output), "ermission") {
			t.Errorf("%s: semantic %s: exit code %d:\n%s\nwant %d and %q", c.creds, c.command, code, output, c.code, c.want)
		}
	}
	if _, errs, code := semantic(t, "ps", "--nats", ready.NATS); code != 1 || !strings.Contains(errs, "--nats-ca") {
		t.Errorf("ps at a broker whose certificate nobody here knows: %d, %s", code, errs)
	}
	if code := joined.code(t); code != 0 {
		t.Errorf("the drained worker ends with %d", code)
	}
	server.noRefusal(t, "serve")
	joined.noRefusal(t, "worker")
}
