package cli

import (
	"bytes"
	"syscall"
	"testing"
)

// brokenPipe is an output that nobody reads any more.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// Whatever writes a result: who stops reading it (`| head`) is told nothing.
func TestBrokenPipe(t *testing.T) {
	home := t.TempDir()
	getenv := func(name string) string {
		if name == "HOME" {
			return home
		}
		return ""
	}
	for _, line := range [][]string{
		{"--help"}, {"version"}, {"config", "show"}, {"config", "show", "--json"}, {"runtime", "status"}, {"man", t.TempDir()},
		{"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}, {"completion", "powershell"},
	} {
		var said bytes.Buffer
		code := Run(t.Context(), line, Options{Out: brokenPipe{}, Err: &said, Getenv: getenv})
		if code != exitPipe || said.Len() > 0 {
			t.Errorf("%q: exit code %d, %q", line, code, &said)
		}
	}
}
