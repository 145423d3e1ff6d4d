package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/deploy/symbols"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"a", "b"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); err == nil || !strings.HasPrefix(err.Error(), "usage:") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestNoPackages: a folder without packages is a failure that has a line for
// each platform.
func TestNoPackages(t *testing.T) {
	var out bytes.Buffer
	err := run(t.Context(), []string{t.TempDir()}, &out)
	var missing *symbols.MissingError
	if !errors.As(err, &missing) {
		t.Errorf("error %v", err)
	}
	for _, platform := range []string{"linux-x64", "linux-arm64", "mac-x64", "mac-arm64-metal"} {
		if want := platform + ": 0 libraries, 0 symbols, FAILED\n"; !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
}
