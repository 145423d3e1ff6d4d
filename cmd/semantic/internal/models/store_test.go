package models

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/models/gguf/gguftest"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

func TestNames(t *testing.T) {
	for _, good := range []string{"a", "smollm2-135m-instruct", "Org/Model:Q4_K_M", "7b.v2@x+y"} {
		if err := ValidName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "-x", ".x", "/x", "a b", "ä", "a\n", strings.Repeat("a", 81)} {
		var name *NameError
		if err := ValidName(bad); !errors.As(err, &name) || !errors.Is(err, ErrName) {
			t.Errorf("%q: error %v", bad, err)
		}
	}
	for file, want := range map[string]string{
		"/x/SmolLM2-135M.Q4_1.gguf": "SmolLM2-135M.Q4_1", "/x/big-00001-of-00003.gguf": "big", "/x/ä ö.gguf": "model",
		"-x.gguf": "x", "a b.gguf": "a-b", "/" + strings.Repeat("a", 99) + ".gguf": strings.Repeat("a", 80), "/x/no-extension": "no-extension",
		"odd-00004-of-00003.gguf": "odd-00004-of-00003",
	} {
		got := nameOf(file)
		if got != want {
			t.Errorf("the name of %s is %q, want %q", file, got, want)
		}
		if err := ValidName(got); err != nil {
			t.Error(err)
		}
	}
}

