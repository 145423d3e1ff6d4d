package symbols

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/deploy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// packages is the folder of the native packages of all platforms.
func packages(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("SEMANTIC_TEST_NPM"); dir != "" {
		return dir
	}
	const reason = "needs the native packages of all platforms: run `make test`, which fetches them"
	if os.Getenv("SEMANTIC_TEST_REQUIRE") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

func lock(t *testing.T) deploy.Lock {
	t.Helper()
	l, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wanted is all that the product looks up.
func wanted(t *testing.T) []Symbol {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/hybridgroup/yzma").Output()
	if err != nil {
		t.Fatal(err)
	}
	binding, err := Binding(filepath.Join(strings.TrimSpace(string(out)), "pkg", "llama"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := Own(filepath.Join("..", "..", "engine", "llama"))
	if err != nil {
		t.Fatal(err)
	}
	return append(binding, own...)
}

func TestSource(t *testing.T) {
	all := wanted(t)
	count := map[string]int{}
	for _, s := range all {
		if !symbolPattern.MatchString(s.Name) {
			t.Errorf("symbol %q", s.Name)
		}
		count[s.Library]++
	}
	if len(count) != 3 || count["ggml"] < 5 || count["ggml-base"] < 5 || count["llama"] < 150 {
		t.Errorf("symbols by library: %v", count)
	}
	for _, s := range []Symbol{
		{"ggml", "ggml_backend_load_all_from_path"}, {"ggml-base", "ggml_backend_dev_type"},
		{"llama", "llama_model_load_from_file"}, {"llama", "llama_decode"}, {"llama", "llama_version"}, {"llama", "llama_vocab_is_eog"},
	} {
		if !slices.Contains(all, s) {
			t.Errorf("%v is not among the symbols", s)
		}
	}
}

// TestPackagesOfTheLock reads the packages once, which takes most of the time.
func TestPackagesOfTheLock(t *testing.T) {
	all, err := readPackages(packages(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("every platform", func(t *testing.T) { testEveryPlatform(t, all) })
	t.Run("missing symbol", func(t *testing.T) { testMissingSymbol(t, all) })
	t.Run("damaged Metal package", func(t *testing.T) { testDamagedMetalPackage(t, all) })
}

func testEveryPlatform(t *testing.T, all map[string]npmPackage) {
	t.Helper()
	reports := check(all, lock(t), wanted(t))
	var lines []string
	for _, r := range reports {
		lines = append(lines, r.String())
		if r.Err != nil {
			t.Error(r.Err)
		}
		if r.Symbols < 200 || r.Libraries < 9 {
			t.Errorf("%s: too little was looked at", r)
		}
		if mac := strings.HasPrefix(r.Platform, "mac-"); mac != (r.MinimumOS != "") {
			t.Errorf("%s: minimum macOS %q", r.Platform, r.MinimumOS)
		}
		if !strings.HasSuffix(r.String(), ", ok") {
			t.Errorf("line %q", r)
		}
	}
	if len(reports) != 4 {
		t.Errorf("%d platforms, want 4", len(reports))
	}
	t.Log("\n" + strings.Join(lines, "\n"))
}

// testMissingSymbol: the check fails for a symbol that does not exist, and for
// one that another library has.
func testMissingSymbol(t *testing.T, all map[string]npmPackage) {
	t.Helper()
	absent := []Symbol{{"llama", "llama_no_such_function"}, {"llama", "ggml_type_name"}, {"no-such-library", "llama_decode"}}
	pinned := lock(t)
	pinned.Runtimes = slices.DeleteFunc(pinned.Runtimes, func(r deploy.Runtime) bool {
		return r.Platform != "mac-arm64-metal" && r.Platform != "linux-arm64"
	})
	for _, r := range check(all, pinned, absent) {
		extension := ".so"
		if strings.HasPrefix(r.Platform, "mac-") {
			extension = ".dylib"
		}
		for _, want := range []MissingError{
			{Platform: r.Platform, Library: "libllama" + extension, Symbol: "llama_no_such_function"},
			{Platform: r.Platform, Library: "libllama" + extension, Symbol: "ggml_type_name"},
			{Platform: r.Platform, Library: "libno-such-library" + extension},
		} {
			if !reported(r.Err, want) {
				t.Errorf("%s: no error %q in %v", r.Platform, &want, r.Err)
			}
		}
		if !strings.HasSuffix(r.String(), ", FAILED") {
			t.Errorf("line %q", r)
		}
	}
}

func TestMissingPackage(t *testing.T) {
	reports, err := Check(t.TempDir(), lock(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 4 {
		t.Errorf("%d reports", len(reports))
	}
	for _, r := range reports {
		if !reported(r.Err, MissingError{Platform: r.Platform}) {
			t.Errorf("%s: %v", r.Platform, r.Err)
		}
	}
}

// testDamagedMetalPackage takes the Metal library away, then puts another in
// its place, then lets the lock promise an older macOS.
func testDamagedMetalPackage(t *testing.T, all map[string]npmPackage) {
	t.Helper()
	const platform, metal = "mac-arm64-metal", "libggml-metal.so"
	runtime, ok := lock(t).Runtime("darwin", "arm64")
	if !ok || runtime.Platform != platform {
		t.Fatalf("the lock has %q for Apple's processors", runtime.Platform)
	}
	// Three libraries are enough to be damaged.
	runtime.Libraries = slices.DeleteFunc(runtime.Libraries, func(l deploy.Library) bool {
		return !slices.Contains([]string{"libggml-base.dylib", "libggml-cpu-apple_m1.so", metal}, l.Name)
	})
	check := func(change func(p *npmPackage, r *deploy.Runtime)) error {
		p, r := all[platform], runtime
		p.files, r.Libraries = maps.Clone(p.files), slices.Clone(r.Libraries)
		change(&p, &r)
		return checkPlatform(r, p, nil).Err
	}
	if err := check(func(*npmPackage, *deploy.Runtime) {}); err != nil {
		t.Errorf("undamaged: %v", err)
	}
	err := check(func(p *npmPackage, _ *deploy.Runtime) { delete(p.files, metal) })
	if !reported(err, MissingError{Platform: platform, Library: metal}) {
		t.Errorf("taken away: %v", err)
	}
	err = check(func(_ *npmPackage, r *deploy.Runtime) {
		r.Libraries = slices.DeleteFunc(r.Libraries, func(l deploy.Library) bool { return l.Name == metal })
	})
	if !reported(err, MissingError{Platform: platform, Library: metal}) {
		t.Errorf("not in the lock: %v", err)
	}
	err = check(func(p *npmPackage, _ *deploy.Runtime) { p.files[metal] = p.files["libggml-base.dylib"] })
	if !reported(err, MissingError{Platform: platform, Library: metal, Symbol: registration}) ||
		!strings.Contains(err.Error(), "not the file that the lock names") {
		t.Errorf("another in its place: %v", err)
	}
	err = check(func(p *npmPackage, _ *deploy.Runtime) { p.files[metal] = p.files[metal][:4096] })
	if !errors.Is(err, ErrFormat) {
		t.Errorf("cut off: %v", err)
	}
	err = check(func(_ *npmPackage, r *deploy.Runtime) { r.MinimumOS = "13.3" })
	if err == nil || !strings.Contains(err.Error(), "need macOS 14.0, the lock says 13.3") {
		t.Errorf("older macOS: %v", err)
	}
	err = check(func(_ *npmPackage, r *deploy.Runtime) { r.MinimumOS = "" })
	if err == nil {
		t.Error("no minimum_os was accepted")
	}
	err = check(func(_ *npmPackage, r *deploy.Runtime) { r.Arch = "amd64" })
	if err == nil || !strings.Contains(err.Error(), `it is for "arm64", not amd64`) {
		t.Errorf("other processor: %v", err)
	}
	err = check(func(_ *npmPackage, r *deploy.Runtime) { r.OS = "linux" })
	if !errors.Is(err, ErrFormat) {
		t.Errorf("Mach-O as ELF: %v", err)
	}
	err = check(func(_ *npmPackage, r *deploy.Runtime) {
		r.Libraries = slices.DeleteFunc(r.Libraries, func(l deploy.Library) bool {
			return l.Name == "libggml-base.dylib" || strings.HasPrefix(l.Name, "libggml-cpu-")
		})
	})
	if err == nil || !strings.Contains(err.Error(), "libggml-metal.so: it needs libggml-base.dylib") ||
		!reported(err, MissingError{Platform: platform, Library: "libggml-cpu-*.so"}) {
		t.Errorf("libraries left out: %v", err)
	}
}

func TestPackages(t *testing.T) {
	write := func(dir, name string, files ...string) {
		t.Helper()
		var b bytes.Buffer
		zipped := gzip.NewWriter(&b)
		archive := tar.NewWriter(zipped)
		for _, file := range files {
			if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file, Size: 1, Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(archive, "x"); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(archive.Close(), zipped.Close(), os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	good := t.TempDir()
	write(good, "other.tgz", "package/package.json")
	write(good, "any-name.tgz", "package/LICENSE", "package/bins/here/a.so", "package/bins/here/deeper/b.so")
	all, err := readPackages(good)
	if err != nil || len(all) != 1 || string(all["here"].files["a.so"]) != "x" || len(all["here"].files) != 1 {
		t.Errorf("packages %v, error %v", all, err)
	}
	for want, fill := range map[string]func(dir string){
		"it is for here and there": func(dir string) { write(dir, "a.tgz", "package/bins/here/a.so", "package/bins/there/a.so") },
		"two packages of here": func(dir string) {
			write(dir, "a.tgz", "package/bins/here/a.so")
			write(dir, "b.tgz", "package/bins/here/a.so")
		},
		"unzip": func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, "a.tgz"), []byte("no archive"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := t.TempDir()
		fill(dir)
		if _, err := readPackages(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestSourceNotUnderstood: what cannot be read is an error, not an empty list.
func TestSourceNotUnderstood(t *testing.T) {
	binding := func(dir string) error { _, err := Binding(dir); return err }
	own := func(dir string) error { _, err := Own(dir); return err }
	for name, c := range map[string]struct {
		read func(dir string) error
		code string
	}{
		"no Load":           {binding, `func Other() {}`},
		"nothing prepared":  {binding, `func Load() { LoadLibrary(p, "llama") }`},
		"name is computed":  {binding, `func Load() { LoadLibrary(p, "llama"); funcs(lib) }; func funcs(l Lib) { l.Prep(prefix + "x") }`},
		"before a library":  {binding, `func Load() { funcs(lib) }; func funcs(l Lib) { l.Prep("x") }`},
		"library computed":  {binding, `func Load() { LoadLibrary(p, name) }`},
		"own looks nothing": {own, `func f() {}`},
		"own opens two":     {own, `func f() { LoadLibrary(p, "llama"); LoadLibrary(p, "ggml"); Prep("llama_x") }`},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("package a\n"+c.code), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.read(dir); !errors.Is(err, ErrSource) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestTrie: a trie of two names, and one that runs in circles.
func TestTrie(t *testing.T) {
	// "_" leads to node 5, from which "f" and "gh" lead to node 14, which exports.
	good := []byte{0, 1, '_', 0, 5, 0, 2, 'f', 0, 14, 'g', 'h', 0, 14, 2, 0, 0, 0}
	names := trieNames{trie: good, left: len(good), into: map[string]bool{}}
	if err := names.walk(0, ""); err != nil || !maps.Equal(names.into, map[string]bool{"f": true, "gh": true}) {
		t.Errorf("names %v, error %v", names.into, err)
	}
	circle := []byte{0, 2, 'a', 0, 0, 'b', 0, 0}
	names = trieNames{trie: circle, left: len(circle), into: map[string]bool{}}
	if err := names.walk(0, ""); !errors.Is(err, ErrFormat) {
		t.Errorf("a circle: %v", err)
	}
}

func FuzzTrie(f *testing.F) {
	// One edge "_f" to a node that exports.
	f.Add([]byte{0, 1, '_', 'f', 0, 6, 2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, trie []byte) {
		names := trieNames{trie: trie, left: len(trie), into: map[string]bool{}}
		if err := names.walk(0, ""); err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("error %v", err)
		}
	})
}

// reported looks for a MissingError among joined errors.
func reported(err error, want MissingError) bool {
	var one *MissingError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return reported(e, want) })
	}
	return errors.As(err, &one) && *one == want
}
