package cli_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// speaking starts a doctor whose model is asked something and takes an hour a
// token, and returns the process that runs the model.
func speaking(t *testing.T) (doctor *process, said *transcript, probe int) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	doctor = start(t, func(c *exec.Cmd) error {
		c.Stdout = writer
		c.Env = append(c.Env, "SEMANTIC_BACKEND=sim") // settings reach the other process
		return c.Start()
	}, "doctor", "--sim-step", "1h", "--port", "0", "--nats-port", "0")
	_ = writer.Close()
	said = collect(t, reader)
	said.wait(t, 0, "ok    context")
	return doctor, said, childOf(t, doctor.command.Process.Pid)
}

// childOf is the only child of a process.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	table, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(fields[0])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("%d has no child", parent)
	return 0
}

// The death of the process that runs native code is a finding.
func TestDoctorOutlivesNativeCode(t *testing.T) {
	for _, death := range []struct {
		signal syscall.Signal
		text   string
	}{
		{syscall.SIGKILL, "signal: killed"},
		{syscall.SIGSEGV, "SIGSEGV"}, // Go says so itself, and exits with 2
	} {
		doctor, said, probe := speaking(t)
		if err := syscall.Kill(probe, death.signal); err != nil {
			t.Fatal(err)
		}
		at := said.wait(t, 0, "fail  speak      the process that ran the model ended: ")
		said.wait(t, at, death.text)
		said.wait(t, at, "→ ")
		said.wait(t, at, "nats port")
		said.wait(t, at, "Not ready: 1 thing to mend.")
		if code := doctor.code(t); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
	}
}

// However a doctor ends, it leaves no process behind.
func TestDoctorLeavesNoProcess(t *testing.T) {
	for signal, code := range map[syscall.Signal]int{syscall.SIGKILL: -1, syscall.SIGTERM: 130} {
		doctor, said, _ := speaking(t)
		if err := doctor.command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if got := doctor.code(t); got != code {
			t.Errorf("%s: exit code %d, want %d", signal, got, code)
		}
		doctor.stderr.end(t) // its other process had it too
		said.end(t)
		if strings.Contains(said.text.String(), "fail") {
			t.Errorf("%s: a stop is no finding:\n%s", signal, &said.text)
		}
	}
}

// What is ignored is refused.
func TestDoctorRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--backend", "sim", "--kv-type", "q8_0"}, "--kv-type: has no meaning with the backend sim"},
		{[]string{"--backend", "cpu", "--sim-step", "1s"}, "--sim-step: has no meaning with the backend cpu"},
		{[]string{"--port", "4222"}, "--port: 4222 is the embedded NATS server's port too (--nats-port)"},
	} {
		p := start(t, (*exec.Cmd).Start, append([]string{"doctor"}, c.args...)...)
		if code := p.code(t); code != 2 {
			t.Errorf("%q: exit code %d, want 2", c.args, code)
		}
		p.stderr.wait(t, 0, "semantic: "+c.want)
	}
}
