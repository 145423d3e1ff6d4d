package e2e

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// release is this tree as a published version of the module.
var release = module.Version{Path: "github.com/semantic-worker/semantic", Version: "v0.0.1-e2e"}

// TestGoInstall installs the module as people do, from a module proxy into an
// empty GOBIN, and runs what came from PATH. The proxy is a folder; the other
// modules come from the download cache, so that no network is needed.
func TestGoInstall(t *testing.T) {
	proxy, bin := t.TempDir(), t.TempDir()
	publish(t, proxy)
	cache := strings.TrimSpace(tool(t, nil, "go", "env", "GOMODCACHE"))

	env := append(os.Environ(),
		"GOBIN="+bin, "GOMODCACHE="+filepath.Join(t.TempDir(), "mod"), "GOWORK=off", "GOSUMDB=off", "CGO_ENABLED=0",
		"GOFLAGS=-trimpath -modcacherw", "GOPROXY=file://"+proxy+",file://"+filepath.Join(cache, "cache", "download"))
	tool(t, env, "go", "install", release.Path+"/cmd/semantic@"+release.Version)

	path := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out := tool(t, path, "sh", "-c", "semantic version"); !strings.Contains(out, release.Version) {
		t.Errorf("semantic version says %q, want %s in it", out, release.Version)
	}
}

// tool runs a command outside any module and returns what it printed.
func tool(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir, command.Env = t.TempDir(), env
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// publish lays this tree out as a module proxy serves it.
func publish(t *testing.T, proxy string) {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(proxy, filepath.FromSlash(release.Path), "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list":                    release.Version + "\n",
		release.Version + ".info": `{"Version":"` + release.Version + `"}`,
		release.Version + ".mod":  string(mod),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := os.Create(filepath.Join(dir, release.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	err = zip.Create(archive, release, tree(t, root))
	if err := errors.Join(err, archive.Close()); err != nil {
		t.Fatal(err)
	}
}

// tree lists the files of the checkout, without what git ignores.
func tree(t *testing.T, root string) []zip.File {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	var files []zip.File
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		// A folder with a go.mod of its own is another module.
		if strings.HasPrefix(name, "deploy/tools/") {
			continue
		}
		files = append(files, source{root: root, name: name})
	}
	return files
}

// source is one file of the checkout.
type source struct{ root, name string }

func (s source) Path() string                 { return s.name }
func (s source) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(s.root, s.name)) }
func (s source) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(s.root, s.name)) }
