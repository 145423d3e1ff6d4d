package cli_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine/enginetest"
)

// On the real model: everything is found, loads and speaks.
func TestDoctorNative(t *testing.T) {
	lib, model := enginetest.Native(t)
	env := environment(t)
	semantic := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "semantic", args...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return out
	}
	semantic("runtime", "install", "--from", lib)
	semantic("model", "add", model, "--name", "smollm2-135m-instruct")
	var report struct {
		Level    string `json:"level"`
		Findings []struct{ Check, Level, Text, Mend string }
	}
	out := semantic("doctor", "--json", "--port", "0", "--nats-port", "0", "--ctx", "512", "--parallel", "1")
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	// A warning that the machine is busy is no failure.
	for _, check := range []string{"runtime", "abi", "model", "load", "context", "speak"} {
		if !slices.ContainsFunc(report.Findings, func(f struct{ Check, Level, Text, Mend string }) bool {
			return f.Check == check && f.Level != "fail" && f.Text != "" && !strings.Contains(f.Text, "not tried")
		}) {
			t.Errorf("%s is not well: %s", check, out)
		}
	}
}
