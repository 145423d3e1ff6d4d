// Package client runs the package clients that fetch things for semantic (npm,
// pip), with the user's own configuration: registry, proxy, credentials.
package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// grace is how long an interrupted client has to end by itself.
const grace = 5 * time.Second

// tail is how much of a failed client's output is kept, in bytes.
const tail = 2 << 10

// MissingError says that no client is there that works.
type MissingError struct {
	// Client is what was looked for, like "npm"; What it was to fetch.
	Client, What string
	// Install says how to get the client, From what to do without it.
	Install, From string
	// Tried names what was found but did not run; usually empty.
	Tried []string
}

func (e *MissingError) Error() string {
	if len(e.Tried) > 0 {
		return fmt.Sprintf("%s fetches %s, and no %s that works was found (tried %s)",
			e.Client, e.What, e.Client, strings.Join(e.Tried, ", "))
	}
	return fmt.Sprintf("%s fetches %s, and it is not on PATH", e.Client, e.What)
}

// Hint names both ways out.
func (e *MissingError) Hint() string {
	return fmt.Sprintf("Either install it (%s), or %s.", e.Install, e.From)
}

// Error says that a client ran and failed.
type Error struct {
	// Command is what ran.
	Command string
	// Output is the end of what it said.
	Output string
	// Err is why it ended.
	Err error
}

func (e *Error) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %v; it said:\n    %s", e.Command, e.Err, strings.ReplaceAll(e.Output, "\n", "\n    "))
}

// Unwrap returns why the client ended.
func (e *Error) Unwrap() error { return e.Err }

// Find returns the first candidate that answers to --version, or the
// candidates that were found and did not. A candidate is a command with its
// first arguments, like "python3", "-m", "pip".
func Find(ctx context.Context, candidates ...[]string) (argv, tried []string) {
	for _, c := range candidates {
		path, err := exec.LookPath(c[0])
		if err != nil {
			continue
		}
		found := append([]string{path}, c[1:]...)
		if _, err := Run(ctx, Command{Argv: append(slices.Clone(found), "--version")}); err != nil {
			tried = append(tried, strings.Join(c, " "))
			continue
		}
		return found, nil
	}
	return nil, tried
}

// Command is one run of a client.
type Command struct {
	Argv []string
	// Dir is the working directory; empty means the current one.
	Dir string
	// Env is added to the environment.
	Env []string
}

// Run runs a client and returns what it wrote to standard output. When ctx
// ends it is interrupted, and killed if that does not help; the error is then
// the context's. Other failures are [*Error].
func Run(ctx context.Context, c Command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	// Two writers, so that exec's two copying goroutines share nothing.
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) //nolint:wrapcheck // the cause as it is
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return nil, &Error{Command: strings.Join(c.Argv, " "), Output: lastLines(stdout.String() + stderr.String()), Err: err}
	}
	return stdout.Bytes(), nil
}

func lastLines(s string) string {
	s = strings.TrimSpace(s)
	if len(s) <= tail {
		return s
	}
	s = s[len(s)-tail:]
	if _, after, ok := strings.Cut(s, "\n"); ok {
		s = after
	}
	return "…\n" + s
}
