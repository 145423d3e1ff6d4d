package compliance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What somebody read counts for the file and the version that was read, no other.
func TestClarify(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("as MIT, mostly"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("as MIT, mostly"))
	read := Clarification{
		Path: "example.com/m", Version: "v1.0.0", File: "LICENSE", SHA256: hex.EncodeToString(sum[:]), Licences: []string{"MIT"},
	}
	for name, test := range map[string]struct {
		change func(c *Clarification)
		want   string
	}{
		"as read":      {func(*Clarification) {}, ""},
		"another file": {func(c *Clarification) { c.SHA256 = strings.Repeat("0", 64) }, "LICENSE is another than was read"},
		"no file":      {func(c *Clarification) { c.File = "COPYING" }, "COPYING"},
		"new version":  {func(c *Clarification) { c.Version = "v0.9.0" }, "example.com/m v0.9.0 is not in the binary"},
		"not used":     {func(c *Clarification) { c.Path = "example.com/gone" }, "example.com/gone v1.0.0 is not in the binary"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Module{Path: "example.com/m", Version: "v1.0.0", Dir: dir}
			c := read
			test.change(&c)
			err := Entries{Modules: []Clarification{c}}.clarify(map[string]*Module{m.Path: m})
			switch {
			case test.want == "" && (err != nil || !slices.Equal(m.Licences, []string{"MIT"}) || !slices.Equal(m.Files, []string{"LICENSE"})):
				t.Errorf("%v: %+v", err, m)
			case test.want != "" && (!errors.Is(err, ErrEntries) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one that names %q", err, test.want)
			}
		})
	}
}
