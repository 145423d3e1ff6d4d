// Command checksymbols checks that the native packages of every platform export
// what the binding and our own code look up. Its argument is a folder of the
// packages as .tgz files; it runs within the module, whose binding it reads.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/deploy/symbols"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "checksymbols:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: checksymbols DIR")
	}
	lock, err := deploy.RuntimeLock()
	if err != nil {
		return err
	}
	wanted, err := wanted(ctx)
	if err != nil {
		return err
	}
	reports, err := symbols.Check(args[0], lock, wanted)
	if err != nil {
		return err
	}
	var problems []error
	for _, r := range reports {
		if _, err := fmt.Fprintln(out, r); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		problems = append(problems, r.Err)
	}
	return errors.Join(problems...)
}

// wanted reads the sources that this module is built from.
func wanted(ctx context.Context) ([]symbols.Symbol, error) {
	module, err := list(ctx, "-m", "-f", "{{.Dir}}", "github.com/hybridgroup/yzma")
	if err != nil {
		return nil, err
	}
	binding, err := symbols.Binding(filepath.Join(module, "pkg", "llama"))
	if err != nil {
		return nil, err
	}
	folder, err := list(ctx, "-f", "{{.Dir}}", "github.com/semantic-worker/semantic/engine/llama")
	if err != nil {
		return nil, err
	}
	own, err := symbols.Own(folder)
	if err != nil {
		return nil, err
	}
	return append(binding, own...), nil
}

func list(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", append([]string{"list"}, args...)...).Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return "", fmt.Errorf("go list: %w: %s", err, exit.Stderr)
	case err != nil:
		return "", fmt.Errorf("go list: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", errors.New("the binding's source is not there: run `go mod download`")
	}
	return dir, nil
}
