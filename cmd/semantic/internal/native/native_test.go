package native

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/semantic-worker/semantic/deploy"
)

func TestMain(m *testing.M) {
	if os.Getenv(helperVariable) != "" {
		os.Exit(helper())
	}
	goleak.VerifyTestMain(m)
}

func TestInstalled(t *testing.T) {
	home := t.TempDir()
	_, err := Installed(home)
	var missing *MissingError
	if !errors.As(err, &missing) || !errors.Is(err, ErrNotInstalled) || !strings.Contains(missing.Hint(), "runtime install") {
		t.Fatalf("error %v", err)
	}
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(missing.Error(), lock.LlamaCPP) {
		t.Errorf("%q does not name the release", missing.Error())
	}
	write(t, filepath.Join(home, "runtime", "v0.0.1", "x", "lib"), "old")
	s, err := Inspect(home)
	if s.State != StateMissing || s.Problem != err.Error() || len(s.Others) != 1 || s.Size < 1<<20 {
		t.Errorf("status %+v, %v", s, err)
	}
	if !strings.Contains(err.Error(), "v0.0.1") {
		t.Errorf("%q does not name the release that is there", err)
	}
}

func TestUnknownPlatform(t *testing.T) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = pin(t.TempDir(), lock, "plan9", "mips")
	var platform *PlatformError
	if !errors.As(err, &platform) || !strings.Contains(err.Error(), "linux/amd64") || !strings.Contains(platform.Hint(), "sim") {
		t.Errorf("error %v", err)
	}
}

func TestDamage(t *testing.T) {
	tests := map[string]struct {
		damage func(t *testing.T, f *fixture)
		want   string
		// quick is whether the quick check sees it too.
		quick bool
	}{
		"gone": {func(t *testing.T, f *fixture) { remove(t, filepath.Join(f.dir, libB)) }, libB + " is missing", true},
		"truncated": {func(t *testing.T, f *fixture) {
			if err := os.Truncate(filepath.Join(f.dir, libB), 3); err != nil {
				t.Fatal(err)
			}
		}, "has 3 bytes", true},
		"altered": {func(t *testing.T, f *fixture) {
			write(t, filepath.Join(f.dir, libB), "the library B")
		}, "was altered", false},
		"no link": {func(t *testing.T, f *fixture) { remove(t, filepath.Join(f.dir, "libllama.so")) }, "is not a link", true},
		"a folder": {func(t *testing.T, f *fixture) {
			remove(t, filepath.Join(f.dir, libA))
			write(t, filepath.Join(f.dir, libA, "x"), "")
		}, "is not a file", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			o := Options{Home: f.home, From: f.file(t)}
			if err := f.install(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			test.damage(t, f)
			s, err := f.inspect()
			var damaged *DamagedError
			if !errors.As(err, &damaged) || !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if s.State != StateDamaged || !strings.Contains(damaged.Hint(), "--force") {
				t.Errorf("status %+v", s)
			}
			if err := f.check(false); (err != nil) != test.quick {
				t.Errorf("the quick check says %v", err)
			}
			// Installing mends it, --force or not.
			if err := f.install(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			f.installed(t)
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}
