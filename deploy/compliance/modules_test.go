package compliance_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/deploy/compliance"
)

// The real import graph: what is only in the binaries of one system is found
// there, and every licence file is there.
func TestFind(t *testing.T) {
	lock, entries := load(t)
	root, err := compliance.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	two := lock
	two.Runtimes = nil
	for _, goos := range []string{"darwin", "linux"} {
		r, ok := lock.Runtime(goos, "arm64")
		if !ok {
			t.Fatalf("no runtime for %s", goos)
		}
		two.Runtimes = append(two.Runtimes, r)
	}
	modules, err := compliance.Find(t.Context(), root, two, entries)
	if err != nil {
		t.Fatal(err)
	}
	if err := entries.CheckModules(modules); err != nil {
		t.Error(err)
	}
	find := func(path string) compliance.Module {
		i := slices.IndexFunc(modules, func(m compliance.Module) bool { return m.Path == path })
		if i < 0 {
			t.Fatalf("%s was not found", path)
		}
		return modules[i]
	}
	if p := find("github.com/prometheus/procfs").Platforms; !slices.Equal(p, []string{"linux/arm64"}) {
		t.Errorf("procfs is on %v", p)
	}
	if p := find("github.com/spf13/cobra").Platforms; !slices.Equal(p, []string{"darwin/arm64", "linux/arm64"}) {
		t.Errorf("cobra is on %v", p)
	}
	if l := find("github.com/hybridgroup/yzma").Licences; !slices.Equal(l, []string{"Apache-2.0", "MIT"}) {
		t.Errorf("yzma, which is clarified: %v", l)
	}
	if f := find("github.com/klauspost/compress").Files; !slices.Contains(f, "LICENSE") || !slices.Contains(f, "s2/LICENSE") {
		t.Errorf("a module with the licences of parts: %v", f)
	}
	for _, m := range modules {
		for _, f := range m.Files {
			if _, err := os.Stat(filepath.Join(m.Dir, f)); err != nil {
				t.Error(err)
			}
		}
	}
	if slices.ContainsFunc(modules, func(m compliance.Module) bool { return m.Path == "github.com/stretchr/testify" }) {
		t.Error("what only tests need is among what is shipped")
	}
}

func TestCheckModulesRefuses(t *testing.T) {
	_, entries := load(t)
	err := entries.CheckModules([]compliance.Module{
		{Path: "example.com/good", Licences: []string{"MIT"}},
		{Path: "example.com/bad", Version: "v1.0.0", Licences: []string{"MIT", "AGPL-3.0"}},
		{Path: "example.com/none", Version: "v2.0.0"},
	})
	if !errors.Is(err, compliance.ErrLicence) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{
		"module example.com/bad v1.0.0: licence AGPL-3.0 is not allowed", "module example.com/none v2.0.0: no licence found",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "good") {
		t.Errorf("a good module is named: %v", err)
	}
}

// made is a module in a folder of the test.
func made(t *testing.T) compliance.Module {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"LICENSE": "the terms", "NOTICE": "This product has\tparts. \n\nOf others.\n", "part/LICENSE": "other terms", "main.go": "package main",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return compliance.Module{
		Path: "example.com/m", Version: "v1.2.3", Dir: dir, Platforms: []string{"linux/amd64"},
		Licences: []string{"Apache-2.0", "MIT"}, Files: []string{"LICENSE", "part/LICENSE"},
	}
}

func TestNotice(t *testing.T) {
	lock, entries := load(t)
	m := made(t)
	same := m
	same.Path = "example.com/same"
	data, err := compliance.Notice(lock, entries, []compliance.Module{m, same})
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{
		"Apache-2.0, MIT (linux/amd64)",
		"\nexample.com/m, example.com/same\n\n  This product has\tparts.\n\n  Of others.\n",
		"llama.cpp and ggml " + lock.LlamaCPP,
		"PyPI package " + lock.DefaultModel.Package + " " + lock.DefaultModel.Version,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	for _, r := range lock.Runtimes {
		if !strings.Contains(text, r.Package) {
			t.Errorf("%s is not named", r.Package)
		}
	}
}

func TestWriteThirdParty(t *testing.T) {
	lock, entries := load(t)
	root, err := compliance.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "THIRD_PARTY")
	if err := os.MkdirAll(filepath.Join(dir, "modules/gone"), 0o755); err != nil {
		t.Fatal(err)
	}
	m := made(t)
	if err := compliance.WriteThirdParty(t.Context(), root, dir, entries, []compliance.Module{m}); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	for name, want := range map[string]string{
		"modules/example.com/m@v1.2.3/LICENSE":          "the terms",
		"modules/example.com/m@v1.2.3/part/LICENSE":     "other terms",
		"modules/example.com/m@v1.2.3/NOTICE":           "parts",
		"go/LICENSE":                                    "The Go Authors",
		"native/llama.cpp-and-ggml/LICENSE":             "The ggml authors\n\nPermission is hereby granted",
		"native/subprocess.h/LICENSE":                   "released into the public domain",
		"models/" + lock.DefaultModel.Name + "/LICENSE": "Apache License",
		"INDEX.txt": "example.com/m v1.2.3: Apache-2.0, MIT, in modules/example.com/m@v1.2.3",
	} {
		if got := read(name); !strings.Contains(got, want) {
			t.Errorf("%s: no %q in %.200q", name, want, got)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "modules/gone")); err == nil {
		t.Error("what an earlier run left is still there")
	}
	// A native work under a licence whose text is not kept is refused.
	entries.Native = slices.Clone(entries.Native)
	entries.Native[0].Licence = "ISC"
	err = compliance.WriteThirdParty(t.Context(), root, dir, entries, nil)
	if err == nil || !strings.Contains(err.Error(), "no text of ISC") {
		t.Errorf("error %v", err)
	}
}
