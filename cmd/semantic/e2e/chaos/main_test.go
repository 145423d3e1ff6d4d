package chaos

import (
	"fmt"
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
	if store := os.Getenv(brokerEnv); store != "" {
		os.Exit(runBroker(store))
	}
	dir, err := os.MkdirTemp("", "semantic-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "semantic")
	build := exec.Command("go", "build", "-o", binary, "github.com/semantic-worker/semantic/cmd/semantic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "chaos: build:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	// toxiproxy leaves the goroutines of connections whose other side was gone.
	if err := leaked(goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		code = 1
	}
	os.Exit(code)
}

// leaked looks for goroutines that stay. On a busy machine one takes its time to end.
func leaked(options ...goleak.Option) error {
	for late := time.Now().Add(time.Minute); ; {
		if err := goleak.Find(options...); err == nil || time.Now().After(late) {
			return err
		}
	}
}
