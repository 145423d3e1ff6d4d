package cli_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine/enginetest"
)

// On the real model: it is made by the native library, in a process of its own,
// and is told of.
func TestRequantizeNative(t *testing.T) {
	lib, model := enginetest.Native(t)
	env := environment(t)
	semantic := func(wantErr string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "semantic", args...)
		cmd.Env = env
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if (err != nil) != (wantErr != "") || !strings.Contains(said.String(), wantErr) {
			t.Fatalf("%q: %v\n%s%s", args, err, out, said.String())
		}
		return string(out)
	}
	path := func(args ...string) string {
		return strings.TrimSpace(semantic("", append([]string{"model", "path", "m"}, args...)...))
	}
	semantic("", "model", "add", model, "--name", "m")
	if got := path("--cpu"); got != model {
		t.Errorf("a CPU loads %s", got)
	}
	semantic("semantic runtime install", "model", "requantize", "m")
	semantic("", "runtime", "install", "--from", lib)
	semantic("none of Q8_0", "model", "requantize", "m", "--to", "IQ1_S")
	if out := semantic("", "model", "requantize", "m"); !strings.Contains(out, "Q4_1 (CPU: Q8_0)") {
		t.Error(out)
	}
	if out := semantic("", "model", "list"); !strings.Contains(out, "Q4_1 (CPU: Q8_0)") {
		t.Error(out)
	}
	var list []struct {
		Path        string
		Requantised struct {
			Quantisation string
			File         struct {
				Path string
				Size int64
			}
		}
	}
	if err := json.Unmarshal([]byte(semantic("", "model", "list", "--json")), &list); err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	made := list[0].Requantised
	if list[0].Path != model || made.Quantisation != "Q8_0" || made.File.Size < 140e6 || made.File.Size > 150e6 {
		t.Errorf("%+v", list[0])
	}
	if got := path(); got != model {
		t.Errorf("the model is %s", got)
	}
	if got := path("--cpu"); got != made.File.Path {
		t.Errorf("a CPU loads %s", got)
	}
}
