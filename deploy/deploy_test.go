package deploy_test

import (
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/deploy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRuntimeLock(t *testing.T) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range []string{"darwin/arm64", "darwin/amd64", "linux/arm64", "linux/amd64"} {
		goos, goarch, _ := strings.Cut(platform, "/")
		r, ok := lock.Runtime(goos, goarch)
		if !ok {
			t.Errorf("%s: no runtime", platform)
			continue
		}
		extension := ".so"
		if goos == "darwin" {
			extension = ".dylib"
			if r.MinimumOS == "" {
				t.Errorf("%s: no minimum_os", platform)
			}
		}
		// The names that the binding opens, as files or as links.
		have := map[string]bool{}
		for _, l := range r.Libraries {
			have[l.Name] = true
		}
		for _, l := range r.Links {
			have[l.Name] = true
		}
		for _, name := range []string{"libllama", "libggml", "libggml-base"} {
			if !have[name+extension] {
				t.Errorf("%s: nothing is called %s%s", platform, name, extension)
			}
		}
		// The release is in the libraries' own names.
		for _, l := range r.Links {
			if !strings.Contains(l.Target, "."+lock.LlamaCPP+".") {
				t.Errorf("%s: %s is not of llama.cpp %s", platform, l.Target, lock.LlamaCPP)
			}
		}
	}
	if _, ok := lock.Runtime("plan9", "amd64"); ok {
		t.Error("there is a runtime for plan9")
	}
	metal, _ := lock.Runtime("darwin", "arm64")
	var found bool
	for _, l := range metal.Libraries {
		found = found || l.Name == "libggml-metal.so"
	}
	if !found {
		t.Error("darwin/arm64 has no Metal library")
	}
}

func TestLockNamesNoAddress(t *testing.T) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(lock)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "://") {
		t.Error("the lock records a download address")
	}
}

// edit changes one value of the embedded lock, by its path of keys.
func edit(t *testing.T, change func(lock map[string]any)) []byte {
	t.Helper()
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(lock)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	data, err = json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseLockRefuses(t *testing.T) {
	first := func(m map[string]any) map[string]any { return m["runtimes"].([]any)[0].(map[string]any) }
	list := func(m map[string]any, key string) map[string]any { return first(m)[key].([]any)[0].(map[string]any) }
	model := func(m map[string]any) map[string]any { return m["default_model"].(map[string]any) }
	tests := map[string]struct {
		change func(m map[string]any)
		want   string
	}{
		"unknown field":       {func(m map[string]any) { first(m)["resolved"] = "x" }, "resolved"},
		"version":             {func(m map[string]any) { m["version"] = 2 }, "version 2"},
		"llama_cpp":           {func(m map[string]any) { m["llama_cpp"] = "../v1" }, "llama_cpp"},
		"no runtimes":         {func(m map[string]any) { m["runtimes"] = []any{} }, "no runtimes"},
		"twice":               {func(m map[string]any) { m["runtimes"] = append(m["runtimes"].([]any), first(m)) }, "twice"},
		"no os":               {func(m map[string]any) { first(m)["os"] = "" }, "os and arch"},
		"platform":            {func(m map[string]any) { first(m)["platform"] = "a/b" }, "platform"},
		"package":             {func(m map[string]any) { first(m)["package"] = "" }, "package"},
		"integrity algorithm": {func(m map[string]any) { first(m)["integrity"] = "sha1-AAAA" }, "sha512"},
		"integrity length":    {func(m map[string]any) { first(m)["integrity"] = "sha512-AAAA" }, "sha512"},
		"size":                {func(m map[string]any) { first(m)["size"] = 0 }, "size"},
		"folder up":           {func(m map[string]any) { first(m)["folder"] = "../bins" }, "folder"},
		"folder absolute":     {func(m map[string]any) { first(m)["folder"] = "/bins" }, "folder"},
		"licence":             {func(m map[string]any) { first(m)["licence"] = "" }, "licence"},
		"no libraries":        {func(m map[string]any) { first(m)["libraries"] = []any{} }, "no libraries"},
		"library name":        {func(m map[string]any) { list(m, "libraries")["name"] = "../x.so" }, "library"},
		"library hash":        {func(m map[string]any) { list(m, "libraries")["sha256"] = "ABC" }, "library"},
		"link target":         {func(m map[string]any) { list(m, "links")["target"] = "/etc/passwd" }, "link"},
		"model name":          {func(m map[string]any) { model(m)["name"] = "" }, "default_model: name"},
		"model package":       {func(m map[string]any) { model(m)["version"] = "latest" }, "default_model: package"},
		"wheel":               {func(m map[string]any) { model(m)["wheel_sha256"] = "" }, "wheel"},
		"model path":          {func(m map[string]any) { model(m)["path"] = "a/../../b" }, "path"},
		"model licence":       {func(m map[string]any) { model(m)["licence"] = "" }, "licence"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := deploy.ParseLock(edit(t, test.change))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that names %q", err, test.want)
			}
		})
	}
	if _, err := deploy.ParseLock([]byte("{} {}")); err == nil {
		t.Error("two documents were accepted")
	}
	if _, err := deploy.ParseLock(append(edit(t, func(map[string]any) {}), "{}"...)); err == nil {
		t.Error("a second document was accepted")
	}
}
