package compliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
)

// Root returns the folder of this module.
func Root(ctx context.Context) (string, error) {
	out, err := run(ctx, "", nil, "go", "list", "-m", "-f", "{{.Dir}}")
	return strings.TrimSpace(string(out)), err
}

// platformEnv makes the go command look at another platform.
func platformEnv(r deploy.Runtime) []string {
	return []string{"GOOS=" + r.OS, "GOARCH=" + r.Arch, "CGO_ENABLED=0"}
}

// buildTool builds a pinned tool for this machine and returns its path. `go tool`
// would build it for the platform that it is to look at.
func buildTool(ctx context.Context, root, modfile, pkg, name string) (string, error) {
	out := filepath.Join(root, ".cache", "tools", name)
	if _, err := run(ctx, root, []string{"CGO_ENABLED=0"}, "go", "build", "-modfile="+modfile, "-o", out, pkg); err != nil {
		return "", err
	}
	return out, nil
}

// moduleDir returns the folder and version of a module that a go.mod pins, and
// fetches it if needed.
func moduleDir(ctx context.Context, root, modfile, module string) (dir, version string, err error) {
	const format = "{{.Version}}\t{{.Dir}}"
	for _, args := range [][]string{
		{"list", "-modfile=" + modfile, "-m", "-f", format, module},
		{"mod", "download", "-modfile=" + modfile, module},
		{"list", "-modfile=" + modfile, "-m", "-f", format, module},
	} {
		out, err := run(ctx, root, nil, "go", args...)
		if err != nil {
			return "", "", err
		}
		if version, dir, _ := strings.Cut(strings.TrimSpace(string(out)), "\t"); dir != "" {
			return dir, version, nil
		}
	}
	return "", "", fmt.Errorf("the source of %s is not there", module)
}

// run returns what a command printed. Its error has what the command wrote to
// stderr.
func run(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		command := filepath.Base(name) + " " + strings.Join(args, " ")
		return nil, &CommandError{Command: command, Stderr: strings.TrimSpace(stderr.String()), Err: err}
	}
	return out, nil
}

// CommandError is a command that could not be run, or that ended with an error.
type CommandError struct {
	Command string
	// Stderr is all that it wrote there.
	Stderr string
	// Err is of os/exec.
	Err error
}

func (e *CommandError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %v: %s", e.Command, e.Err, e.Stderr)
}

func (e *CommandError) Unwrap() error { return e.Err }

// stderrOf returns what the command that failed wrote to stderr.
func stderrOf(err error) string {
	var failed *CommandError
	if errors.As(err, &failed) {
		return failed.Stderr
	}
	return ""
}
