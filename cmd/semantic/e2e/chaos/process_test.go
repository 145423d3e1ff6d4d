package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// stopBound is how long a process may take to stop by itself: more than it should, for
// the machine is busy.
const stopBound = time.Minute

// process is a program that faults end and start again. A fault holds it; what
// is below hold is its holder's.
type process struct {
	name    string
	logPath string
	make    func() *exec.Cmd
	// ready is the file in which it says that it is up; empty for the broker.
	ready string
	// unexpected hears of an end that nobody asked for.
	unexpected func(p *process, err error)

	hold sync.Mutex

	mu      sync.Mutex // guards what follows
	command *exec.Cmd
	exited  chan struct{}
	asked   bool // its end was asked for
	starts  int
}

func (f *fleet) newProcess(name string, command func() *exec.Cmd) *process {
	return &process{name: name, logPath: f.path(name + ".log"), make: command, unexpected: f.ended}
}

// start starts it; its output goes behind that of its earlier lives.
func (p *process) start() error {
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts++
	_, _ = fmt.Fprintf(log, "--- start %d at %s\n", p.starts, time.Now().UTC().Format(time.RFC3339Nano))
	command := p.make()
	command.Stdout, command.Stderr = log, log
	if _, err := command.StdinPipe(); err != nil { // closed when the test ends, however it does
		return err
	}
	if err := command.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.command, p.exited, p.asked = command, exited, false
	go func() {
		err := command.Wait()
		p.mu.Lock()
		asked := p.asked
		p.mu.Unlock()
		if !asked {
			p.unexpected(p, err)
		}
		close(exited)
	}()
	return nil
}

// gone is closed when the process has ended.
func (p *process) gone() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

func (p *process) send(s syscall.Signal, ends bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = p.asked || ends
	_ = p.command.Process.Signal(s) // fails only if it has ended
}

// kill ends it at once.
func (p *process) kill() {
	p.send(syscall.SIGKILL, true)
	<-p.gone()
}

// stop asks it to end, if it still runs. It kills a process that does not, which is
// an error, as is an end with another code than 0 of one that was up: before that
// the signal, or a broker that is away, ends it as it likes.
func (p *process) stop() error {
	select {
	case <-p.gone():
		return nil
	default:
	}
	up := p.ready == "" || exists(p.ready)
	p.send(syscall.SIGTERM, true)
	late := time.NewTimer(stopBound)
	defer late.Stop()
	select {
	case <-p.gone():
	case <-late.C:
		p.send(syscall.SIGQUIT, true) // shows where it hangs
		<-p.gone()
		return fmt.Errorf("%s did not stop within %v of SIGTERM", p.name, stopBound)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if code := p.command.ProcessState.ExitCode(); code != 0 && up {
		return fmt.Errorf("%s ended with code %d after SIGTERM", p.name, code)
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// end kills what still runs, at the end of a test.
func (p *process) end() {
	if p != nil && p.gone() != nil {
		p.kill()
	}
}

// exitError is the code of a process that could not start, as when the broker is
// away; whoever runs it starts it again.
const exitError = 1

// ended answers for a process that ended by itself.
func (f *fleet) ended(p *process, err error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitError {
		f.book.fail("%s ended by itself: %v; see %s", p.name, err, p.logPath)
	}
	p.mu.Lock()
	life := p.starts
	p.mu.Unlock()
	f.book.count("process that found no broker at its start, started again")
	f.restarts.Go(func() {
		if !pause(f.running, 200*time.Millisecond) {
			return
		}
		p.hold.Lock()
		defer p.hold.Unlock()
		p.mu.Lock()
		dead := p.starts == life && !p.asked
		p.mu.Unlock()
		if !dead || f.running.Err() != nil {
			return
		}
		if err := p.start(); err != nil {
			f.book.fail("the harness: start %s: %v", p.name, err)
		}
	})
}
