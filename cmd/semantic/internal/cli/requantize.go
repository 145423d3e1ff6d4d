package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/native"
	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/engine/llama"
)

// exitNotNeeded is how the process that quantizes says that no CPU computes
// here.
const exitNotNeeded = 4

// errNotNeeded is the same in the parent.
var errNotNeeded = errors.New("the CPU does not compute here")

func newModelRequantizeCommand(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "requantize NAME",
		Short: "Make a model's weights in a type that the CPU is fast with",
		Long: `Make a model's weights in another type, beside the original, which stays. Workers
on a CPU load the new file, workers with Metal the original. Not every type has
fast CPU kernels: a model in Q4_1 is 1.9 times as fast in reading prompts and 1.3
times in writing as Q8_0, and loses nothing. 'semantic model pull' does it for the
default model by itself.

A stream that was begun with one file is not continued with the other.`,
		Example: `  semantic model requantize my-model
  semantic model requantize my-model --to Q4_0`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			m, err := a.requantize(cmd.Context(), s, given[0], to, "")
			if err != nil {
				return err
			}
			return a.sayModel(m)
		},
	}
	cmd.Flags().StringVar(&to, "to", "Q8_0", "the `TYPE`: "+strings.Join(llama.Quantisations(), ", "))
	return cmd
}

// requantize makes the variant in a process of its own, which alone dies of a
// file that native code cannot bear. With a backend it is errNotNeeded where
// that is not the CPU.
func (a *app) requantize(ctx context.Context, s *models.Store, name, to, backend string) (models.Model, error) {
	to = strings.ToUpper(to)
	if _, err := llama.QuantizedSize(0, to); err != nil {
		err := fmt.Errorf("%q is none of %s", to, strings.Join(llama.Quantisations(), ", "))
		return models.Model{}, &config.Error{Key: "to", Source: "--to", Err: err}
	}
	dir, err := a.home()
	if err != nil {
		return models.Model{}, err
	}
	if _, err := native.Installed(dir); err != nil {
		return models.Model{}, err
	}
	report := a.progress()
	return s.Requantize(ctx, name, models.RequantizeOptions{
		To: to, Progress: report,
		Size: func(parameters int64) (int64, error) { return llama.QuantizedSize(parameters, to) },
		Make: func(ctx context.Context, from, out string) error {
			bar := report.Start(fmt.Sprintf("Making %s of %s", to, name), 0)
			defer bar.Stop()
			err := a.quantizeFile(ctx, []string{"--from", from, "--into", out, "--to", to, "--backend", backend}, bar.Set)
			if err == nil {
				bar.Done()
			}
			return err
		},
	})
}

// quantizeFile runs this very program as the command below.
func (a *app) quantizeFile(ctx context.Context, arguments []string, progress func(int64)) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"quantize-file"}, arguments...)...)
	cmd.Env = a.Environ()
	cmd.WaitDelay = time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the process that quantizes: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the process that quantizes: %w", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var begun, of int64
		if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &begun, &of); n == 2 {
			progress(begun)
		}
	}
	err = cmd.Wait()
	exit := new(exec.ExitError)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
	case errors.As(err, &exit) && exit.ExitCode() == exitNotNeeded:
		return errNotNeeded
	}
	return fmt.Errorf("the process that quantizes: %w: %s", err, strings.TrimSpace(said.String()))
}

// newQuantizeFileCommand is the child: hidden, and no interface for anybody
// else. It writes "BEGUN OF" lines, in tensors, to stdout.
func newQuantizeFileCommand(a *app) *cobra.Command {
	var from, into, to, backend string
	cmd := &cobra.Command{
		Use:    "quantize-file",
		Short:  "Quantize one file (how `semantic model requantize` does it)",
		Hidden: true,
		Args:   args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			dir, err := a.home()
			if err != nil {
				return err
			}
			lock, err := deploy.RuntimeLock()
			if err != nil {
				return err
			}
			libraries, err := native.Installed(dir)
			if err != nil {
				return err
			}
			if backend != "" {
				switch name, err := llama.DeviceName(libraries, lock.LlamaCPP, backend); {
				case err != nil:
					return err
				case name != llama.BackendCPU:
					return &codeError{err: errSilent, code: exitNotNeeded}
				}
			}
			return llama.Quantize(llama.QuantizeOptions{
				LibDir: libraries, RuntimeVersion: lock.LlamaCPP, From: from, To: filepath.Clean(into), Type: to,
				Progress: func(begun, of int) { _ = a.printf("%d %d\n", begun, of) },
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the `FILE` to read")
	cmd.Flags().StringVar(&into, "into", "", "the `FILE` to write")
	cmd.Flags().StringVar(&to, "to", "", "the `TYPE`")
	cmd.Flags().StringVar(&backend, "backend", "", "do nothing unless this `BACKEND` is the CPU here")
	return cmd
}

// slowOnCPU is the default model's type, which the CPU has no fast kernels for.
const slowOnCPU = "Q4_1"

// quicken makes a variant of the default model for a backend, if that is a CPU,
// once. What fails is said and harms nothing: the original is as good, only
// slower.
func (a *app) quicken(ctx context.Context, s *models.Store, m models.Model, backend string) (models.Model, error) {
	name, err := s.Default()
	if err != nil || m.Name != name || m.Quantisation != slowOnCPU || m.Requantised != nil {
		return m, err
	}
	if backend == "" {
		backend = llama.BackendAuto
	}
	made, err := a.requantize(ctx, s, m.Name, "Q8_0", backend)
	switch {
	case err == nil:
		return made, nil
	case ctx.Err() != nil:
		return m, err
	case errors.Is(err, errNotNeeded):
	case errors.Is(err, native.ErrNotInstalled):
		a.progress().Printf("%s can be made faster for the CPU when the native runtime is there: 'semantic model requantize %s'",
			m.Name, m.Name)
	default:
		a.progress().Printf("%s stays in %s, which is slow on a CPU: %v", m.Name, m.Quantisation, err)
	}
	return m, nil
}
