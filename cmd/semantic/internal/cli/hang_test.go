package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// workerPID is the process of the worker that the server's log tells of after
// the position, and the position after that. The log level must be debug.
func (p *process) workerPID(t *testing.T, from int) (pid, after int) {
	t.Helper()
	at := p.stderr.wait(t, from, `"msg":"child started"`)
	after = p.stderr.wait(t, at, "\n")
	p.stderr.mu.Lock()
	line := p.stderr.text.String()[at:after]
	p.stderr.mu.Unlock()
	var fields struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte("{"+strings.TrimPrefix(line, ",")), &fields); err != nil || fields.PID == 0 {
		t.Fatalf("no pid in %q: %v", line, err)
	}
	return fields.PID, after
}

// A worker that is stopped, which no exit tells of, is replaced, and its
// streams go on.
func TestStoppedWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	p, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "10ms", "--hang-timeout", "6s", "--log-level", "debug")
	first, at := p.workerPID(t, 0)
	stream := openAnswer(t, info.HTTP, "sim", "words=150 please")
	begin := make([]byte, 1<<10)
	n, err := io.ReadAtLeast(stream, begin, 200)
	if err != nil {
		t.Fatal(err)
	}
	for {
		err := syscall.Kill(first, syscall.SIGSTOP)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		first, at = p.workerPID(t, at) // that one was slow, and killed for it
	}
	rest, err := io.ReadAll(stream)
	answer := slices.Concat(begin[:n], rest)
	if err != nil || !bytes.Contains(answer, []byte(`"finish_reason":"stop"`)) || !bytes.HasSuffix(bytes.TrimSpace(answer), []byte("[DONE]")) {
		t.Errorf("the stream ended with %v: %s", err, answer[max(len(answer)-300, 0):])
	}
	if second, _ := p.workerPID(t, at); second == first {
		t.Errorf("no other worker than %d", first)
	}
	p.stderr.wait(t, at, `"msg":"child gives no sign of life; killing it"`)
}

// A worker whose model hangs ends itself, so that it can be replaced; a request
// that makes every worker hang ends with an error. (Here a step takes an hour.)
func TestHungModel(t *testing.T) {
	t.Parallel() // it waits for the broker to offer the job again
	p, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "1h", "--step-timeout", "100ms", "--log-format", "json",
		"--max-attempts", "1")
	chat := start(t, (*exec.Cmd).Start, "chat", "--url", info.HTTP, "hello")
	if code := chat.code(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	chat.stderr.wait(t, 0, "worker")
	at := 0
	for range 2 { // deaths that end a job: the first proves nothing
		at = p.stderr.wait(t, at, `"msg":"the model hangs: no step ends;`)
		at = p.stderr.wait(t, at, `"status":"signal: killed"`)
	}
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A worker that finds no room for its entry in the registry may find some when it is
// started again: it does not say that this would not help.
func TestWorkerMeetsAFullStore(t *testing.T) {
	t.Parallel()
	_, info := simServer(t, (*exec.Cmd).Start)
	nc, err := nats.Connect(info.NATS, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "KV_workers")
	if err != nil {
		t.Fatal(err)
	}
	tight := stream.CachedInfo().Config
	tight.MaxBytes = 1
	if _, err := js.UpdateStream(t.Context(), tight); err != nil {
		t.Fatal(err)
	}
	w := start(t, (*exec.Cmd).Start, "worker", "--backend", "sim", "--model", "sim", "--nats", info.NATS, "--data-dir", t.TempDir())
	if code := w.code(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	w.stderr.wait(t, 0, "storage full: register")
}
