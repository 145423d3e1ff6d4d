package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	for _, text := range []string{"one", "two"} {
		if err := WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if err := WriteFile(filepath.Join(dir, "missing", "x"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	// The rename fails: nothing may be left.
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("a folder was overwritten")
	}
	if got := names(t, dir); len(got) != 2 {
		t.Errorf("left behind: %v", got)
	}
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if n, err := Create(t.Context(), path, strings.NewReader("hello")); n != 5 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if _, err := Create(t.Context(), path, strings.NewReader("again")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v for a file that is there", err)
	}
	if got := read(t, path); got != "hello" {
		t.Errorf("the file is now %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Create(ctx, filepath.Join(dir, "y"), strings.NewReader("hello")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	staged, final, old := filepath.Join(dir, "staged"), filepath.Join(dir, "a", "final"), filepath.Join(dir, "old")
	for _, text := range []string{"one", "two"} {
		if err := os.Mkdir(staged, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(filepath.Join(staged, "f"), []byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := Replace(staged, final, old); err != nil {
			t.Fatal(err)
		}
		if got := read(t, filepath.Join(final, "f")); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
	// There is nothing to put in place: what was there stays.
	if err := Replace(staged, final, old); err == nil {
		t.Error("no error")
	}
	if got := read(t, filepath.Join(final, "f")); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locks", "x")
	unlock, err := Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Lock(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	waiting := make(chan struct{})
	got := make(chan error, 1)
	go func() {
		unlock, err := Lock(t.Context(), path, func() { close(waiting) })
		if err == nil {
			unlock()
		}
		got <- err
	}()
	<-waiting
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
	if _, err := Lock(t.Context(), filepath.Join(path, "below a file"), nil); err == nil {
		t.Error("no error")
	}
}

func TestSpace(t *testing.T) {
	dir := t.TempDir()
	if err := Room(dir, 0); err != nil {
		t.Error(err)
	}
	err := Room(dir, 1<<60)
	var space *SpaceError
	if !errors.As(err, &space) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "needed") {
		t.Errorf("error %v", err)
	}
	if again := Explain(err, "elsewhere"); !errors.Is(again, err) {
		t.Errorf("explained twice: %v", again)
	}
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		err := Explain(&os.PathError{Op: "write", Path: "x", Err: full}, dir)
		if !errors.As(err, &space) || !strings.Contains(err.Error(), "is full") {
			t.Errorf("%v is explained as %v", full, err)
		}
	}
	if err := Explain(fs.ErrPermission, dir); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := Free(filepath.Join(dir, "missing")); err == nil {
		t.Error("no error")
	}
	if err := Room(filepath.Join(dir, "missing"), 1); err == nil {
		t.Error("no error")
	}
	if err := SyncDir(filepath.Join(dir, "missing")); err == nil {
		t.Error("no error")
	}
}
