package stress

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	// patience bounds every wait; none ends by it when all is well.
	patience = 3 * time.Minute
	// model is the simulated one.
	model = "sim"
)

// binary is the program under test, built once from this very tree.
var binary string

// full is how long the sustained load of a full run lasts; 0 in a short run.
var full time.Duration

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if text := os.Getenv("STRESS"); text != "" {
		var err error
		if full, err = time.ParseDuration(text); err != nil || full <= 0 {
			fmt.Fprintf(os.Stderr, "stress: STRESS=%s: want a time, as in 2m\n", text)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "semantic-stress-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "semantic")
	build := exec.Command("go", "build", "-o", binary, "github.com/semantic-worker/semantic/cmd/semantic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "stress: build:", err)
		return 1
	}
	code := m.Run()
	if err := measured.publish(code == 0); err != nil {
		fmt.Fprintln(os.Stderr, "stress:", err)
		return 1
	}
	if err := leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "stress:", err)
		return 1
	}
	return code
}

// sized is one value of a short run and another of a full one.
func sized[T any](short, long T) T {
	if full > 0 {
		return long
	}
	return short
}

// parallel lets short tests run beside each other: they wait more than they compute.
// The figures of a full run are of one at a time.
func parallel(t *testing.T) {
	t.Helper()
	if full == 0 {
		t.Parallel()
	}
}

// leaked looks for goroutines that stay. On a busy machine one takes its time to end.
func leaked() error {
	for late := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(); err == nil || time.Now().After(late) {
			return err
		}
	}
}
