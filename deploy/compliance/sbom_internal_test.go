package compliance

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/deploy"
)

// scanned is what syft says about a binary, shortened.
const scanned = `{
  "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
  "serialNumber": "urn:uuid:d219acc7-f8d6-449c-b247-4ce57fcafebd",
  "metadata": {"timestamp": "2026-01-01T00:00:00Z", "component": {"bom-ref": "ae", "type": "file", "name": "semantic"}},
  "components": [
    {"bom-ref": "own", "type": "library", "name": "github.com/semantic-worker/semantic"},
    {"bom-ref": "m", "type": "library", "name": "example.com/m", "version": "v1.2.3", "purl": "pkg:golang/example.com/m@v1.2.3"},
    {"bom-ref": "go", "type": "library", "name": "stdlib", "version": "1.26.8", "purl": "pkg:golang/stdlib@1.26.8"},
    {"bom-ref": "f", "type": "file", "name": "/semantic"}
  ],
  "dependencies": [{"ref": "own", "dependsOn": ["m"]}]
}`

func bills(t *testing.T) *Bills {
	t.Helper()
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	root, err := Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	schema, err := openSchema(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return &Bills{
		Root: root, Out: t.TempDir(), Release: "v0.1.0", Lock: lock, Entries: entries, schema: schema,
		syftVersion: "v1.2.3", stamp: "2026-11-28T00:00:00Z",
		Modules: []Module{{Path: "example.com/m", Version: "v1.2.3", Licences: []string{"Apache-2.0", "MIT"}}},
	}
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func subject() map[string]any {
	return map[string]any{"type": "application", "name": "semantic", "version": "v0.1.0"}
}

func TestCompleteDocument(t *testing.T) {
	b := bills(t)
	doc := parse(t, scanned)
	metal, ok := b.Lock.Runtime("darwin", "arm64")
	if !ok {
		t.Fatal("no runtime for darwin/arm64")
	}
	b.complete(doc, subject(), []deploy.Runtime{metal})
	file, err := b.write(doc, "x.cdx.json")
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(first)
	for _, want := range []string{
		`"pkg:npm/%40node-llama-cpp/mac-arm64-metal@` + metal.Version + `"`, `"libggml-metal.so"`, `"JSON for Modern C++"`,
		`"machine-learning-model"`, b.Lock.DefaultModel.SHA256, `"semantic:compiled-into"`, `"BSD-3-Clause"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "linux-x64") {
		t.Error("the runtime of another platform is in it")
	}
	// The whole needs our module, the runtime and the model.
	deps := doc["dependencies"].([]any)
	if needs := deps[len(deps)-1].(map[string]any)["dependsOn"].([]any); len(needs) != 3 {
		t.Errorf("it depends on %v", needs)
	}

	// The same again gives the same bytes: the serial number is a hash.
	again := parse(t, strings.Replace(scanned, "d219acc7", "00000000", 1))
	b.complete(again, subject(), []deploy.Runtime{metal})
	if _, err := b.write(again, "y.cdx.json"); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(filepath.Join(b.Out, "y.cdx.json")); err != nil || string(second) != text {
		t.Errorf("not the same (%v)", err)
	}
}

func TestInvalidDocumentsAreRefused(t *testing.T) {
	b := bills(t)
	for name, change := range map[string]func(doc map[string]any){
		"unknown licence": func(doc map[string]any) { components(doc)[1]["licenses"] = licences("No-Such-1.0") },
		"no name":         func(doc map[string]any) { delete(components(doc)[1], "name") },
		"unknown type":    func(doc map[string]any) { components(doc)[1]["type"] = "thing" },
		"unknown field":   func(doc map[string]any) { components(doc)[1]["licences"] = []any{} },
		"other version":   func(doc map[string]any) { doc["specVersion"] = 1.6 },
	} {
		t.Run(name, func(t *testing.T) {
			doc := parse(t, scanned)
			b.complete(doc, subject(), b.Lock.Runtimes)
			change(doc)
			if _, err := b.write(doc, "x.cdx.json"); err == nil {
				t.Error("it was written")
			}
			if entries, err := os.ReadDir(b.Out); err != nil || len(entries) > 0 {
				t.Errorf("a file was left: %v %v", entries, err)
			}
		})
	}
}

func TestDocumentCoversTheBinary(t *testing.T) {
	b := bills(t)
	doc := parse(t, scanned)
	b.complete(doc, subject(), b.Lock.Runtimes)
	for _, test := range []struct{ dep, want string }{
		{"example.com/m v1.2.3", ""},
		{"example.com/m v1.3.0", "example.com/m v1.3.0 is missing"},
		{"example.com/other v1.0.0", "example.com/other v1.0.0 is missing"},
	} {
		path, version, _ := strings.Cut(test.dep, " ")
		err := covers(doc, &buildinfo.BuildInfo{Deps: []*debug.Module{{Path: path, Version: version}}})
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.dep, err)
		}
	}
	// A licence that neither syft nor go-licenses found.
	b.Modules = nil
	doc = parse(t, scanned)
	b.complete(doc, subject(), b.Lock.Runtimes)
	err := covers(doc, &buildinfo.BuildInfo{Deps: []*debug.Module{{Path: "example.com/m", Version: "v1.2.3"}}})
	if err == nil || !strings.Contains(err.Error(), "no licence") {
		t.Errorf("error %v", err)
	}
}

// A file that is not a binary of semantic has no bill: text, and this test.
func TestOnlyBinariesOfSemantic(t *testing.T) {
	b := bills(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{text, self} {
		if _, err := b.Binary(t.Context(), file); !errors.Is(err, ErrSBOM) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
