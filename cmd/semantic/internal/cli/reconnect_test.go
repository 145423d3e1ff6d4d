package cli_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/porttest"
)

// freePort is a port that nobody has now: one that a server gets again after its
// restart.
func freePort(t *testing.T) string {
	t.Helper()
	return strconv.Itoa(porttest.Free(t))
}

// printing starts a client and collects what it prints.
func printing(t *testing.T, args ...string) (*process, *transcript) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, func(c *exec.Cmd) error {
		c.Stdout = writer
		return c.Start()
	}, args...)
	_ = writer.Close()
	return p, collect(t, reader)
}

// words waits until the client has printed so many words.
func words(t *testing.T, answer *transcript, n int) {
	t.Helper()
	at := 0
	for range n {
		at = answer.wait(t, at, " ")
	}
}

// whole waits for the client's end and returns all that it printed.
func whole(t *testing.T, p *process, answer *transcript) string {
	t.Helper()
	if code := p.code(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	answer.end(t)
	return answer.text.String()
}

// longAnswer is a prompt of some 30 tokens, answered with some 360.
const longAnswer = "words=300 of a long story"

// A gateway that is killed in mid-answer, and one that is stopped, cost a chat
// nothing but the wait: the answer goes on where it was, at whoever has the
// address next.
func TestChatOutlivesItsGateways(t *testing.T) {
	t.Parallel()
	gate := newGate(t)
	_, info := simServer(t, gate.start, "--sim-step", "5ms")
	port := freePort(t)
	gateway := func() *process {
		t.Helper()
		file := filepath.Join(t.TempDir(), "ready.json")
		p := start(t, (*exec.Cmd).Start, "gateway", "--port", port, "--nats", info.NATS, "--ready-file", file, "--drain-timeout", "10ms")
		if _, err := readReady(file, p.exited); err != nil {
			t.Fatal(err)
		}
		return p
	}
	args := []string{"--temperature", "0", longAnswer}
	reference, answer := printing(t, append([]string{"chat", "--url", info.HTTP}, args...)...)
	want := whole(t, reference, answer)
	if len(strings.Fields(want)) != 300 {
		t.Fatalf("the whole answer is %q", want)
	}

	gate.shut(t, 100)
	first := gateway()
	chat, answer := printing(t, append([]string{"chat", "--url", "http://127.0.0.1:" + port}, args...)...)
	words(t, answer, 20)
	if err := first.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	at := chat.stderr.wait(t, 0, "; reconnecting)")
	gate.shut(t, 250)
	second := gateway()
	words(t, answer, 100)
	if err := second.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	chat.stderr.wait(t, at, "; reconnecting)")
	<-second.exited
	gate.open(t)
	gateway()
	if got := whole(t, chat, answer); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// A server that is killed, with its broker and its worker, costs neither a chat
// nor a submitted job anything but the wait.
func TestClientsOutliveTheServer(t *testing.T) {
	t.Parallel()
	args := []string{
		"--sim-step", "5ms", "--port", freePort(t), "--nats-port", freePort(t), "--data-dir", t.TempDir(),
	}
	gate := newGate(t)
	server, info := simServer(t, gate.start, args...)
	reference, answer := printing(t, "submit", "--nats", info.NATS, "--temperature", "0", longAnswer)
	want := whole(t, reference, answer)

	gate.shut(t, 100)
	chat, chatted := printing(t, "chat", "--url", info.HTTP, "--temperature", "0", longAnswer)
	submit, submitted := printing(t, "submit", "--nats", info.NATS, "--temperature", "0", longAnswer)
	words(t, chatted, 20)
	words(t, submitted, 20)
	if err := server.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	chat.stderr.wait(t, 0, "; reconnecting)")
	submit.stderr.wait(t, 0, "waiting for it)")
	server.stderr.end(t)
	gate.open(t)
	simServer(t, gate.start, args...)
	submit.stderr.wait(t, 0, "(connected again)")
	if got := whole(t, chat, chatted); got != want {
		t.Errorf("chat: got\n%q\nwant\n%q", got, want)
	}
	if got := whole(t, submit, submitted); got != want {
		t.Errorf("submit: got\n%q\nwant\n%q", got, want)
	}
}

// A chat that ends in mid-answer leaves no job behind that runs on for nobody.
func TestChatThatEndsCancels(t *testing.T) {
	t.Parallel()
	_, info := simServer(t, (*exec.Cmd).Start, "--sim-step", "5ms")
	chat, answer := printing(t, "chat", "--url", info.HTTP, "words=4000")
	words(t, answer, 5)
	if err := chat.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := chat.code(t); code != 130 {
		t.Errorf("exit code %d", code)
	}
	// Its place is free: the next one is alone in the batch from its first step.
	after := openBody(t, info.HTTP, `{"model":"sim","stream":true,"max_tokens":3,"messages":[{"role":"user","content":"words=9"}]}`)
	if rest, err := io.ReadAll(after); err != nil || !bytes.Contains(rest, []byte(`"finish_reason":"length"`)) {
		t.Errorf("%v: %s", err, rest)
	}
	pageWith(t, info.HTTP, "\nsemantic_cancellations_total{cause=\"deleted\"} 1\n")
}
