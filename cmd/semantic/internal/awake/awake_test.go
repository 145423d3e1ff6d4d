package awake_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/awake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait; none ends by it when all is well.
const patience = 30 * time.Second

// fake is a caffeinate that tells a file of every start, and stays as the real one
// does.
type fake struct {
	t             *testing.T
	program, told string
}

func newFake(t *testing.T, body string) *fake {
	t.Helper()
	dir := t.TempDir()
	f := &fake{t: t, program: filepath.Join(dir, "caffeinate"), told: filepath.Join(dir, "told")}
	script := fmt.Sprintf("#!/bin/sh\necho $$ \"$@\" >> '%s'\n%s\n", f.told, body)
	if err := os.WriteFile(f.program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return f
}

const forever = "exec sleep 1000"

// starts waits for the nth start and returns its process, after a look at how it
// was called.
func (f *fake) starts(n int) int {
	f.t.Helper()
	var lines []string
	f.until(fmt.Sprintf("start %d", n), func() bool {
		text, _ := os.ReadFile(f.told)
		lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		return strings.HasSuffix(string(text), "\n") && len(lines) >= n
	})
	if len(lines) > n {
		f.t.Fatalf("started %d times, want %d: %q", len(lines), n, lines)
	}
	pid, arguments, _ := strings.Cut(lines[n-1], " ")
	if want := "-i -w " + strconv.Itoa(os.Getpid()); arguments != want {
		f.t.Errorf("called with %q, want %q", arguments, want)
	}
	number, err := strconv.Atoi(pid)
	if err != nil {
		f.t.Fatal(err)
	}
	return number
}

func (f *fake) until(what string, condition func() bool) {
	f.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			f.t.Fatalf("never: %s", what)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func (f *fake) gone(pid int) {
	f.t.Helper()
	f.until("the process ends", func() bool { return !alive(pid) })
}

// It runs from the first hold to the last release, once, and not in the group of
// this process.
func TestHold(t *testing.T) {
	f := newFake(t, forever)
	k := awake.New(awake.Options{Program: f.program})
	defer k.Close()
	first := k.Hold()
	pid := f.starts(1)
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("its group is %d, %v", group, err)
	}
	second := k.Hold()
	first()
	first() // counts once
	if !alive(pid) {
		t.Fatal("it ended while somebody holds")
	}
	second()
	f.gone(pid)
	again := k.Hold()
	pid = f.starts(2)
	k.Close()
	f.gone(pid)
	again()
	k.Hold()()
	f.starts(2) // not after Close
}

// It lingers, so that jobs in a row have one process.
func TestLinger(t *testing.T) {
	f := newFake(t, forever)
	k := awake.New(awake.Options{Program: f.program, Linger: time.Hour})
	for range 50 {
		k.Hold()()
	}
	pid := f.starts(1)
	if !alive(pid) {
		t.Error("it does not linger")
	}
	k.Close()
	f.gone(pid)

	f = newFake(t, forever)
	k = awake.New(awake.Options{Program: f.program, Linger: time.Millisecond})
	defer k.Close()
	release := k.Hold()
	pid = f.starts(1) // else it could end before it has said that it runs
	release()
	f.gone(pid)
}

// One that ends by itself, or is not there, is told and harms nothing; the next
// hold tries again.
func TestBroken(t *testing.T) {
	var log safeBuffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	f := newFake(t, "exit 3")
	k := awake.New(awake.Options{Program: f.program, Logger: logger})
	first := k.Hold()
	f.starts(1)
	f.until("it is told", func() bool {
		return strings.Contains(log.String(), "has ended") && strings.Contains(log.String(), "exit status 3")
	})
	second := k.Hold()
	f.starts(2)
	first()
	second()
	k.Close()

	missing := awake.New(awake.Options{Program: filepath.Join(t.TempDir(), "nothing"), Logger: logger})
	missing.Hold()()
	missing.Close()
	if !strings.Contains(log.String(), "no such file") {
		t.Errorf("not told: %s", log.String())
	}
	awake.New(awake.Options{}).Hold()() // nothing to run
}

// Many hold and let go at once.
func TestConcurrent(t *testing.T) {
	f := newFake(t, forever)
	k := awake.New(awake.Options{Program: f.program, Linger: time.Microsecond})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				k.Hold()()
			}
		})
	}
	all.Wait()
	k.Close()
	text, err := os.ReadFile(f.told)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		pid, _, _ := strings.Cut(line, " ")
		if number, err := strconv.Atoi(pid); err == nil && alive(number) {
			t.Errorf("process %d is left", number)
		}
	}
}

// The program is the system's on a Mac, and nothing elsewhere.
func TestSystem(t *testing.T) {
	if got := awake.System(); (got != "") != (runtime.GOOS == "darwin") {
		t.Errorf("%q on %s", got, runtime.GOOS)
	}
}

// safeBuffer is a log that can be read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
