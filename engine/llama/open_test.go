package llama

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine"
)

// TestOptions: every field is checked.
func TestOptions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"LibDir": func(o *Options) { o.LibDir = "" }, "ModelPath": func(o *Options) { o.ModelPath = "" },
		"Backend": func(o *Options) { o.Backend = "cuda" }, "KVType": func(o *Options) { o.KVType = "q5_0" },
		"Parallel below": func(o *Options) { o.Parallel = -1 }, "Parallel above": func(o *Options) { o.Parallel = 256 },
		"Batch below": func(o *Options) { o.Batch = 31 }, "Batch above": func(o *Options) { o.Batch = 4097 },
		"Context": func(o *Options) { o.Context = 255 }, "Cells": func(o *Options) { o.Context, o.Cells = 512, 511 },
		"GPULayers": func(o *Options) { o.GPULayers = -2 }, "GPULayers on cpu": func(o *Options) { o.Backend, o.GPULayers = BackendCPU, 1 },
		"Threads": func(o *Options) { o.Threads = -1 },
	} {
		o := Options{LibDir: "lib", ModelPath: "model"}
		change(&o)
		if _, err := Open(t.Context(), o); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	o, err := Options{LibDir: "lib", ModelPath: "model"}.withDefaults()
	if err != nil || o.Backend != BackendAuto || o.KVType != KVF16 || o.Parallel != 8 || o.Batch != 512 || o.Logger == nil {
		t.Errorf("defaults %+v, error %v", o, err)
	}
}

// TestOpenRefuses: what cannot be opened is told in an error of its own, and the
// next Open works.
func TestOpenRefuses(t *testing.T) {
	want := func(change func(*Options), text string, as any) {
		t.Helper()
		o := options(t)
		change(&o)
		b, err := Open(t.Context(), o)
		if err == nil {
			t.Errorf("%s: it opened", text)
			_ = b.Close()
			return
		}
		if !errors.As(err, as) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v (%T), want %T with %q", err, err, as, text)
		}
	}
	write := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model := func(path string) func(*Options) { return func(o *Options) { o.ModelPath, o.WeightsHash = path, "00" } }
	header := func(version byte, rest ...byte) []byte {
		return append([]byte{'G', 'G', 'U', 'F', version, 0, 0, 0}, append(make([]byte, 16), rest...)...)
	}

	open(t, nil) // The libraries are loaded from here on.
	want(func(o *Options) { o.RuntimeVersion = "v0.3.9" }, "is v0.4.0, but this build works with v0.3.9 only", new(*VersionError))
	var other *VersionError
	o := options(t)
	o.LibDir = t.TempDir()
	if _, err := Open(t.Context(), o); err == nil || errors.As(err, &other) || !strings.Contains(err.Error(), "cannot load those in") {
		t.Errorf("libraries of another folder: %v", err)
	}
	want(func(o *Options) { o.Threads = UsableCores() + 1 }, "the threads spin", new(*ThreadsError))
	want(func(o *Options) { o.Context, o.Cells = 16384, 0 }, "more than the 8192 that the model was trained for", new(*ContextFitError))
	want(func(o *Options) { o.Cells = 1 << 28 }, "there is room for", new(*ContextFitError))

	want(model(filepath.Join(t.TempDir(), "none.gguf")), "cannot open it", new(*LoadError))
	want(model(write("empty.gguf", nil)), "shorter than the header", new(*LoadError))
	want(model(write("short.gguf", []byte("GGUF"))), "shorter than the header", new(*LoadError))
	want(model(write("text.gguf", []byte(strings.Repeat("not a model ", 10)))), "not a GGUF file", new(*LoadError))
	want(model(write("old.gguf", header(1))), "old version 1", new(*LoadError))
	want(model(write("big.gguf", append([]byte{'G', 'G', 'U', 'F', 0, 0, 0, 3}, make([]byte, 16)...))), "big-endian", new(*LoadError))
	want(model(write("none.gguf", header(3))), "cannot load model", new(*LoadError))
	want(model(write("m-00002-of-00002.gguf", header(3))), "not the first part", new(*LoadError))
	want(model(write("m-00001-of-00002.gguf", header(3))), "part 2 of 2", new(*LoadError))
	want(model(write("m-00001-of-00000.gguf", header(3))), "part of no parts", new(*LoadError))
	want(model(t.TempDir()), "cannot read it", new(*LoadError))

	// A model cut off in the middle.
	whole, err := os.ReadFile(options(t).ModelPath)
	if err != nil {
		t.Fatal(err)
	}
	want(model(write("cut.gguf", whole[:len(whole)/2])), "cannot load model", new(*LoadError))

	stopped, stop := context.WithCancel(t.Context())
	stop()
	o = options(t)
	if _, err := Open(stopped, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a load that was cancelled: %v", err)
	}
	o.WeightsHash = ""
	if _, err := Open(stopped, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a hash that was cancelled: %v", err)
	}
	if b := open(t, nil); b.CellsUsed() != 0 {
		t.Error("it is not empty")
	}
}

