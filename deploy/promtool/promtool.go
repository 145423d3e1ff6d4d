// Package promtool runs Prometheus' own checker in tests. A test that needs it is
// named TestPromtool…: without promtool it is skipped, and deploy/scripts/test.sh, for
// which every other skip is a failure, says so. In CI it is required
// (SEMANTIC_TEST_PROMTOOL=require).
package promtool

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Path is where promtool is. Without one the test is skipped, or fails where it is
// required.
func Path(tb testing.TB) string {
	tb.Helper()
	if !strings.HasPrefix(tb.Name(), "TestPromtool") {
		tb.Fatalf("%s needs promtool: name it TestPromtool…", tb.Name())
	}
	path, err := exec.LookPath("promtool")
	if err == nil {
		return path
	}
	const reason = "promtool is not on PATH: sudo apt-get install prometheus, or brew install prometheus"
	if os.Getenv("SEMANTIC_TEST_PROMTOOL") == "require" {
		tb.Fatal(reason)
	}
	tb.Skip(reason)
	return ""
}

// Run runs it with an input, "" for none, and returns what it printed. The test fails if it
// finds fault.
func Run(tb testing.TB, input string, args ...string) string {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), Path(tb), args...)
	var out bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &out
	if err := command.Run(); err != nil {
		tb.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, &out)
	}
	return out.String()
}
