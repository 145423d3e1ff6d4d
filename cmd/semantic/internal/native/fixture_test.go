package native

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/semantic-worker/semantic/deploy"
)

// fixture is a small runtime package, and what the lock says about it.
type fixture struct {
	pinned
	home    string
	content map[string]string // of the libraries
	tgz     []byte
}

const (
	libA = "libllama.v9.so"
	libB = "libggml-base.so"
)

// newFixture makes a package and a lock that fits it.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{home: t.TempDir(), content: map[string]string{libA: "the library a", libB: "the library b"}}
	r := deploy.Runtime{
		OS: "os", Arch: "arch", Platform: "os-arch", Package: "@scope/os-arch", Version: "1.2.3", Size: 1000,
		Folder: "package/bins/os-arch", Licence: "MIT", Links: []deploy.Link{{Name: "libllama.so", Target: libA}},
	}
	for _, name := range []string{libA, libB} {
		sum := sha256.Sum256([]byte(f.content[name]))
		r.Libraries = append(r.Libraries, deploy.Library{Name: name, Size: int64(len(f.content[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	lock := deploy.Lock{Version: 1, LlamaCPP: "v9", Runtimes: []deploy.Runtime{r}}
	p, err := pin(f.home, lock, "os", "arch")
	if err != nil {
		t.Fatal(err)
	}
	f.pinned = p
	f.pack(t,
		tar.Header{Name: "package/package.json"}, "{}",
		tar.Header{Name: "package/LICENSE"}, "the licence",
		tar.Header{Name: "package/bins/os-arch/" + libA}, f.content[libA],
		tar.Header{Name: "package/bins/os-arch/addon.node"}, "not wanted",
		tar.Header{Name: "package/bins/os-arch/" + libB}, f.content[libB],
	)
	return f
}

// pack makes the package of entries (a tar.Header and its content, in turns),
// and the lock say that this is the right one.
func (f *fixture) pack(t *testing.T, entries ...any) {
	t.Helper()
	var b bytes.Buffer
	gz := gzip.NewWriter(&b)
	w := tar.NewWriter(gz)
	for i := 0; i < len(entries); i += 2 {
		h, content := entries[i].(tar.Header), entries[i+1].(string)
		h.Mode = 0o644
		if h.Typeflag == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	f.tgz = b.Bytes()
	sum := sha512.Sum512(f.tgz)
	f.Integrity = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
}

// file writes the package file somewhere.
func (f *fixture) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), f.fileName())
	write(t, path, string(f.tgz))
	return path
}

// npm puts a client on PATH that runs the body of a shell script, in which
// $TGZ is the package file and $LOG a file.
func (f *fixture) npm(t *testing.T, body string) (log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	text := "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nTGZ='" + f.file(t) + "'\nLOG='" + log + "'\necho \"$@\" >> \"$LOG\"\n" + body
	path := filepath.Join(dir, "npm")
	write(t, path, text)
	if err := os.Chmod(path, 0o700); err != nil { // a script must be executable
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return log
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// installed fails the test unless the runtime is there, whole, and nothing
// else is.
func (f *fixture) installed(t *testing.T) {
	t.Helper()
	if err := f.check(true); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(f.dir, "libllama.so")); err != nil || string(data) != f.content[libA] {
		t.Errorf("the link leads to %q, %v", data, err)
	}
	f.clean(t)
}

// clean fails the test if an installer left anything behind.
func (f *fixture) clean(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(f.root, staging)); !os.IsNotExist(err) {
		t.Errorf("the staging folder is left: %v", err)
	}
}

// missing fails the test unless there is no runtime nor anything of one.
func (f *fixture) missing(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(f.dir); !os.IsNotExist(err) {
		t.Errorf("there is something in %s: %v", f.dir, err)
	}
	f.clean(t)
}

// json is the fixture's lock entry, for another process.
func (f *fixture) json(t *testing.T) string {
	t.Helper()
	data, err := json.Marshal(f.Runtime)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func pinFromJSON(text, home string) (pinned, error) {
	var r deploy.Runtime
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return pinned{}, err
	}
	return pin(home, deploy.Lock{LlamaCPP: "v9", Runtimes: []deploy.Runtime{r}}, r.OS, r.Arch)
}
