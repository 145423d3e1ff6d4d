package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/schemas"
)

// maxMessage bounds a message line in bytes; a longer one ends the reading of
// that child's messages, not the child.
const maxMessage = 1 << 20

// Options are what a [Supervisor] needs.
type Options struct {
	// Name is what logs and errors call the child.
	Name string
	// Path and Args are the child's program and its arguments, without the
	// program's name.
	Path string
	Args []string
	// Env is the child's environment; nil means this process's.
	Env []string
	// Stderr gets the child's logs. An *os.File is inherited as it is.
	Stderr io.Writer
	// OnMessage is called for each message of the child but the answers to pings,
	// one at a time and in order; nil ignores them.
	OnMessage func(Message)
	// OnExit is called after each end of a child, and after the last of its
	// messages, before it is started again; nil ignores them.
	OnExit func(Exit)
	// Logger gets starts and ends; nil means none.
	Logger *slog.Logger
	// Registerer gets the metrics; nil means none.
	Registerer prometheus.Registerer
	// Config has the times; the zero value means DefaultConfig.
	Config Config
}

// Exit is how a child ended.
type Exit struct {
	// Status is the operating system's word for it, like "exit status 2" or
	// "signal: segmentation fault"; Code the exit code, -1 after a signal.
	Status string
	Code   int
	// Hung is whether it was killed because it answered no ping.
	Hung bool
	// Failure is what the child said of it, if it did.
	Failure *Failure
}

// Supervisor runs a child process over and over. Make it with [New].
type Supervisor struct {
	o       Options
	log     *slog.Logger
	metrics *metrics
}

// New checks the options; it starts nothing.
func New(o Options) (*Supervisor, error) {
	if o.Config == (Config{}) {
		o.Config = DefaultConfig()
	}
	if err := o.Config.Validate(); err != nil {
		return nil, err
	}
	if o.Path == "" {
		return nil, errors.New("supervisor: Path is empty")
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{o: o, log: log.With(schemas.LogChild, o.Name), metrics: newMetrics(o.Registerer)}, nil
}

// Run keeps a child running until ctx ends; then it stops the child (SIGTERM,
// after StopTimeout SIGKILL to its process group) and returns nil once it is
// gone. It returns an [*ExitError] as soon as starting again has no point. A child
// that said that it was drained, and ended well, is not started again: Run then
// waits for the end of ctx. It is synchronous, joins everything it started, and may
// be called once.
func (s *Supervisor) Run(ctx context.Context) error {
	var (
		backoff  = s.o.Config.FirstBackoff
		attempts int
		everUp   bool
	)
	for !stopping(ctx) {
		end, err := s.runOnce(ctx)
		if err != nil {
			return err
		}
		if stopping(ctx) {
			break
		}
		if end.drained && end.code == 0 {
			<-ctx.Done()
			break
		}
		if end.readyFor > 0 {
			everUp, attempts = true, 0
		} else {
			attempts++
		}
		// A child that was fine once may be refused for something that passes,
		// like memory that its predecessor still holds; so it gets its attempts.
		permanent := end.code == ExitPermanent && !everUp
		if permanent || attempts >= s.o.Config.StartAttempts {
			return &ExitError{Name: s.o.Name, Status: end.status, Failure: end.failure, Hung: end.hung, Attempts: attempts}
		}
		if end.readyFor >= s.o.Config.StableAfter {
			backoff = s.o.Config.FirstBackoff
		}
		s.log.Error("child died; starting it again", schemas.LogStatus, end.status,
			schemas.LogEvent, schemas.LogEventChildExit, schemas.LogBackoff, backoff)
		pause := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		backoff = min(2*backoff, s.o.Config.MaxBackoff)
		s.metrics.restarts.Inc()
	}
	return nil
}

func stopping(ctx context.Context) bool { return ctx.Err() != nil }

// ending is how a child ended.
type ending struct {
	status   string
	code     int
	readyFor time.Duration
	failure  *Failure
	// drained is whether it said that it ends for good.
	drained bool
	// hung is whether it was killed because it answered no ping.
	hung bool
}

// runOnce starts one child and waits for its end. Its error is of the start,
// and final.
func (s *Supervisor) runOnce(ctx context.Context) (ending, error) {
	//nolint:noctx // a context would kill the child at once; it is asked first
	cmd := exec.Command(s.o.Path, s.o.Args...)
	cmd.Env = s.o.Env
	cmd.Stderr = s.o.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// If Stderr is not a file, a grandchild could keep its pipe open. What a child said
	// as it died may take this long to be read on a busy machine.
	cmd.WaitDelay = 10 * time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return ending{}, fmt.Errorf("start the %s: %w", s.o.Name, err)
	}
	stdout, writer, err := os.Pipe()
	if err != nil {
		return ending{}, fmt.Errorf("start the %s: %w", s.o.Name, err)
	}
	defer func() { _ = stdout.Close() }()
	cmd.Stdout = writer
	err = cmd.Start()
	_ = writer.Close() // the child's end; ours must go for the end of file
	if err != nil {
		return ending{}, fmt.Errorf("start the %s: %w", s.o.Name, err)
	}
	s.log.Debug("child started", schemas.LogEvent, schemas.LogEventChildStart, schemas.LogPID, cmd.Process.Pid)

	listener := &listener{on: s.o.OnMessage, log: s.log, alive: make(chan struct{}, 1)}
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		listener.listen(stdout)
	}()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()

	hung, waitErr := s.await(ctx, cmd.Process, stdin, listener, exited)
	_ = stdin.Close()
	// A process that the child left behind could hold the pipe open.
	_ = stdout.SetReadDeadline(time.Now().Add(time.Second))
	<-heard

	end := ending{status: cmd.ProcessState.String(), code: cmd.ProcessState.ExitCode(), hung: hung}
	end.failure, end.drained = listener.failure, listener.drained
	if waitErr != nil {
		end.status = waitErr.Error() // may know more than the state, like a copy of Stderr that failed
	}
	if !listener.readyAt.IsZero() {
		end.readyFor = max(time.Since(listener.readyAt), 1)
	}
	if s.o.OnExit != nil {
		s.o.OnExit(Exit{Status: end.status, Code: end.code, Hung: end.hung, Failure: end.failure})
	}
	return end, nil
}

