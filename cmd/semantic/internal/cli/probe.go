package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/doctor"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/supervisor"
	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/engine/chat"
)

// suiteCells is the context, and the KV cache, that the conformance suite runs
// with: large enough for its prompts, small enough to be filled.
const suiteCells = 1024

// probeGrace is what a probing process gets to end when it is told to.
const probeGrace = 5 * time.Second

// newProbeCommand is how `doctor` runs native code: in a process of its own.
func newProbeCommand(a *app) *cobra.Command {
	var part doctor.Part
	cmd := &cobra.Command{
		Use:    "probe",
		Short:  "Examine for `semantic doctor` what native code may end",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			supervisor.WatchParent(a.In, func() {}, func() { a.Exit(exitError) })
			err = doctor.Probe(cmd.Context(), a.probeOptions(c), part, a.Out)
			if cmd.Context().Err() != nil {
				return errSilent // the doctor says so
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&part.Suite, "suite", false, "run the conformance suite")
	cmd.Flags().IntVar(&part.Skip, "skip", 0, "leave out the first `CASES` of the suite")
	addConfigFlags(cmd, modelFlags()...)
	return cmd
}

func (a *app) probeOptions(c *config.Loaded) doctor.ProbeOptions {
	return doctor.ProbeOptions{
		Config: c,
		Open:   func(ctx context.Context) (engine.Backend, *chat.Template, error) { return a.openBackend(ctx, c) },
		OpenSmall: func(ctx context.Context) (engine.Backend, *chat.Template, error) {
			small := *c
			small.Context = suiteCells
			return a.openBackendOf(ctx, &small, suiteCells)
		},
	}
}

// probe runs the hidden command above for a part; see [doctor.Options].
func (a *app) probe(ctx context.Context, c *config.Loaded, part doctor.Part, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	arguments := append([]string{
		"doctor", "probe", "--config", os.DevNull, "--log-level", c.LogLevel, "--log-format", c.LogFormat,
		"--suite=" + strconv.FormatBool(part.Suite), "--skip", strconv.Itoa(part.Skip),
	}, modelArgs(c)...)
	cmd := exec.CommandContext(ctx, self, arguments...)
	words := &lastWords{w: a.Err}
	cmd.Stdout, cmd.Stderr = out, words
	cmd.Env = append(a.childEnviron(), "GOTRACEBACK=none") // native code has no stack to show
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = probeGrace
	stdin, err := cmd.StdinPipe() // its end tells the process that we are gone
	if err != nil {
		return fmt.Errorf("start this program again: %w", err)
	}
	defer func() { _ = stdin.Close() }()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start this program again: %w", err)
	}
	err = cmd.Wait()
	exit := new(exec.ExitError)
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("run this program again: %w", err)
	}
	how := exit.String()
	if said := words.String(); said != "" {
		how += "; its last words:\n" + said
	}
	return errors.New(how)
}

// lastWords passes on what a process says, and keeps the last lines; of a crash
// of Go's, which lists every goroutine and register, only the first ones, and
// the rest goes nowhere.
type lastWords struct {
	w       io.Writer
	open    []byte // a line that has not ended
	lines   []string
	crashed bool
}

const (
	// wordLines is how many lines are kept.
	wordLines = 3
	// wordsInLine bounds a line, in bytes.
	wordsInLine = 1 << 10
)

// Write implements [io.Writer]. If nobody can read it, nobody can be told either.
func (l *lastWords) Write(p []byte) (int, error) {
	l.open = append(l.open, p...)
	for {
		text, rest, ended := bytes.Cut(l.open, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		l.take(string(text))
		l.open = rest
	}
}

func (l *lastWords) take(line string) {
	for _, crash := range []string{"SIG", "fatal error: ", "panic: "} {
		if !l.crashed && strings.HasPrefix(line, crash) {
			l.crashed, l.lines = true, nil
		}
	}
	if !l.crashed {
		_, _ = fmt.Fprintln(l.w, line)
	}
	line = strings.ToValidUTF8(strings.TrimSpace(line), "\ufffd")
	if line == "" || l.crashed && len(l.lines) == wordLines {
		return
	}
	l.lines = append(l.lines, line[:min(len(line), wordsInLine)])
	l.lines = l.lines[max(len(l.lines)-wordLines, 0):]
}

func (l *lastWords) String() string {
	if len(l.open) > 0 { // it died in mid-line
		l.take(string(l.open))
		l.open = nil
	}
	return strings.Join(l.lines, "\n")
}