// TestFingerprint: the weights are hashed where nobody did, and progress ends
// at 1.
func TestFingerprint(t *testing.T) {
	last := float32(-1)
	hashed := open(t, func(o *Options) { o.WeightsHash, o.Name, o.Progress = "", "", func(p float32) { last = p } })
	known := open(t, func(o *Options) {
		o.WeightsHash = "B179C9523D0E6A0F98A330C7562B682750A6F8C8C15E5BC70EA373728110DB53"
	})
	if a, b := hashed.Info().Fingerprint, known.Info().Fingerprint; a != b {
		t.Errorf("fingerprints %s and %s", a, b)
	}
	if other := fingerprint("00", "v0.4.0", "t"); other == fingerprint("00", "v0.4.1", "t") || other == fingerprint("00", "v0.4.0", "u") {
		t.Error("release or template are not in the fingerprint")
	}
	if hashed.Info().Name == "" || last != 1 {
		t.Errorf("name %q, progress ended at %v", hashed.Info().Name, last)
	}
}

func TestDevices(t *testing.T) {
	b := open(t, func(o *Options) { o.Backend = BackendCPU })
	if s := b.Status(); s.DeviceReason != "asked for" || b.Info().Backend != BackendCPU {
		t.Errorf("status %+v", s)
	}
	if b.Info().Backend == BackendCPU && open(t, nil).Info().Backend == BackendCPU {
		for _, change := range []func(*Options){
			func(o *Options) { o.Backend = BackendMetal }, func(o *Options) { o.GPULayers = 4 },
		} {
			o := options(t)
			change(&o)
			var device *DeviceError
			if _, err := Open(t.Context(), o); !errors.As(err, &device) || !strings.Contains(err.Error(), "Metal") {
				t.Errorf("error %v", err)
			}
		}
	}
	if !isMetal("MTL") || !isMetal("Metal") || isMetal("CPU") || (device{metal: true}).name() != BackendMetal {
		t.Error("Metal is not recognised")
	}
}

func TestMissing(t *testing.T) {
	for said, want := range map[string]string{
		"libllama.so: cannot open shared object file: No such file":    "run `semantic runtime install`",
		"libstdc++.so.6: cannot open shared object file: No such file": "install libstdc++6 and libgcc-s1",
		"libffi.so.8: cannot open shared object file: No such file":    "install libffi8",
	} {
		err := missing("dir", errors.New(said))
		var e *MissingLibraryError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || !strings.HasPrefix(said, e.Library) || e.Unwrap() == nil {
			t.Errorf("%q: %v", said, err)
		}
	}
	if missing("dir", nil) != nil {
		t.Error("nothing is missing")
	}
}

func TestLibraryVersion(t *testing.T) {
	dir := options(t).LibDir
	if v, err := LibraryVersion(dir); err != nil || v != "v0.4.0" {
		t.Errorf("version %q, error %v", v, err)
	}
	var absent *MissingLibraryError
	if _, err := LibraryVersion(t.TempDir()); !errors.As(err, &absent) || !strings.Contains(err.Error(), "semantic runtime install") {
		t.Errorf("error %v", err)
	}
	if _, err := libraryName("open_test.go"); err == nil || !strings.Contains(err.Error(), "not a shared library") {
		t.Errorf("error %v", err)
	}
	if !sameRelease("v0.4.0", "0.4.0-dev") || sameRelease("v0.4.0", "v0.4.1") {
		t.Error("releases are not compared by their numbers")
	}
}
