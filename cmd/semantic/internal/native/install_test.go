package native

import (
	"archive/tar"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/client"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/disk"
	"github.com/semantic-worker/semantic/cmd/semantic/internal/progress"
)

func TestInstallWithNPM(t *testing.T) {
	f := newFixture(t)
	log := f.npm(t, `cp "$TGZ" .`)
	var out strings.Builder
	o := Options{Home: f.home, Progress: progress.New(&out, false)}
	for range 2 { // the second finds it installed
		if err := f.install(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		f.installed(t)
	}
	if data, err := os.ReadFile(log); err != nil || string(data) != "pack --ignore-scripts --silent @scope/os-arch@1.2.3\n" {
		t.Errorf("npm was called with %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(f.dir, "LICENSE")); err != nil || string(data) != "the licence" {
		t.Errorf("licence %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "addon.node")); err == nil {
		t.Error("a file that the lock does not name was installed")
	}
	if !strings.Contains(out.String(), "Fetching llama.cpp v9 for os-arch with npm\n  done in") {
		t.Errorf("progress %q", out.String())
	}
	s, err := f.inspect()
	if err != nil || s.State != StateInstalled || s.Version != "1.2.3" || s.Dir != f.dir {
		t.Errorf("status %+v, %v", s, err)
	}
	o.Force = true
	if err := f.install(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	f.installed(t)
	if data, _ := os.ReadFile(log); strings.Count(string(data), "pack") != 2 {
		t.Errorf("npm was called with %q", data)
	}
}

func TestInstallWithoutNPM(t *testing.T) {
	f := newFixture(t)
	t.Setenv("PATH", t.TempDir())
	err := f.install(t.Context(), Options{Home: f.home})
	var missing *client.MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("error %v", err)
	}
	for _, way := range []string{"install node", "npm pack @scope/os-arch@1.2.3", "--from"} {
		if !strings.Contains(missing.Hint(), way) {
			t.Errorf("the hint %q does not name %q", missing.Hint(), way)
		}
	}
	f.missing(t)
}

func TestNPMFails(t *testing.T) {
	tests := map[string]struct{ script, want string }{
		"not found": {`echo "npm error 404 Not Found" >&2; exit 1`, "404 Not Found"},
		"nothing":   {`exit 0`, "wrote 0 files"},
		"two files": {`cp "$TGZ" a.tgz; cp "$TGZ" b.tgz`, "wrote 2 files"},
		"altered":   {`cp "$TGZ" a.tgz; printf x >> a.tgz`, "is not the file that this release pins"},
		"truncated": {`head -c 100 "$TGZ" > a.tgz`, "is not the file that this release pins"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.npm(t, test.script)
			err := f.install(t.Context(), Options{Home: f.home})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			var integrity *IntegrityError
			if errors.As(err, &integrity) && !strings.Contains(integrity.Hint(), "npm cache verify") {
				t.Errorf("hint %q", integrity.Hint())
			}
			f.missing(t)
		})
	}
}

func TestFailedInstallKeepsTheOldOne(t *testing.T) {
	f := newFixture(t)
	if err := f.install(t.Context(), Options{Home: f.home, From: f.file(t)}); err != nil {
		t.Fatal(err)
	}
	f.npm(t, `printf x > a.tgz`)
	if err := f.install(t.Context(), Options{Home: f.home, Force: true}); err == nil {
		t.Fatal("no error")
	}
	f.installed(t)
}

func TestInstallFromFolder(t *testing.T) {
	for _, layout := range []string{"", "package/bins/os-arch", "bins/os-arch", "node_modules/@scope/os-arch/bins/os-arch"} {
		t.Run(layout, func(t *testing.T) {
			f := newFixture(t)
			dir := t.TempDir()
			for name, content := range f.content {
				write(t, filepath.Join(dir, layout, name), content)
			}
			if err := f.install(t.Context(), Options{Home: f.home, From: dir}); err != nil {
				t.Fatal(err)
			}
			f.installed(t)
		})
	}
	t.Run("with the package file", func(t *testing.T) {
		f := newFixture(t)
		if err := f.install(t.Context(), Options{Home: f.home, From: filepath.Dir(f.file(t))}); err != nil {
			t.Fatal(err)
		}
		f.installed(t)
	})
}

func TestInstallFromWrongPlace(t *testing.T) {
	f := newFixture(t)
	empty, half, altered := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, filepath.Join(half, libA), f.content[libA])
	write(t, filepath.Join(altered, libA), f.content[libA])
	write(t, filepath.Join(altered, libB), "the library B")
	text := filepath.Join(t.TempDir(), "x.tgz")
	write(t, text, "not an archive")
	for from, want := range map[string]string{
		filepath.Join(empty, "missing"): "no such file",
		empty:                           "holds neither",
		half:                            "no such file",
		altered:                         "is not the file that this release pins",
		text:                            "is not the file that this release pins",
	} {
		err := f.install(t.Context(), Options{Home: f.home, From: from})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", from, err, want)
		}
		var wrong *FromError
		if errors.As(err, &wrong) && !strings.Contains(wrong.Hint(), "scope-os-arch-1.2.3.tgz") {
			t.Errorf("hint %q", wrong.Hint())
		}
		f.missing(t)
	}
	// The same through the front door.
	if err := Install(t.Context(), Options{Home: f.home, From: filepath.Join(empty, "missing")}); err == nil {
		t.Error("no error")
	}
}

