package home

import (
	"errors"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFrom(t *testing.T) {
	tests := []struct {
		name, goos string
		env        map[string]string
		want       string
	}{
		{"variable", "linux", map[string]string{Variable: "/x/y/../z", "HOME": "/h"}, "/x/z"},
		{"macOS", "darwin", map[string]string{"HOME": "/Users/a", "XDG_DATA_HOME": "/xdg"}, "/Users/a/Library/Application Support/semantic"},
		{"linux", "linux", map[string]string{"HOME": "/home/a"}, "/home/a/.local/share/semantic"},
		{"XDG", "linux", map[string]string{"HOME": "/home/a", "XDG_DATA_HOME": "/xdg"}, "/xdg/semantic"},
		{"XDG without HOME", "linux", map[string]string{"XDG_DATA_HOME": "/xdg"}, "/xdg/semantic"},
		{"relative XDG", "linux", map[string]string{"HOME": "/home/a", "XDG_DATA_HOME": "xdg"}, "/home/a/.local/share/semantic"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := from(func(key string) string { return test.env[key] }, test.goos)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	if _, err := from(func(string) string { return "" }, "linux"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v without any variable", err)
	}
}

func TestDir(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := From(func(name string) string { return map[string]string{Variable: "relative"}[name] })
	if err != nil || !filepath.IsAbs(dir) || filepath.Base(dir) != "relative" {
		t.Errorf("got %q, %v", dir, err)
	}
	if got := RuntimeDir("/h"); got != "/h/runtime" {
		t.Error(got)
	}
	if got := ModelsDir("/h"); got != "/h/models" {
		t.Error(got)
	}
}
