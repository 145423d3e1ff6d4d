package cli

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/schemas"
)

// The exit codes of semantic.
const (
	// exitOK: what was asked is done.
	exitOK = 0
	// exitError: it could not be done; the error says why.
	exitError = 1
	// exitUsage: the command line or the configuration is wrong.
	exitUsage = 2
	// exitEngine: a worker's engine failed for good under it; another start may
	// well succeed.
	exitEngine = 70
	// exitInterrupted: a signal ended what was not finished.
	exitInterrupted = 130
	// exitPipe: who read the output went away, like `head`; nobody is told.
	exitPipe = 141
)

// usageError is an error of the command line or the configuration: exit 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// usagef makes an error that ends the process with exit code 2 and points at
// the command's help.
func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// flagError is the usage error of a command line that cannot be read. A value
// is told in the words of the configuration, not of the parser.
func flagError(err error) error {
	invalid := new(pflag.InvalidValueError)
	if !errors.As(err, &invalid) {
		return &usageError{err: err}
	}
	want := map[string]string{
		"int": "a whole number", "int64": "a whole number", "float64": "a number", "bool": "true or false",
		"duration": "a time with its unit like 30s or 10m",
	}[invalid.GetFlag().Value.Type()]
	switch tooLong, _ := regexp.MatchString(`^[+-]?([0-9.]+(ns|us|µs|ms|s|m|h))+$`, invalid.GetValue()); {
	case want == "":
		return &usageError{err: err}
	case errors.Is(err, strconv.ErrRange):
		want += " of 64 bits"
	case tooLong && invalid.GetFlag().Value.Type() == "duration":
		want = "a shorter time"
	}
	return usagef("--%s: want %s, got %q", invalid.GetFlag().Name, want, invalid.GetValue())
}

// hintError carries what the user can do about an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

// hinter is an error that knows what the user can do about it.
type hinter interface {
	error
	Hint() string
}

// withHint adds to err what the user can do about it, printed on a line of its
// own. A nil err stays nil.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// codeError gives err an exit code of its own.
type codeError struct {
	err  error
	code int
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// withCode makes err end the process with the exit code. A nil err stays nil.
func withCode(err error, code int) error {
	if err == nil {
		return nil
	}
	return &codeError{err: err, code: code}
}

// isUsage is whether the command line or the configuration is wrong.
func isUsage(err error) bool {
	return errors.As(err, new(*usageError)) || errors.As(err, new(*config.Error))
}

// errSilent ends a command with exit code 1 that has already said why, like
// `doctor` with its table.
var errSilent = &codeError{err: errors.New("failed"), code: exitError}

// report prints err once, with its hint, and returns the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	if isUsage(err) {
		code = exitUsage
	}
	if stopped := new(stoppedError); errors.As(err, &stopped) {
		code = exitInterrupted
	}
	var coded *codeError
	if errors.As(err, &coded) {
		code = coded.code
	}
	if unwritten := new(outputError); errors.As(err, &unwritten) && errors.Is(unwritten, syscall.EPIPE) {
		return exitPipe
	}
	if errors.Is(err, errSilent) {
		return code
	}
	a.notef("semantic: %v\n", err)
	if a.LogFile != nil { // who reads that did not see the error output
		a.Log.Error("this process ends with an error", schemas.LogError, err)
	}
	var hint hinter
	switch {
	case errors.As(err, &hint):
		a.notef("  %s\n", hint.Hint())
	case errors.As(err, new(*usageError)) && cmd != nil:
		a.notef("  Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

// args wraps cobra's argument checks so that their errors are usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return &usageError{err: err}
		}
		return nil
	}
}

// group makes cmd a parent of subcommands: alone it prints its help, with an
// unknown subcommand it is a usage error.
func group(cmd *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(sub...)
	cmd.Args = func(c *cobra.Command, given []string) error {
		if len(given) == 0 {
			return nil
		}
		err := fmt.Errorf("unknown command %q for %q", given[0], c.CommandPath())
		if near := c.SuggestionsFor(given[0]); len(near) > 0 {
			return &usageError{err: withHint(err, "Did you mean '%s %s'?", c.CommandPath(), near[0])}
		}
		return &usageError{err: err}
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}
