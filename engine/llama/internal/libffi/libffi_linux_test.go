package libffi

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestListed(t *testing.T) {
	write := func(text string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "cache")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for text, want := range map[string]bool{
		"":                      false,
		"x\x00libffi.so.8\x00y": true,
		"libffi.so.8":           false,
		"libffi.so.80\x00":      false,
		strings.Repeat("x", 64<<10-5) + "libffi.so.8\x00": true,
		strings.Repeat("x", 64<<10) + "libffi.so.8\x00":   true,
		strings.Repeat("libffi.so.7\x00", 20000):          false,
	} {
		if got := listed(write(text)); got != want {
			t.Errorf("%d bytes %.20q: %t", len(text), text, got)
		}
	}
	if listed(filepath.Join(t.TempDir(), "absent")) {
		t.Error("a cache that does not exist lists it")
	}
}

func TestPresent(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("LD_LIBRARY_PATH", ":/somewhere:"+dir)
	dirs := directories()
	if !slices.Contains(dirs, dir) || !slices.Contains(dirs, "/somewhere") || slices.Contains(dirs, "") {
		t.Errorf("directories %q", dirs)
	}
	if present([]string{dir}) {
		t.Error("present in an empty folder")
	}
	if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !present([]string{"/somewhere", dir}) {
		t.Error("not present where it is")
	}
	if said {
		t.Error("this machine was told that it is missing, and yet the test runs on the native backend's machines")
	}
}
