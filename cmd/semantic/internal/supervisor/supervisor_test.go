package supervisor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/supervisor"
	"github.com/semantic-worker/semantic/schemas"
)

// modeVariable makes the test binary a child (or a supervisor) instead.
const modeVariable = "SEMANTIC_TEST_SUPERVISOR_MODE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVariable); mode != "" {
		child(mode)
		return
	}
	goleak.VerifyTestMain(m)
}

// child is what the supervised processes of the tests do.
func child(mode string) {
	mode, argument, _ := strings.Cut(mode, "=")
	announce := func(m supervisor.Message) { _ = supervisor.Announce(os.Stdout, m) }
	ready := func() { announce(supervisor.Message{Ready: &schemas.WorkerStatus{ID: strconv.Itoa(os.Getpid())}}) }
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if mode != "supervisor" && mode != "mute" {
		supervisor.WatchParent(os.Stdin, func() {
			if mode == "loading" {
				announce(supervisor.Message{Loading: "asked"})
			}
			announce(supervisor.Message{Alive: true})
		}, func() { os.Exit(9) })
	}
	switch mode {
	case "serve": // until SIGTERM
		announce(supervisor.Message{Loading: fmt.Sprintf("group %d of %d", syscall.Getpgrp(), os.Getpid())})
		ready()
		<-stop
	case "crash-once": // argument: a file that remembers
		ready()
		if _, err := os.Stat(argument); err != nil {
			_ = os.WriteFile(argument, nil, 0o600)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		<-stop
	case "drained": // argument: its exit code
		ready()
		announce(supervisor.Message{Drained: true})
		code, _ := strconv.Atoi(argument)
		os.Exit(code)
	case "mute": // answers nothing
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "crash":
		os.Exit(3)
	case "permanent":
		announce(supervisor.Message{Failed: &supervisor.Failure{Message: "no such model", Hint: "pull it"}})
		os.Exit(supervisor.ExitPermanent)
	case "ready-then-permanent": // argument: a file that remembers
		if _, err := os.Stat(argument); err != nil {
			_ = os.WriteFile(argument, nil, 0o600)
			ready()
			os.Exit(3)
		}
		os.Exit(supervisor.ExitPermanent)
	case "stubborn":
		fmt.Println("this is not a message") //nolint:forbidigo // what a library may do
		ready()
		for range stop {
		}
	case "loading": // a thread that is stuck in native code
		announce(supervisor.Message{Loading: "model"})
		var pipe [2]int
		_ = syscall.Pipe(pipe[:])
		_, _ = syscall.Read(pipe[0], make([]byte, 1)) // until SIGKILL: nobody writes
	case "supervisor": // supervises a child of the mode in argument
		supervise(argument)
	}
}

// supervise runs a supervisor in this process and prints the child's messages
// as they come; it ends on SIGTERM.
func supervise(mode string) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	s, err := supervisor.New(supervisor.Options{
		Name: "child", Path: os.Args[0], Env: []string{modeVariable + "=" + mode}, Stderr: os.Stderr,
		OnMessage: func(m supervisor.Message) { _ = supervisor.Announce(os.Stdout, m) },
	})
	if err == nil {
		err = s.Run(ctx)
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run starts a supervisor on a child of the mode and returns its messages.
type run struct {
	messages chan supervisor.Message
	registry *prometheus.Registry
	log      *lockedBuffer
	cancel   context.CancelFunc
	done     chan error
}

func start(t *testing.T, mode string, config supervisor.Config) *run {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &run{
		messages: make(chan supervisor.Message, 100), registry: prometheus.NewRegistry(), log: &lockedBuffer{}, done: make(chan error, 1),
	}
	s, err := supervisor.New(supervisor.Options{
		Name: "worker", Path: self, Env: []string{modeVariable + "=" + mode}, Stderr: t.Output(),
		OnMessage:  func(m supervisor.Message) { r.messages <- m },
		Registerer: r.registry, Logger: slog.New(slog.NewTextHandler(r.log, nil)), Config: config,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.done <- s.Run(ctx) }()
	t.Cleanup(cancel)
	return r
}

// lockedBuffer is a log that can be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func quick() supervisor.Config {
	c := supervisor.DefaultConfig()
	c.FirstBackoff, c.MaxBackoff = time.Millisecond, 2*time.Millisecond
	return c
}

func (r *run) ready(t *testing.T) string {
	t.Helper()
	for {
		select {
		case m := <-r.messages:
			if m.Ready != nil {
				return m.Ready.ID
			}
		case err := <-r.done:
			t.Fatalf("the supervisor ended: %v", err)
		}
	}
}

func (r *run) restarts(t *testing.T) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

func TestStop(t *testing.T) {
	r := start(t, "serve", quick())
	group := <-r.messages
	pid := r.ready(t)
	if want := "group " + pid + " of " + pid; group.Loading != want {
		t.Errorf("the child is in %q, want a group of its own, %q", group.Loading, want)
	}
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if n, err := testutil.GatherAndCount(r.registry); err != nil || n != 1 || r.restarts(t) != 0 {
		t.Errorf("%d metrics, %v restarts, %v", n, r.restarts(t), err)
	}
}

func TestRestartAfterCrash(t *testing.T) {
	r := start(t, "crash-once="+filepath.Join(t.TempDir(), "crashed"), quick())
	first, second := r.ready(t), r.ready(t)
	if first == second {
		t.Errorf("one child, %s, was ready twice", first)
	}
	if got := r.restarts(t); got != 1 {
		t.Errorf("%v restarts counted, want 1", got)
	}
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// patient is quick with a short HangTimeout, and does not give up if a child is
// killed for the sake of a machine that is even slower.
func patient() supervisor.Config {
	c := quick()
	c.HangTimeout, c.StartAttempts = time.Second, 1000
	return c
}

// A child that is stopped (SIGSTOP) is killed and started again; so is one that
// is stopped while it is asked to end.
func TestHungChildIsReplaced(t *testing.T) {
	r := start(t, "serve", patient())
	first := r.suspend(t)
	second := r.suspend(t)
	if second == first {
		t.Fatalf("the child %s, which is stopped, was ready twice", first)
	}
	if n, _ := strconv.Atoi(first); syscall.Kill(n, 0) == nil {
		t.Errorf("child %s is still there", first)
	}
	if !strings.Contains(r.log.String(), "child gives no sign of life; killing it") {
		t.Errorf("the log does not tell:\n%s", r.log)
	}
	r.cancel()
	if err := <-r.done; err != nil { // long before StopTimeout
		t.Errorf("stop: %v", err)
	}
}

// Children that are killed before they are ready, since none answers in time:
// the error says by whom.
func TestHungAtTheStart(t *testing.T) {
	c := quick()
	c.HangTimeout, c.StartAttempts = 100*time.Millisecond, 2
	r := start(t, "mute", c)
	var exit *supervisor.ExitError
	if err := <-r.done; !errors.As(err, &exit) || !exit.Hung || exit.Attempts != 2 {
		t.Errorf("got %+v", err)
	}
	r = start(t, "crash", quick())
	if err := <-r.done; !errors.As(err, &exit) || exit.Hung {
		t.Errorf("got %+v", err)
	}
}

// suspend stops the next child that is ready, so that none of its threads runs, and
// returns its process. One that is gone by then was slow, and killed for it.
func (r *run) suspend(t *testing.T) string {
	t.Helper()
	for {
		pid := r.ready(t)
		n, err := strconv.Atoi(pid)
		if err == nil {
			err = syscall.Kill(n, syscall.SIGSTOP)
		}
		if err == nil {
			return pid
		}
		if !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// A thread that hangs in native code, as while a model is loaded, keeps no child
// from answering.
func TestLoadingChildAnswers(t *testing.T) {
	config := patient()
	config.StopTimeout = time.Millisecond // it would never end by itself
	r := start(t, "loading", config)
	for {
		select {
		case m := <-r.messages:
			if m.Loading == "asked" {
				r.cancel()
				if err := <-r.done; err != nil {
					t.Errorf("stop: %v", err)
				}
				return
			}
		case err := <-r.done:
			t.Fatalf("the supervisor ended: %v", err)
		}
	}
}

func TestGivesUp(t *testing.T) {
	for _, c := range []struct {
		mode     string
		attempts int
		want     string
	}{
		{"permanent", 1, "the worker cannot start: no such model"},
		{"crash", 5, "the worker died 5 times before it was ready; the last time: exit status 3"},
		{"ready-then-permanent=" + filepath.Join(t.TempDir(), "died"), 5,
			"the worker died 5 times before it was ready; the last time: exit status 78"},
	} {
		err := <-start(t, c.mode, quick()).done
		var exit *supervisor.ExitError
		if !errors.As(err, &exit) || exit.Attempts != c.attempts || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.mode, err, c.want)
		}
	}
}

func TestKillsStubbornChild(t *testing.T) {
	config := quick()
	config.StopTimeout = 10 * time.Millisecond
	r := start(t, "stubborn", config)
	pid := r.ready(t)
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if n, _ := strconv.Atoi(pid); syscall.Kill(n, 0) == nil {
		t.Errorf("child %s is still there", pid)
	}
}

func TestNoStartAfterStop(t *testing.T) {
	s, err := supervisor.New(supervisor.Options{Name: "worker", Path: "/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil {
		t.Error("a program that does not exist was started")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("a stopped supervisor started something: %v", err)
	}
}

// kill -9 of the supervisor: the child goes by itself, also in the middle of
// loading. All of them write to one pipe, so its end tells that all are gone.
func TestOrphanExits(t *testing.T) {
	for _, mode := range []string{"serve", "loading"} {
		t.Run(mode, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = reader.Close() }()
			parent, err := os.StartProcess(self, []string{self}, &os.ProcAttr{
				Env:   []string{modeVariable + "=supervisor=" + mode},
				Files: []*os.File{nil, writer, writer},
			})
			_ = writer.Close()
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(reader)
			for lines.Scan() && !strings.Contains(lines.Text(), "ready") && !strings.Contains(lines.Text(), "model") {
				t.Log(lines.Text())
			}
			if err := parent.Kill(); err != nil {
				t.Fatal(err)
			}
			if _, err := parent.Wait(); err != nil {
				t.Fatal(err)
			}
			_ = reader.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.Copy(io.Discard, reader); err != nil {
				t.Errorf("the child outlived its supervisor: %v", err)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	for field, change := range map[string]func(*supervisor.Config){
		"FirstBackoff":  func(c *supervisor.Config) { c.FirstBackoff = 0 },
		"MaxBackoff":    func(c *supervisor.Config) { c.MaxBackoff = time.Nanosecond },
		"StableAfter":   func(c *supervisor.Config) { c.StableAfter = 0 },
		"StartAttempts": func(c *supervisor.Config) { c.StartAttempts = 0 },
		"StopTimeout":   func(c *supervisor.Config) { c.StopTimeout = 0 },
		"HangTimeout":   func(c *supervisor.Config) { c.HangTimeout = -1 },
	} {
		c := supervisor.DefaultConfig()
		change(&c)
		_, err := supervisor.New(supervisor.Options{Name: "x", Path: "x", Config: c})
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := supervisor.New(supervisor.Options{Name: "x"}); err == nil {
		t.Error("an empty path is accepted")
	}
}

// A child that was drained is not started again, unless it ended badly after all.
func TestDrained(t *testing.T) {
	well := start(t, "drained=0", quick())
	for m := range well.messages {
		if m.Drained {
			break
		}
	}
	badly := start(t, "drained=3", quick())
	for starts := 0; starts < 2; {
		if m := <-badly.messages; m.Ready != nil {
			starts++
		}
	}
	badly.cancel()
	if err := <-badly.done; err != nil {
		t.Error(err)
	}
	select {
	case err := <-well.done:
		t.Errorf("Run returned before it was told to: %v", err)
	case m := <-well.messages:
		t.Errorf("started again: %+v", m)
	default:
	}
	well.cancel()
	if err := <-well.done; err != nil {
		t.Error(err)
	}
}