func TestHostileArchive(t *testing.T) {
	folder := "package/bins/os-arch/"
	good := []any{tar.Header{Name: folder + libA}, "the library a", tar.Header{Name: folder + libB}, "the library b"}
	tests := map[string]struct {
		entries []any
		want    string
	}{
		"up":       {append([]any{tar.Header{Name: folder + "../../../../x"}, "x"}, good...), "leads out"},
		"absolute": {append([]any{tar.Header{Name: "/tmp/x"}, "x"}, good...), "leads out"},
		"link": {[]any{
			tar.Header{Name: folder + libA, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, "", good[2], good[3],
		}, "is not a file"},
		"one missing":   {good[:2], libB + " is not in it"},
		"twice":         {append(append([]any{}, good[:2]...), good...), ""},
		"longer":        {[]any{good[0], "the library a!", good[2], good[3]}, "want 13 bytes, got more"},
		"shorter":       {[]any{good[0], "the lib", good[2], good[3]}, "want 13 bytes, got 7 bytes"},
		"other content": {[]any{good[0], "the library A", good[2], good[3]}, "want sha256"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.pack(t, test.entries...)
			err := f.install(t.Context(), Options{Home: f.home, From: f.file(t)})
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				f.installed(t)
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			f.missing(t)
		})
	}
	// Whole by its hash, and yet no archive.
	f := newFixture(t)
	if err := f.untar(t.Context(), strings.NewReader("text"), t.TempDir()); err == nil || !strings.Contains(err.Error(), "gzip") {
		t.Errorf("error %v", err)
	}
}

func TestTwoInstallers(t *testing.T) {
	f := newFixture(t)
	log := f.npm(t, `cp "$TGZ" .`)
	var both sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		both.Go(func() { errs[i] = f.install(t.Context(), Options{Home: f.home}) })
	}
	both.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	f.installed(t)
	if data, _ := os.ReadFile(log); strings.Count(string(data), "pack") != 1 {
		t.Errorf("npm was called %d times", strings.Count(string(data), "pack"))
	}
}

func TestInterrupted(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	fifo := filepath.Join(t.TempDir(), "started")
	makeFIFO(t, fifo)
	f.npm(t, `trap 'exit 1' INT; cp "$TGZ" .; echo > '`+fifo+`'; while :; do read x < '`+fifo+`'; done`)
	go func() {
		_, _ = os.ReadFile(fifo) // returns when npm has started
		cancel()
	}()
	if err := f.install(ctx, Options{Home: f.home}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	f.missing(t)
	if err := f.install(ctx, Options{Home: f.home, From: f.file(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	f.missing(t)
}

func makeFIFO(t *testing.T, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// helperVariable makes the test binary an installer of its own: "limit" with
// files of at most a few bytes, as on a full disk, or "plain".
const helperVariable = "NATIVE_TEST_HELPER"

// helper installs the fixture that the environment describes; it is run in a
// process of its own, to be killed or limited.
func helper() int {
	f := &fixture{home: os.Getenv("HELPER_HOME")}
	if os.Getenv(helperVariable) == "limit" {
		signal.Ignore(syscall.SIGXFSZ)
		var old unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
			return 3
		}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 8, Max: old.Max}); err != nil {
			return 3
		}
		// Coverage, where it is measured, is written at the end.
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_FSIZE, &old) }()
	}
	p, err := pinFromJSON(os.Getenv("HELPER_LOCK"), f.home)
	if err != nil {
		return 4
	}
	err = p.install(context.Background(), Options{Home: f.home, From: os.Getenv("HELPER_FROM")})
	var space *disk.SpaceError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &space):
		return 5
	}
	_, _ = os.Stderr.WriteString(err.Error())
	return 1
}

func (f *fixture) helper(t *testing.T, kind, from string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), helperVariable+"="+kind, "HELPER_HOME="+f.home, "HELPER_FROM="+from, "HELPER_LOCK="+f.json(t))
	return cmd
}

func TestFullDisk(t *testing.T) {
	f := newFixture(t)
	err := f.helper(t, "limit", f.file(t)).Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Fatalf("the installer ended with %v, not with the error of a full disk", err)
	}
	f.missing(t)
	// So much that no disk has it.
	f.Size = 1 << 60
	var space *disk.SpaceError
	if err := f.install(t.Context(), Options{Home: f.home, From: f.file(t)}); !errors.As(err, &space) {
		t.Errorf("error %v", err)
	}
	f.missing(t)
}

func TestKilled(t *testing.T) {
	f := newFixture(t)
	fifo := filepath.Join(t.TempDir(), "started")
	makeFIFO(t, fifo)
	pid := filepath.Join(t.TempDir(), "pid")
	f.npm(t, `cp "$TGZ" .; echo $$ > '`+pid+`'; echo > '`+fifo+`'; exec cat '`+fifo+`'`)
	cmd := f.helper(t, "plain", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(fifo); err != nil { // returns when npm has written its file
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The orphan waits for a writer: let it end.
	if w, err := os.OpenFile(fifo, os.O_RDWR, 0); err == nil {
		defer func() { _ = w.Close() }()
	}
	if _, err := os.Stat(f.dir); !os.IsNotExist(err) {
		t.Errorf("there is something in %s: %v", f.dir, err)
	}
	if _, err := os.Stat(filepath.Join(f.root, staging)); err != nil {
		t.Errorf("the killed installer left nothing, so this test shows nothing: %v", err)
	}
	if err := f.install(t.Context(), Options{Home: f.home, From: f.file(t)}); err != nil {
		t.Fatal(err)
	}
	f.installed(t)
}
