package llama

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWithoutLibffi runs this very program with the library's name altered in
// it, so that it is missing: what to install stands above the panic.
func TestWithoutLibffi(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	altered := bytes.ReplaceAll(program, []byte("libffi.so.8"), []byte("libffi.so.X"))
	path := filepath.Join(t.TempDir(), "altered")
	if err := os.WriteFile(path, altered, 0o700); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path, "-test.run=^$")
	command.Env = append(os.Environ(), "LD_LIBRARY_PATH=")
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("it ran without the library: %v\n%s", err, out)
	}
	first, rest, _ := strings.Cut(string(out), "\n")
	if !strings.Contains(first, "libffi.so.X was not found. Install libffi8") || !strings.Contains(rest, "panic: libffi.so.X") {
		t.Errorf("it said\n%.400s", out)
	}
}