func TestAdd(t *testing.T) {
	s := newStore(t)
	data := gguftest.Model("x")
	path := write(t, filepath.Join(t.TempDir(), "My Model.gguf"), data)
	m, err := s.Add(t.Context(), path, AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "My-Model" || m.Owned || m.Path != path || m.Licence != "mit" || m.SHA256 != sum(data) || m.Size != int64(len(data)) {
		t.Errorf("%+v", m)
	}
	whole(t, s, "My-Model", data)
	if _, err := s.Add(t.Context(), path, AddOptions{}); err != nil {
		t.Errorf("again: %v", err)
	}
	other := write(t, filepath.Join(t.TempDir(), "My Model.gguf"), data)
	var exists *ExistsError
	if _, err := s.Add(t.Context(), other, AddOptions{}); !errors.As(err, &exists) || !errors.Is(err, ErrExists) ||
		!strings.Contains(exists.Hint(), "--name") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Add(t.Context(), other, AddOptions{Name: "my-MODEL"}); !errors.As(err, &exists) {
		t.Errorf("a name that differs only in case: error %v", err)
	}
	if _, err := s.Add(t.Context(), other, AddOptions{Name: "../x"}); !errors.Is(err, ErrName) {
		t.Errorf("error %v", err)
	}
	// A reference is forgotten, its file stays; a copy goes.
	if m, err := s.Remove(t.Context(), "My-Model"); err != nil || m.Owned {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file that the store did not own: %v", err)
	}
	nothing(t, s)
}

func TestAddCopy(t *testing.T) {
	s := newStore(t)
	data := gguftest.Model("x")
	path := write(t, filepath.Join(t.TempDir(), "a.gguf"), data)
	m, err := s.Add(t.Context(), path, AddOptions{Copy: true, Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if !m.Owned || !strings.HasPrefix(m.Path, s.dir) {
		t.Errorf("%+v", m)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	whole(t, s, "n", data)
	if m, err := s.Remove(t.Context(), "n"); err != nil || !m.Owned || m.Size != int64(len(data)) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := os.Stat(m.Path); !os.IsNotExist(err) {
		t.Errorf("the copy: %v", err)
	}
	nothing(t, s)
}

func TestAddRefuses(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	data := gguftest.Model("x")
	for path, want := range map[string]string{
		filepath.Join(dir, "missing.gguf"): "no such file",
		dir:                                "not a file",
		write(t, filepath.Join(dir, "text.gguf"), []byte("hello")):                 "not a valid GGUF",
		write(t, filepath.Join(dir, "cut.gguf"), data[:1000]):                      "truncated",
		write(t, filepath.Join(dir, "one.gguf"), gguftest.Part(0, 2)):              "set of 2, and 1 are given",
		write(t, filepath.Join(dir, "s-00002-of-00003.gguf"), gguftest.Part(1, 3)): "s-00001-of-00003.gguf, s-00003-of-00003.gguf is missing",
	} {
		if _, err := s.Add(t.Context(), path, AddOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []bool{false, true} {
		path := write(t, filepath.Join(dir, "x.gguf"), data)
		if _, err := s.Add(ctx, path, AddOptions{Copy: c}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	}
	nothing(t, s)
}

func TestAddSet(t *testing.T) {
	for _, c := range []bool{false, true} {
		s := newStore(t)
		dir := t.TempDir()
		one, two := gguftest.Part(0, 2), gguftest.Part(1, 2)
		write(t, filepath.Join(dir, "big-00001-of-00002.gguf"), one)
		second := write(t, filepath.Join(dir, "big-00002-of-00002.gguf"), two)
		m, err := s.Add(t.Context(), second, AddOptions{Copy: c})
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != "big" || filepath.Base(m.Path) != "big-00001-of-00002.gguf" || m.Size != int64(len(one)+len(two)) {
			t.Errorf("%+v", m)
		}
		whole(t, s, "big", one, two)
	}
}

func TestChangedFile(t *testing.T) {
	data := gguftest.Model("x")
	later := time.Now().Add(time.Hour)
	for name, test := range map[string]struct {
		change func(t *testing.T, path string)
		want   string
	}{
		"gone":    {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "is gone"},
		"longer":  {func(t *testing.T, path string) { write(t, path, append(data, 0)) }, "was changed: it has"},
		"touched": {func(t *testing.T, path string) { must(t, os.Chtimes(path, later, later)) }, ""},
		"content": {func(t *testing.T, path string) {
			changed := append([]byte{}, data...)
			changed[len(changed)-100] ^= 1
			write(t, path, changed)
			must(t, os.Chtimes(path, later, later))
		}, "was changed: its sha256"},
		"unreadable": {func(t *testing.T, path string) { must(t, os.Remove(path)); must(t, os.Symlink(path, path)) }, "cannot be read"},
	} {
		for _, owned := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, owned %v", name, owned), func(t *testing.T) {
				s := newStore(t)
				path := write(t, filepath.Join(t.TempDir(), "a.gguf"), data)
				m, err := s.Add(t.Context(), path, AddOptions{Copy: owned})
				must(t, err)
				test.change(t, m.Path)
				_, err = s.Resolve(t.Context(), "a", nil)
				if test.want == "" {
					must(t, err)
					// The new time is remembered: no hashing the next time.
					var out strings.Builder
					if _, err := s.Resolve(t.Context(), "a", progress.New(&out, false)); err != nil || out.Len() > 0 {
						t.Errorf("%v, %q", err, out.String())
					}
					return
				}
				var changed *ChangedError
				if !errors.As(err, &changed) || !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want one with %q", err, test.want)
				}
				if hint := changed.Hint(); owned != strings.Contains(hint, "model rm a") {
					t.Errorf("hint %q", hint)
				}
				if test.want == "is gone" {
					if list, err := s.List(); err != nil || len(list) != 1 || !strings.Contains(list[0].Problem, test.want) {
						t.Errorf("%+v, %v", list, err)
					}
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAcceptChange(t *testing.T) {
	s := newStore(t)
	path := write(t, filepath.Join(t.TempDir(), "a.gguf"), gguftest.Model("x"))
	if _, err := s.Add(t.Context(), path, AddOptions{}); err != nil {
		t.Fatal(err)
	}
	other := gguftest.Model("another name")
	write(t, path, other)
	if _, err := s.Resolve(t.Context(), "a", nil); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Add(t.Context(), path, AddOptions{}); err != nil {
		t.Fatal(err)
	}
	whole(t, s, "a", other)
}

func TestResolve(t *testing.T) {
	s := newStore(t)
	data := gguftest.Model("x")
	path := write(t, filepath.Join(t.TempDir(), "file.gguf"), data)
	var out strings.Builder
	report := progress.New(&out, false)
	for range 2 { // the second does not hash
		m, err := s.Resolve(t.Context(), path, report)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != "file" || m.Slug != "file" || m.Path != path || m.SHA256 != sum(data) || m.Owned || m.Context != 4096 {
			t.Errorf("%+v", m)
		}
	}
	if n := strings.Count(out.String(), "Hashing"); n != 1 {
		t.Errorf("hashed %d times", n)
	}
	other := gguftest.Model("y") // of the same size
	write(t, path, other)
	later := time.Now().Add(time.Hour)
	must(t, os.Chtimes(path, later, later))
	if m, err := s.Resolve(t.Context(), path, nil); err != nil || m.SHA256 != sum(other) {
		t.Errorf("%+v, %v", m, err)
	}
	// Relative paths, also without the extension.
	t.Chdir(filepath.Dir(path))
	must(t, os.Link(path, "noext"))
	for _, p := range []string{"file.gguf", "./file.gguf", "noext"} {
		if m, err := s.Resolve(t.Context(), p, nil); err != nil || !filepath.IsAbs(m.Path) {
			t.Errorf("%s: %+v, %v", p, m, err)
		}
	}
	// A name beats a file.
	if _, err := s.Add(t.Context(), write(t, filepath.Join(t.TempDir(), "n.gguf"), data), AddOptions{Name: "noext"}); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Resolve(t.Context(), "noext", nil); err != nil || m.SHA256 != sum(data) {
		t.Errorf("%+v, %v", m, err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("the store holds %+v, %v", list, err)
	}

	must(t, os.Mkdir("dir.gguf", 0o755))
	for name, want := range map[string]string{"missing.gguf": "no such file", "dir.gguf": "it is a folder"} {
		if _, err := s.Resolve(t.Context(), name, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v", err)
		}
	}
	var missing *NotFoundError
	if _, err := s.Resolve(t.Context(), "llama", nil); !errors.As(err, &missing) || !errors.Is(err, ErrNotFound) ||
		!strings.Contains(err.Error(), "there is noext") || !strings.Contains(missing.Hint(), "model add") {
		t.Errorf("error %v", err)
	}
	empty := newStore(t)
	if _, err := empty.Resolve(t.Context(), "smollm2-135m-instruct", nil); !errors.As(err, &missing) ||
		missing.Hint() != "Run 'semantic model pull'." || !strings.Contains(err.Error(), "nor any other") {
		t.Errorf("error %v", err)
	}
}

func TestHashesAreBounded(t *testing.T) {
	s := newStore(t)
	here := write(t, filepath.Join(t.TempDir(), "here"), nil)
	full := hashes{Version: 1, Files: map[string]File{here: {Path: here}}}
	for i := range maxHashes {
		path := fmt.Sprintf("/gone/%d", i)
		full.Files[path] = File{Path: path}
	}
	data, err := json.Marshal(full)
	must(t, err)
	write(t, s.hashesFile(), data)
	must(t, s.rememberHash(t.Context(), File{Path: "/new"}))
	if _, ok := s.readHashes().Files[here]; !ok || len(s.readHashes().Files) > maxHashes {
		t.Errorf("%d hashes, the file that is here among them: %v", len(s.readHashes().Files), ok)
	}
	write(t, s.hashesFile(), []byte("nonsense"))
	if n := len(s.readHashes().Files); n != 0 {
		t.Errorf("%d hashes", n)
	}
}

func TestConcurrentResolve(t *testing.T) {
	s := newStore(t)
	path := write(t, filepath.Join(t.TempDir(), "a.gguf"), gguftest.Model("x"))
	var all sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		all.Go(func() {
			if i%2 == 0 {
				_, errs[i] = s.Resolve(t.Context(), path, nil)
			} else {
				_, errs[i] = s.Add(t.Context(), path, AddOptions{})
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}

func TestBrokenManifest(t *testing.T) {
	good := `{"version":1,"name":"a","source":"s","owned":false,` +
		`"files":[{"path":"/x","size":1,"mod_time":"2024-01-01T00:00:00Z","sha256":"x"}],` +
		`"architecture":"","context":0,"quantisation":"","parameters":0,"added":"2024-01-01T00:00:00Z"}`
	for name, test := range map[string]struct{ text, want string }{
		"no JSON":    {"{", "unexpected end of JSON"},
		"newer":      {strings.Replace(good, `"version":1`, `"version":2`, 1), "version 2"},
		"name":       {strings.Replace(good, `"a"`, `""`, 1), "empty"},
		"other name": {strings.Replace(good, `"a"`, `"b"`, 1), `of "b"`},
		"relative":   {strings.Replace(good, `"/x"`, `"x"`, 1), "not an absolute path"},
		"escape":     {strings.Replace(strings.Replace(good, `"/x"`, `"../x"`, 1), "false", "true", 1), "not in the folder"},
		"no file":    {`{"version":1,"name":"a","files":[]}`, "names no file"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			write(t, filepath.Join(s.folder("a"), manifestName), []byte(test.text))
			if _, err := s.Resolve(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if list, err := s.List(); err != nil || len(list) != 1 || !strings.Contains(list[0].Problem, test.want) {
				t.Errorf("%+v, %v", list, err)
			}
			if _, err := s.Remove(t.Context(), "a"); err != nil {
				t.Error(err)
			}
			nothing(t, s)
		})
	}
}

// A field of a later release does not hide the model.
func TestManifestOfALaterRelease(t *testing.T) {
	s := newStore(t)
	data := gguftest.Model("x")
	m, err := s.Add(t.Context(), write(t, filepath.Join(t.TempDir(), "m.gguf"), data), AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.folder(m.Name), manifestName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, append([]byte(`{"surprise": {"file": 1},`), bytes.TrimPrefix(text, []byte("{"))...))
	whole(t, s, m.Name, data)
}

func TestRemove(t *testing.T) {
	s, srv := newStore(t), newServer(t)
	if _, err := s.Remove(t.Context(), "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Remove(t.Context(), "../.."); !errors.Is(err, ErrName) {
		t.Errorf("error %v", err)
	}
	// What is left of an interrupted download is removed too.
	srv.add("/a.gguf", gguftest.Model("x"))
	interrupt(t, s, srv, "/a.gguf", 700)
	if _, err := s.Remove(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	nothing(t, s)
	write(t, filepath.Join(s.dir, "not=a=slug", "x"), nil)
	write(t, filepath.Join(s.dir, "file"), nil)
	nothing(t, s)
}