// await waits for the child's end; when ctx ends it asks the child to stop. It
// kills the child's group when the stop takes too long, or when the child
// answers no ping, which makes hung true.
func (s *Supervisor) await(
	ctx context.Context, child *os.Process, pings io.Writer, listener *listener, exited <-chan error,
) (hung bool, err error) {
	var ticks, limit <-chan time.Time
	if period := s.o.Config.HangTimeout / pingsToHang; period > 0 {
		// A ticker drops what nobody reads: while this process is stopped, no time
		// passes for the child.
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		ticks = ticker.C
	}
	unanswered := 0
	stop := ctx.Done()
	for {
		select {
		case err := <-exited:
			return hung, err
		case <-stop:
			stop = nil
			_ = child.Signal(syscall.SIGTERM)
			timer := time.NewTimer(s.o.Config.StopTimeout)
			defer timer.Stop()
			limit = timer.C
		case <-limit:
			s.log.Error("child does not stop; killing it", schemas.LogPID, child.Pid, schemas.LogStopTimeout, s.o.Config.StopTimeout)
			kill(child)
		case <-listener.alive:
			unanswered = 0
		case <-ticks:
			if listener.calling.Load() {
				continue // nobody would hear the answer
			}
			if unanswered == pingsToHang {
				s.log.Error("child gives no sign of life; killing it", schemas.LogPID, child.Pid, schemas.LogHangTimeout, s.o.Config.HangTimeout)
				kill(child)
				ticks, hung = nil, true
				continue
			}
			unanswered++
			// So few bytes always fit into the pipe; if it is broken, the child's
			// end is about to be heard of.
			_, _ = pings.Write([]byte{'.'})
		}
	}
}

// kill ends the child's process group, whatever state it is in.
func kill(child *os.Process) { _ = syscall.Kill(-child.Pid, syscall.SIGKILL) }

// listener reads one child's messages. Its fields belong to the listening
// goroutine until that has ended, but for alive and calling.
type listener struct {
	on      func(Message)
	log     *slog.Logger
	readyAt time.Time
	failure *Failure
	drained bool
	// alive, with room for one, gets the answers to pings.
	alive chan struct{}
	// calling is whether it is inside on, which may wait (for a terminal that
	// shows nothing at the moment).
	calling atomic.Bool
}

func (l *listener) listen(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxMessage)
	for lines.Scan() {
		var m Message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			l.log.Warn("child wrote something else than a message", schemas.LogLine, lines.Text())
			continue
		}
		if m.Alive {
			select {
			case l.alive <- struct{}{}:
			default:
			}
			continue
		}
		if m.Ready != nil && l.readyAt.IsZero() {
			l.readyAt = time.Now()
		}
		if m.Failed != nil {
			l.failure = m.Failed
		}
		l.drained = l.drained || m.Drained
		if l.on != nil {
			l.calling.Store(true)
			l.on(m)
			l.calling.Store(false)
		}
	}
	// A line that is too long, or the read deadline: drain what comes, so that
	// the child is never stuck on a full pipe.
	_, _ = io.Copy(io.Discard, r)
}
