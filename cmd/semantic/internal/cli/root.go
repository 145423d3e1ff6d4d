// Package cli is the command line of semantic: one file per subcommand. Each
// command is made by a function newXCommand(*app) and reaches the outside only
// through app, so that tests run commands in-process.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// Options is what the outside gives the command line.
type Options struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv and Environ read the environment; nil means an empty one.
	Getenv  func(string) string
	Environ func() []string
	// Signals delivers the process's signals; nil means none. The first one
	// cancels the command's context, the second one calls Exit.
	Signals <-chan os.Signal
	// Exit ends the process at once; needed with Signals.
	Exit func(code int)
}

// app is what every command needs. Its fields are set before a command runs
// and not changed afterwards, except interrupt.
type app struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Environ  func() []string
	// Log is set up from --log-level and --log-format before RunE.
	Log *slog.Logger

	// interrupt, where a command has set it, gets the interrupt signals
	// instead of the default handling (`chat` stops the answer, not itself).
	interrupt atomic.Pointer[func()]
}

// Run executes one command line and returns the process's exit code.
func Run(ctx context.Context, arguments []string, o Options) int {
	a := &app{In: o.In, Out: o.Out, Err: o.Err, Getenv: o.Getenv, Environ: o.Environ}
	if a.Getenv == nil {
		a.Getenv = func(string) string { return "" }
	}
	if a.Environ == nil {
		a.Environ = func() []string { return nil }
	}
	a.Log = slog.New(slog.DiscardHandler)

	cmdCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.Signals != nil {
		var watcher sync.WaitGroup
		done := make(chan struct{})
		watcher.Go(func() { a.watchSignals(o.Signals, cancel, o.Exit, done) })
		defer watcher.Wait()
		defer close(done)
	}

	root := newRootCommand(a)
	root.SetArgs(arguments)
	cmd, err := root.ExecuteContextC(cmdCtx)
	return a.report(cmd, err)
}

// stoppedError is the cause of a command's context after a first signal.
type stoppedError struct{ signal os.Signal }

func (e *stoppedError) Error() string { return e.signal.String() }

func (a *app) watchSignals(signals <-chan os.Signal, cancel context.CancelCauseFunc, exit func(int), done <-chan struct{}) {
	stopping := false
	for {
		select {
		case <-done:
			return
		case s := <-signals:
			if handle := a.interrupt.Load(); handle != nil && s == os.Interrupt {
				(*handle)()
				continue
			}
			if stopping {
				exit(exitInterrupted)
				continue
			}
			stopping = true
			cancel(&stoppedError{signal: s})
		}
	}
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// commands are the subcommands of semantic, in the order of the help.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newVersionCommand(a),
	}
}

func newRootCommand(a *app) *cobra.Command {
	root := group(&cobra.Command{
		Use:   "semantic",
		Short: "A message-queue driven inference worker",
		Long: `semantic answers OpenAI-style requests with a local model. Requests wait in a
durable queue (NATS JetStream), workers on one or several machines take them as
fast as they have room, and a stream survives the process that produced it.`,
		Example: `  semantic serve                 # everything on this machine
  semantic chat "Why is the sky blue?"
  semantic doctor                # is this machine ready?`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}, commands(a)...)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err: err} })
	return root
}
