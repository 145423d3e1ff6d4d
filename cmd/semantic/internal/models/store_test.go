package models

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

func add(t *testing.T, s *Store, path string, o AddOptions) Model {
	t.Helper()
	m, err := s.Add(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestAdd(t *testing.T) {
	s, data := newStore(t), gguftest.Model("x")
	file := write(t, filepath.Join(t.TempDir(), "My model.gguf"), data)
	m := add(t, s, file, AddOptions{})
	if m.Name != "My-model" || m.Owned || m.Path != file || m.Source != file || m.Licence != "mit" || m.Size != int64(len(data)) {
		t.Errorf("%+v", m)
	}
	whole(t, s, "My-model", data)
	// Once more is no error; under another name it is another model.
	add(t, s, file, AddOptions{})
	copied := add(t, s, file, AddOptions{Name: "owner/copy:q8", Copy: true})
	if !copied.Owned || copied.Path == file || !strings.HasPrefix(copied.Path, s.dir) {
		t.Errorf("%+v", copied)
	}
	whole(t, s, "owner/copy:q8", data)
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].Name != "My-model" || list[1].Slug != "owner=2Fcopy=3Aq8" {
		t.Errorf("%+v, %v", list, err)
	}
	// The name is taken; also in another case.
	other := write(t, filepath.Join(t.TempDir(), "other.gguf"), gguftest.Model("y"))
	for _, name := range []string{"My-model", "my-MODEL"} {
		var taken *ExistsError
		if _, err := s.Add(t.Context(), other, AddOptions{Name: name}); !errors.As(err, &taken) || !errors.Is(err, ErrExists) ||
			!strings.Contains(taken.Hint(), "rm My-model") {
			t.Errorf("error %v", err)
		}
	}
	whole(t, s, "My-model", data)
}

func TestAddSet(t *testing.T) {
	one, two := gguftest.Part(0, 2), gguftest.Part(1, 2)
	dir := t.TempDir()
	first := write(t, filepath.Join(dir, "big-00001-of-00002.gguf"), one)
	second := filepath.Join(dir, "big-00002-of-00002.gguf")
	s := newStore(t)
	var content *ContentError
	if _, err := s.Add(t.Context(), first, AddOptions{}); !errors.As(err, &content) ||
		!strings.Contains(err.Error(), "big-00002-of-00002.gguf is missing") {
		t.Errorf("error %v", err)
	}
	nothing(t, s)
	write(t, second, two)
	m := add(t, s, second, AddOptions{})
	if m.Name != "big" || m.Path != first || len(m.Files) != 2 {
		t.Errorf("%+v", m)
	}
	whole(t, s, "big", one, two)
	add(t, s, first, AddOptions{Name: "copy", Copy: true})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	whole(t, s, "copy", one, two)
	if _, err := s.Resolve(t.Context(), "big", nil); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v", err)
	}
	// A set by its header, but not by its name.
	alone := write(t, filepath.Join(t.TempDir(), "alone.gguf"), one)
	if _, err := s.Add(t.Context(), alone, AddOptions{}); !errors.As(err, &content) || !strings.Contains(content.Hint(), "keep their names") {
		t.Errorf("error %v", err)
	}
}

