package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// binary is the program under test, built once from this very tree.
var binary string

func TestMain(m *testing.M) {
	if what := os.Getenv(readersEnv); what != "" {
		os.Exit(readStreams(what))
	}
	dir, err := os.MkdirTemp("", "semantic-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "semantic")
	build := exec.Command("go", "build", "-o", binary, "github.com/semantic-worker/semantic/cmd/semantic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: build:", err)
		os.Exit(1)
	}
	http.DefaultClient.Transport = privateTransport{http.DefaultTransport}
	code := m.Run()
	_ = os.RemoveAll(dir)
	if err := leaked(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// leaked looks for goroutines that stay. On a busy machine one takes its time to end.
func leaked() error {
	for late := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(); err == nil || time.Now().After(late) {
			return err
		}
	}
}
