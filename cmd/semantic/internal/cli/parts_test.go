package cli

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/config"
	"github.com/semantic-worker/semantic/deploy"
)

// header is the least GGUF file that is a model: no tensors, an architecture.
func header() []byte {
	var b bytes.Buffer
	text := func(s string) {
		_ = binary.Write(&b, binary.LittleEndian, uint64(len(s)))
		b.WriteString(s)
	}
	b.WriteString("GGUF")
	_ = binary.Write(&b, binary.LittleEndian, struct {
		Version        uint32
		Tensors, Pairs uint64
	}{3, 0, 1})
	text("general.architecture")
	_ = binary.Write(&b, binary.LittleEndian, uint32(8)) // a string
	text("llama")
	return append(b.Bytes(), make([]byte, 64)...)
}

// The gateway never announces a model without a name: a file is announced
// under the name that the worker will give it, a missing model is refused,
// unless it is the one that is fetched.
func TestExpectedModels(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "my model.gguf")
	if err := os.WriteFile(file, header(), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string {
		if name == "SEMANTIC_HOME" {
			return dir
		}
		return ""
	}
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	a := &app{Getenv: getenv, Err: io.Discard}
	for _, c := range []struct {
		model, backend, want string
		fails                bool
	}{
		{model: file, backend: "auto", want: "my-model"},
		{backend: "auto", want: lock.DefaultModel.Name}, // which is fetched
		{model: lock.DefaultModel.Name, backend: "auto", want: lock.DefaultModel.Name},
		{model: "small", backend: "auto", fails: true},
		{model: "small", backend: backendSim, want: "small"},
		{backend: backendSim, want: backendSim},
		{model: filepath.Join(dir, "none.gguf"), backend: "auto", fails: true},
	} {
		got, err := a.expectedModels(t.Context(), &config.Loaded{Config: config.Config{Model: c.model, Backend: c.backend}})
		if (err != nil) != c.fails {
			t.Errorf("%q: %v", c.model, err)
		}
		if err == nil && !slices.Equal(got, []string{c.want}) {
			t.Errorf("%q is announced as %q, want %q", c.model, got, c.want)
		}
	}
}
