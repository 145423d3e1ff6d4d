package compliance_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/deploy"
	"github.com/semantic-worker/semantic/deploy/compliance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(t *testing.T) (deploy.Lock, compliance.Entries) {
	t.Helper()
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := compliance.Load()
	if err != nil {
		t.Fatal(err)
	}
	return lock, entries
}

func TestEntriesFitTheLock(t *testing.T) {
	lock, entries := load(t)
	if err := entries.Check(lock); err != nil {
		t.Error(err)
	}
}

func TestCheckRefuses(t *testing.T) {
	type both struct {
		lock    *deploy.Lock
		entries *compliance.Entries
	}
	tests := map[string]struct {
		change func(b both)
		want   string
	}{
		"new library": {func(b both) {
			r := &b.lock.Runtimes[0]
			r.Libraries = append(r.Libraries, deploy.Library{Name: "libggml-cuda.so"})
		}, "library libggml-cuda.so"},
		"new llama.cpp":       {func(b both) { b.lock.LlamaCPP = "v0.5.0" }, "reviewed for llama.cpp v0.4.0, the lock has v0.5.0"},
		"new package version": {func(b both) { b.lock.Runtimes[1].Version = "4.0.0" }, "the lock has 4.0.0"},
		"new package":         {func(b both) { b.lock.Runtimes[1].Package = "@other/x" }, "package @other/x: no entry"},
		"package's licence":   {func(b both) { b.lock.Runtimes[1].Licence = "GPL-3.0-only" }, "GPL-3.0-only"},
		"new model":           {func(b both) { b.lock.DefaultModel.Name = "other" }, "model other"},
		"new model version":   {func(b both) { b.lock.DefaultModel.Version = "0.2.0" }, "0.2.0"},
		"model's licence":     {func(b both) { b.lock.DefaultModel.Licence = "proprietary" }, "proprietary"},
		"entry for nothing": {func(b both) {
			n := &b.entries.Native[0]
			n.Libraries = append(n.Libraries, "libx.so")
		}, "no library is called libx.so"},
		"two entries for one":  {func(b both) { b.entries.Native = append(b.entries.Native, b.entries.Native[0]) }, "2 entries"},
		"not an allowed one":   {func(b both) { b.entries.Native[2].Licence = "AGPL-3.0-only" }, "AGPL-3.0-only is not allowed"},
		"no text that shows":   {func(b both) { b.entries.Native[2].Seen = "" }, "no text that shows it"},
		"model without a lock": {func(b both) { b.entries.Models[0].Name = "gone" }, "model gone"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lock, entries := load(t)
			test.change(both{&lock, &entries})
			err := entries.Check(lock)
			if !errors.Is(err, compliance.ErrEntries) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that names %q", err, test.want)
			}
		})
	}
	if _, err := compliance.ParseEntries([]byte(`{"permitted": []}`)); !errors.Is(err, compliance.ErrEntries) {
		t.Errorf("an unknown field: %v", err)
	}
}

// What an entry says is compiled into a library shows in it, on every platform,
// and in no other library: what is moved or left out by a new release is noticed.
func TestCompiledInIsSeen(t *testing.T) {
	dir := os.Getenv("SEMANTIC_TEST_NPM")
	if dir == "" {
		if os.Getenv("SEMANTIC_TEST_REQUIRE") != "" {
			t.Fatal("SEMANTIC_TEST_NPM is not set")
		}
		t.Skip("SEMANTIC_TEST_NPM is not set: `make test` sets it")
	}
	lock, entries := load(t)
	for _, r := range lock.Runtimes {
		libraries := unpack(t, filepath.Join(dir, r.Platform+".tgz"))
		for _, lib := range r.Libraries {
			for _, n := range entries.Native {
				if n.Seen == "" {
					continue
				}
				want := slices.ContainsFunc(n.Within, func(p string) bool { ok, _ := path.Match(p, lib.Name); return ok })
				if seen := bytes.Contains(libraries[lib.Name], []byte(n.Seen)); seen != want {
					t.Errorf("%s: %s in %s: %v, the entry says %v", r.Platform, n.Name, lib.Name, seen, want)
				}
			}
		}
	}
}

func unpack(t *testing.T, file string) map[string][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[path.Base(h.Name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEntriesNameNoAddress(t *testing.T) {
	_, entries := load(t)
	data, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte("://")) {
		t.Error("an entry has an address")
	}
}
