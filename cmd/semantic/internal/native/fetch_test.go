package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFetch(t *testing.T) {
	f := newFixture(t)
	log := f.npm(t, `cp "$TGZ" .`)
	to := filepath.Join(t.TempDir(), "a", "b")
	file := filepath.Join(to, "os-arch.tgz")
	calls := func() int {
		data, _ := os.ReadFile(log)
		return strings.Count(string(data), "pack")
	}
	fetch := func(want int) {
		t.Helper()
		got, err := fetchAll(t.Context(), []pinned{f.pinned}, FetchOptions{To: to})
		if err != nil || len(got) != 1 || got[0] != file {
			t.Fatalf("%q, %v", got, err)
		}
		if data, err := os.ReadFile(file); err != nil || string(data) != string(f.tgz) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
		if entries, _ := os.ReadDir(to); len(entries) != 1 {
			t.Errorf("left behind: %v", entries)
		}
		if n := calls(); n != want {
			t.Errorf("npm was called %d times, want %d", n, want)
		}
	}
	fetch(1)
	fetch(1) // what is whole is left alone
	write(t, file, "damaged")
	fetch(2)
	// It can be installed from, as can the folder.
	for _, from := range []string{file, to} {
		if err := f.install(t.Context(), Options{Home: f.home, From: from, Force: true}); err != nil {
			t.Fatal(err)
		}
		f.installed(t)
	}
}

func TestFetchOfAnotherFile(t *testing.T) {
	f := newFixture(t)
	f.npm(t, `echo altered > x.tgz`)
	to := t.TempDir()
	_, err := fetchAll(t.Context(), []pinned{f.pinned}, FetchOptions{To: to})
	var altered *IntegrityError
	if !errors.As(err, &altered) || !altered.Fetched {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(to); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestFetchOfThisMachine(t *testing.T) {
	f := newFixture(t)
	f.npm(t, `echo "npm error 404 Not Found" >&2; exit 1`)
	for _, all := range []bool{false, true} {
		if _, err := Fetch(t.Context(), FetchOptions{To: t.TempDir(), AllPlatforms: all}); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("error %v", err)
		}
	}
}