func TestAddRefused(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	if _, err := s.Add(t.Context(), filepath.Join(dir, "none.gguf"), AddOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	var content *ContentError
	if _, err := s.Add(t.Context(), dir, AddOptions{}); !errors.As(err, &content) {
		t.Errorf("error %v", err)
	}
	text := write(t, filepath.Join(dir, "text.gguf"), []byte("text"))
	if _, err := s.Add(t.Context(), text, AddOptions{}); !errors.As(err, &content) {
		t.Errorf("error %v", err)
	}
	file := write(t, filepath.Join(dir, "a.gguf"), gguftest.Model("x"))
	for _, name := range []string{"../a", "-a", ".a", "a b", strings.Repeat("a", 81)} {
		if _, err := s.Add(t.Context(), file, AddOptions{Name: name}); !errors.Is(err, ErrName) {
			t.Errorf("%q: error %v", name, err)
		}
	}
	nothing(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range []AddOptions{{}, {Copy: true}} {
		if _, err := s.Add(ctx, file, o); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	nothing(t, s)
}

func TestChanged(t *testing.T) {
	data := gguftest.Model("x")
	for _, owned := range []bool{false, true} {
		for name, test := range map[string]struct {
			change func(path string) error
			want   string
		}{
			"gone":    {os.Remove, "is gone"},
			"shorter": {func(path string) error { return os.Truncate(path, 99) }, "has 99 bytes"},
			"altered": {func(path string) error {
				other := append([]byte{}, data...)
				other[len(other)-40] ^= 1
				return os.WriteFile(path, other, 0o600)
			}, "its sha256 is"},
		} {
			t.Run(name, func(t *testing.T) {
				s := newStore(t)
				m := add(t, s, write(t, filepath.Join(t.TempDir(), "a.gguf"), data), AddOptions{Copy: owned})
				if err := test.change(m.Path); err != nil {
					t.Fatal(err)
				}
				later := time.Now().Add(time.Hour) // whatever the clock's resolution
				_ = os.Chtimes(m.Path, later, later)
				_, err := s.Resolve(t.Context(), "a", nil)
				var changed *ChangedError
				if !errors.As(err, &changed) || !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want one with %q", err, test.want)
				}
				if want := map[bool]string{false: "model add", true: "model rm"}[owned]; !strings.Contains(changed.Hint(), want) {
					t.Errorf("hint %q", changed.Hint())
				}
				if list, err := s.List(); err != nil || len(list) != 1 || list[0].Problem == "" {
					t.Errorf("%+v, %v", list, err)
				}
			})
		}
	}
}

func TestAcceptedChange(t *testing.T) {
	s, other := newStore(t), gguftest.Model("another name")
	file := write(t, filepath.Join(t.TempDir(), "a.gguf"), gguftest.Model("x"))
	add(t, s, file, AddOptions{})
	write(t, file, other)
	if _, err := s.Resolve(t.Context(), "a", nil); !errors.Is(err, ErrChanged) {
		t.Fatalf("error %v", err)
	}
	add(t, s, file, AddOptions{})
	whole(t, s, "a", other)
}

func TestTouched(t *testing.T) {
	s, data := newStore(t), gguftest.Model("x")
	m := add(t, s, write(t, filepath.Join(t.TempDir(), "a.gguf"), data), AddOptions{})
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(m.Path, later, later); err != nil {
		t.Fatal(err)
	}
	hashed := func() bool {
		var out strings.Builder
		if _, err := s.Resolve(t.Context(), "a", progress.New(&out, false)); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(out.String(), "Hashing")
	}
	if !hashed() || hashed() {
		t.Error("a file that was only touched is to be hashed once")
	}
}

func TestResolvePath(t *testing.T) {
	s, data := newStore(t), gguftest.Model("x")
	file := write(t, filepath.Join(t.TempDir(), "a.gguf"), data)
	hashed := func() bool {
		var out strings.Builder
		m, err := s.Resolve(t.Context(), file, progress.New(&out, false))
		if err != nil || m.Name != "a" || m.Path != file || m.SHA256 != sum(data) {
			t.Fatalf("%+v, %v", m, err)
		}
		return strings.Contains(out.String(), "Hashing")
	}
	if !hashed() || hashed() {
		t.Error("a file is to be hashed once")
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(file, later, later); err != nil {
		t.Fatal(err)
	}
	if !hashed() {
		t.Error("a file that changed is to be hashed again")
	}
	write(t, s.hashesFile(), []byte("not JSON"))
	if !hashed() {
		t.Error("hashed without a memory of it")
	}
	nothing(t, s) // it is not in the store
	if _, err := s.Resolve(t.Context(), filepath.Join(t.TempDir(), "b.gguf"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	var missing *NotFoundError
	if _, err := s.Resolve(t.Context(), "nobody", nil); !errors.As(err, &missing) || !errors.Is(err, ErrNotFound) || missing.Hint() == "" {
		t.Errorf("error %v", err)
	}
	add(t, s, file, AddOptions{})
	if _, err := s.Resolve(t.Context(), "smollm2-135m-instruct", nil); !errors.As(err, &missing) ||
		!strings.Contains(err.Error(), "there is a") || !strings.Contains(missing.Hint(), "model pull") {
		t.Errorf("error %v", err)
	}
}

func TestRememberedHashes(t *testing.T) {
	s := newStore(t)
	kept := write(t, filepath.Join(t.TempDir(), "kept"), nil)
	full := hashes{Version: 1, Files: map[string]File{kept: {Path: kept}}}
	gone := t.TempDir()
	for i := range maxHashes {
		path := filepath.Join(gone, strconv.Itoa(i))
		full.Files[path] = File{Path: path}
	}
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.hashesFile(), data)
	last := write(t, filepath.Join(t.TempDir(), "last"), nil)
	if err := s.rememberHash(t.Context(), File{Path: last}); err != nil {
		t.Fatal(err)
	}
	if got := s.readHashes().Files; len(got) != 2 || got[kept].Path != kept || got[last].Path != last {
		t.Errorf("%d files are remembered, want the two that are there", len(got))
	}
}

func TestRemove(t *testing.T) {
	s, data := newStore(t), gguftest.Model("x")
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "a.gguf"), data)
	beside := write(t, filepath.Join(dir, "beside"), nil)
	add(t, s, file, AddOptions{})
	copied := add(t, s, file, AddOptions{Name: "copy", Copy: true})

	m, err := s.Remove(t.Context(), "a")
	if err != nil || m.Owned || m.Path != file {
		t.Errorf("%+v, %v", m, err)
	}
	if !exists(file) || !exists(beside) {
		t.Error("a file that is not the store's was deleted")
	}
	if m, err = s.Remove(t.Context(), "copy"); err != nil || !m.Owned || exists(copied.Path) || !exists(file) {
		t.Errorf("%+v, %v", m, err)
	}
	nothing(t, s)
	if _, err := s.Remove(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Remove(t.Context(), "../../"+filepath.Base(dir)); !errors.Is(err, ErrName) || !exists(file) {
		t.Errorf("error %v", err)
	}
}

func TestRemovePartial(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	srv.add("/a.gguf", gguftest.Model("x"))
	interrupt(t, s, srv, "/a.gguf", 700)
	if _, err := s.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	nothing(t, s)
}

// What an altered manifest names is neither listed as usable nor deleted.
func TestBrokenManifest(t *testing.T) {
	precious := write(t, filepath.Join(t.TempDir(), "precious"), []byte("x"))
	for name, text := range map[string]string{
		"not JSON":      `{`,
		"other version": `{"version":9,"name":"a"}`,
		"other name":    `{"version":1,"name":"b","owned":true,"files":[{"path":"x.gguf"}]}`,
		"unknown field": `{"version":1,"name":"a","colour":"red"}`,
		"no files":      `{"version":1,"name":"a","owned":true}`,
		"leads out":     `{"version":1,"name":"a","owned":true,"files":[{"path":"` + precious + `"}]}`,
		"leads up":      `{"version":1,"name":"a","owned":true,"files":[{"path":"../../x"}]}`,
		"relative":      `{"version":1,"name":"a","files":[{"path":"x.gguf"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			write(t, filepath.Join(s.folder("a"), manifestName), []byte(text))
			write(t, filepath.Join(s.dir, "not=ours"), nil)
			list, err := s.List()
			if err != nil || len(list) != 1 || list[0].Name != "a" || list[0].Problem == "" {
				t.Errorf("%+v, %v", list, err)
			}
			if _, err := s.Resolve(t.Context(), "a", nil); err == nil || errors.Is(err, ErrNotFound) {
				t.Errorf("error %v", err)
			}
			if _, err := s.Remove(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			nothing(t, s)
			if !exists(precious) {
				t.Error("a file elsewhere was deleted")
			}
		})
	}
}

func TestNames(t *testing.T) {
	for file, want := range map[string]string{
		"a.gguf": "a", "/x/My model (2).gguf": "My-model--2-", "..gguf": "model", "-x": "x", "big-00001-of-00003.gguf": "big",
		"big-00004-of-00003.gguf": "big-00004-of-00003", strings.Repeat("x", 99): strings.Repeat("x", 80),
	} {
		if got := nameOf(file); got != want || ValidName(got) != nil {
			t.Errorf("nameOf(%q) is %q, want %q", file, got, want)
		}
	}
	if err := ValidName(""); !errors.Is(err, ErrName) || !strings.Contains(err.Error(), "empty") {
		t.Error(err)
	}
}
