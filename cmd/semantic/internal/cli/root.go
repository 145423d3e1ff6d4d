// Package cli is the command line of semantic: one file per subcommand. Each
// command is made by a function newXCommand(*app) and reaches the outside only
// through app, so that tests run commands in-process.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/awake"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/home"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/telemetry"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/schemas"
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
	// Exit ends the process at once; needed with Signals, and by a supervised
	// worker. nil means os.Exit.
	Exit func(code int)
	// Backend, where it is set, stands between a worker's engine and its
	// backend: a test's faults.
	Backend func(engine.Backend) engine.Backend
	// KeepAwake is the program that holds off sleep; empty is the system's, where it
	// has one.
	KeepAwake string
	// Release is the version that the binary was built as; empty asks the
	// build information.
	Release string
}

// app is what every command needs. Its fields are set before a command runs
// and not changed afterwards, except Log, Tracer, interrupt and lastWords.
type app struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
	Environ  func() []string
	Exit     func(code int)
	Backend  func(engine.Backend) engine.Backend
	Release  string
	// KeepAwake is the program that holds off sleep; empty for none.
	KeepAwake string
	// Tracer makes the spans of a server; nil for none. traces sets it.
	Tracer trace.TracerProvider
	// Log is set up from --log-level, --log-format and --log-file before RunE; it
	// writes to Err, or to LogFile, which is nil without --log-file.
	Log     *slog.Logger
	LogFile *telemetry.LogFile
	// Level is the least level of everything that the process logs, its libraries
	// included. It may be changed at any time, by any goroutine.
	Level *slog.LevelVar

	// loaded is what config returns.
	loaded    *config.Loaded
	loadedErr error

	// interrupt, where a command has set it, gets the interrupt signals
	// instead of the default handling (`chat` stops the answer, not itself).
	interrupt atomic.Pointer[func()]
	// lastWords, where a command has set it, is said before a second signal ends
	// the process: open streams hear why they end. It must be quick.
	lastWords atomic.Pointer[func()]
}

// Run executes one command line and returns the process's exit code.
func Run(ctx context.Context, arguments []string, o Options) int {
	a := &app{In: o.In, Out: o.Out, Err: o.Err, Getenv: o.Getenv, Environ: o.Environ, Exit: o.Exit, Backend: o.Backend, Release: o.Release}
	if a.Getenv == nil {
		a.Getenv = func(string) string { return "" }
	}
	if a.Environ == nil {
		a.Environ = func() []string { return nil }
	}
	if a.Exit == nil {
		a.Exit = os.Exit
	}
	if a.Release == "" {
		a.Release = release()
	}
	if a.KeepAwake = o.KeepAwake; a.KeepAwake == "" {
		a.KeepAwake = awake.System()
	}
	a.Log, a.Level = slog.New(slog.DiscardHandler), new(slog.LevelVar)

	cmdCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.Signals != nil {
		var watcher sync.WaitGroup
		done := make(chan struct{})
		watcher.Go(func() { a.watchSignals(o.Signals, cancel, a.Exit, done) })
		defer watcher.Wait()
		defer close(done)
	}

	help := &helpOutput{w: a.Out}
	root := newRootCommand(a, help) //nolint:contextcheck // the commands get theirs from ExecuteContextC
	root.SetArgs(arguments)
	cmd, err := root.ExecuteContextC(cmdCtx)
	if err == nil {
		err = help.err
	}
	defer a.closeLog()
	return a.report(cmd, err)
}

// stoppedError is the cause of a command's context after a first signal.
type stoppedError struct{ signal os.Signal }

func (e *stoppedError) Error() string { return "stopped by " + e.signal.String() }

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
				if say := a.lastWords.Load(); say != nil {
					(*say)()
				}
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

const configFlag = "config"

// setUp loads the configuration and makes the logger. A configuration that
// cannot be used is the error of the commands that ask for it, so that `help`
// and `version` work all the same.
func (a *app) setUp(cmd *cobra.Command) {
	file, _ := cmd.Flags().GetString(configFlag)
	if file == "" {
		file = a.Getenv("SEMANTIC_CONFIG")
	}
	a.loaded, a.loadedErr = config.Load(config.LoadOptions{
		File: file, DefaultFile: config.DefaultFile(a.Getenv), Environ: a.Environ(), Flags: cmd.Flags(),
	})
	a.openLog(cmd)
	if a.loadedErr == nil && len(a.loaded.UnknownEnv) > 0 {
		a.Log.Warn("unknown SEMANTIC_ variables in the environment are ignored", schemas.LogVariables, a.loaded.UnknownEnv)
	}
}

// config is the effective configuration of the running command.
func (a *app) config() (*config.Loaded, error) { return a.loaded, a.loadedErr }

// home is semantic's home folder; it need not exist.
func (a *app) home() (string, error) { return home.From(a.Getenv) }

// dataDir is the folder of the queue's store and the worker's identity; it need
// not exist.
func (a *app) dataDir(c *config.Loaded) (string, error) {
	if c.DataDir != "" {
		dir, err := filepath.Abs(c.DataDir)
		if err != nil {
			return "", &config.Error{Key: "data-dir", Source: c.Source("data-dir"), Err: err}
		}
		return dir, nil
	}
	dir, err := a.home()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "data"), nil
}

// commandGroup is a paragraph of the list of commands.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// commandGroups are the subcommands of semantic; the help sorts those of a
// group by name.
func commandGroups(a *app) []commandGroup {
	return []commandGroup{
		{"Run:", []*cobra.Command{newServeCommand(a), newGatewayCommand(a), newWorkerCommand(a)}},
		{"Ask:", []*cobra.Command{newChatCommand(a), newSubmitCommand(a), newJobCommand(a), newSchemaCommand(a)}},
		{"Operate:", []*cobra.Command{
			newPsCommand(a), newTopCommand(a), newBenchCommand(a), newJobsCommand(a), newDeadCommand(a), newDrainCommand(a), newUndrainCommand(a),
			newBatchWindowCommand(a), newLogLevelCommand(a), newKeyCommand(a), newNATSCommand(a),
		}},
		{"This machine:", []*cobra.Command{
			newDoctorCommand(a), newModelCommand(a), newRuntimeCommand(a), newConfigCommand(a),
		}},
	}
}

func newRootCommand(a *app, help io.Writer) *cobra.Command {
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
	}, newVersionCommand(a), newManCommand(a), newQuantizeFileCommand(a))
	for _, g := range commandGroups(a) {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.title
			root.AddCommand(cmd)
		}
	}
	flags := root.PersistentFlags()
	flags.String(configFlag, "", "read the YAML `FILE` instead of the default one (`semantic config show` names it)")
	config.Flags(flags, "log-level", "log-format")
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) { a.setUp(cmd) }
	root.SetIn(a.In)
	root.SetOut(help)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	return root
}
