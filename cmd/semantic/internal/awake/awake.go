// Package awake keeps a machine from going to sleep by itself while there is work
// on it: on a Mac, by the system's own caffeinate. It holds off idle sleep only;
// a lid that is closed, or a battery that is empty, has its way.
package awake

import (
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

// Linger is how long the machine is kept awake after the work is done, so that
// short jobs in a row do not start a process each.
const Linger = 10 * time.Second

// Options are what a [Keeper] needs.
type Options struct {
	// Program is what holds off sleep while it runs, called as caffeinate is. Empty
	// means that nothing does. [System] is the machine's.
	Program string
	// Linger is how long it runs on after the last release; 0 is not at all.
	Linger time.Duration
	// Logger gets what goes wrong; nil means none.
	Logger *slog.Logger
}

// Keeper runs the program while somebody holds. Make it with [New]; safe for
// concurrent use.
type Keeper struct {
	o Options

	mu      sync.Mutex // guards what follows
	holds   int
	child   *exec.Cmd   // nil while nothing runs
	rest    *time.Timer // ends the lingering; nil if there is none
	closed  bool
	running sync.WaitGroup // one for each child that is waited for
}

// New starts nothing.
func New(o Options) *Keeper {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{o: o}
}

// Hold keeps the machine awake until release is called, once or more often. It
// does not wait for anything but the start of a process.
func (k *Keeper) Hold() (release func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holds++
	if k.rest != nil {
		k.rest.Stop()
		k.rest = nil
	}
	k.start()
	var once sync.Once
	return func() { once.Do(k.release) }
}

// start runs the program, unless it runs already. A program that ended by itself
// is started again by the next hold. k.mu is held.
func (k *Keeper) start() {
	if k.o.Program == "" || k.closed || k.child != nil {
		return
	}
	// -i: no idle sleep; -w: until this process is gone, however it goes.
	//nolint:noctx // it outlives the hold that started it
	child := exec.Command(k.o.Program, "-i", "-w", strconv.Itoa(os.Getpid()))
	// A Ctrl-C at the terminal is not for it: this process may go on for a while.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		k.o.Logger.Warn("the machine may go to sleep while jobs run", slog.Any(schemas.LogError, err))
		return
	}
	k.child = child
	k.running.Go(func() {
		err := child.Wait()
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.child == child { // nobody stopped it
			k.child = nil
			k.o.Logger.Warn("the machine may go to sleep while jobs run: what kept it awake has ended", slog.Any(schemas.LogError, err))
		}
	})
}

func (k *Keeper) release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.holds--
	if k.holds > 0 || k.child == nil {
		return
	}
	if k.o.Linger <= 0 {
		k.stop()
		return
	}
	k.rest = time.AfterFunc(k.o.Linger, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.holds == 0 {
			k.stop()
		}
	})
}

// stop ends the program. k.mu is held.
func (k *Keeper) stop() {
	if k.child == nil {
		return
	}
	_ = k.child.Process.Kill() // fails only if it has ended
	k.child = nil
}

// Close lets the machine sleep, whoever holds, and joins what was started.
// Idempotent.
func (k *Keeper) Close() {
	k.mu.Lock()
	k.closed = true
	if k.rest != nil {
		k.rest.Stop()
		k.rest = nil
	}
	k.stop()
	k.mu.Unlock()
	k.running.Wait()
}
