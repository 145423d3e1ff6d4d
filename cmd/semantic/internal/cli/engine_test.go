package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue/queuetest"
)

// faultVariable names a file with a position; while it is there, a worker's step that
// computes this position, or a later one, of any request fails, and removes it. An
// empty file stands for the first step.
const faultVariable = "CLI_TEST_FAULT"

// gateVariable names a file with a position; while it is there, no worker computes this
// position, nor a later one, of any request. So an answer is under way, and not over,
// as long as a test needs that.
const gateVariable = "CLI_TEST_GATE"

// lost is what a worker says of it.
const lost = "worker: the engine is lost: engine: backend failed: the device is gone"

// faulty is the backend that [faultVariable] lets fail.
func faulty(b engine.Backend) engine.Backend {
	if file := os.Getenv(holdVariable); file != "" {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for _, err := os.Stat(file); err == nil; _, err = os.Stat(file) {
			<-tick.C
		}
	}
	if file := os.Getenv(faultVariable); file != "" {
		return &faultyBackend{Backend: b, file: file}
	}
	if file := os.Getenv(gateVariable); file != "" {
		return &gatedBackend{Backend: b, file: file}
	}
	if file := os.Getenv(poisonVariable); file != "" {
		return &poisoned{Backend: b, file: file, tokens: make(map[engine.SeqID][]engine.Token)}
	}
	return b
}

type faultyBackend struct {
	engine.Backend

	file string
}

func (b *faultyBackend) Step(rows []engine.Row) error {
	if reached(b.file, rows) && os.Remove(b.file) == nil {
		return fmt.Errorf("%w: the device is gone", engine.ErrBackend)
	}
	return b.Backend.Step(rows)
}

// reached reports whether rows reach the position in a file that is there.
func reached(file string, rows []engine.Row) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	position, _ := strconv.Atoi(string(text))
	return slices.ContainsFunc(rows, func(r engine.Row) bool { return int(r.Pos) >= position })
}

type gatedBackend struct {
	engine.Backend

	file string
}

func (b *gatedBackend) Step(rows []engine.Row) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for reached(b.file, rows) {
		<-tick.C
	}
	return b.Backend.Step(rows)
}

// gate is a file for [gateVariable]; it is open.
type gate struct{ file string }

func newGate(t *testing.T) gate {
	t.Helper()
	return gate{filepath.Join(t.TempDir(), "gate")}
}

// env is the variable for a command.
func (g gate) env() string { return gateVariable + "=" + g.file }

// start starts a command under the variable.
func (g gate) start(c *exec.Cmd) error {
	c.Env = append(c.Env, g.env())
	return c.Start()
}

// shut holds every request at the position.
func (g gate) shut(t *testing.T, position int) {
	t.Helper()
	if err := os.WriteFile(g.file, []byte(strconv.Itoa(position)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g gate) open(t *testing.T) {
	t.Helper()
	if err := os.Remove(g.file); err != nil {
		t.Fatal(err)
	}
}

// withFault starts a command under [faultVariable].
func withFault(file string) func(*exec.Cmd) error {
	return func(c *exec.Cmd) error {
		c.Env = append(c.Env, faultVariable+"="+file)
		return c.Start()
	}
}

// content is the text of a stream's events.
func content(t *testing.T, stream []byte) string {
	t.Helper()
	var text strings.Builder
	for line := range bytes.Lines(stream) {
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		if !ok || string(data) == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta struct{ Content string }
			}
		}
		if err := json.Unmarshal(data, &chunk); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		for _, c := range chunk.Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	return text.String()
}

// The engine of the server's worker fails in mid-stream: the worker ends with
// exit code 70 and says why, another one is started, and the stream goes on to
// the text that it has without a fault.
func TestEngineFailureUnderStream(t *testing.T) {
	t.Parallel()
	fault := filepath.Join(t.TempDir(), "fault")
	p, info := simServer(t, withFault(fault), "--sim-step", "5ms", "--log-format", "json")
	body := `{"model":"sim","stream":true,"temperature":0,"messages":[{"role":"user","content":"words=150 please"}]}`
	reference, err := io.ReadAll(openBody(t, info.HTTP, body))
	if err != nil {
		t.Fatal(err)
	}
	// The prompt has some 30 tokens, the answer some 180.
	if err := os.WriteFile(fault, []byte("100"), 0o600); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(openBody(t, info.HTTP, body))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := content(t, rest), content(t, reference); got != want || want == "" {
		t.Errorf("the stream's text is\n%q, want\n%q", got, want)
	}
	if !bytes.Contains(rest, []byte(`"finish_reason":"stop"`)) || !bytes.HasSuffix(bytes.TrimSpace(rest), []byte("[DONE]")) {
		t.Errorf("the stream ended so: %s", rest[max(len(rest)-300, 0):])
	}
	if _, err := os.Stat(fault); err == nil {
		t.Error("no worker met the fault")
	}
	p.stderr.wait(t, 0, `"msg":"worker failed","role":"serve","error":"`+lost+`"`)
	p.stderr.wait(t, 0, `"msg":"child died; starting it again","role":"serve","child":"worker","status":"exit status 70"`)
	p.stderr.wait(t, 0, `"msg":"worker is back"`)
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A worker of its own ends with exit code 70 too, and says why.
func TestEngineFailureExitCode(t *testing.T) {
	t.Parallel()
	nats := queuetest.Start(t)
	fault := filepath.Join(t.TempDir(), "fault")
	if err := os.WriteFile(fault, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := start(t, withFault(fault), "worker", "--backend", "sim", "--nats", nats.ClientURL(), "--data-dir", t.TempDir())
	w.stderr.wait(t, 0, "worker is ready")
	submit := []string{"submit", "--nats", nats.ClientURL(), "--temperature", "0", "words=9 please"}
	waiting := start(t, (*exec.Cmd).Start, submit...)
	if code := w.code(t); code != 70 {
		t.Errorf("exit code %d, want 70", code)
	}
	w.stderr.wait(t, 0, "semantic: "+lost+"\n  Its requests went back to the queue.")
	start(t, withFault(fault), "worker", "--backend", "sim", "--nats", nats.ClientURL(), "--data-dir", t.TempDir())
	if code := waiting.code(t); code != 0 {
		t.Errorf("the job ended with exit code %d", code)
	}
}
