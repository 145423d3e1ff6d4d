package llama

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hybridgroup/yzma/pkg/loader"
)

var releasePattern = regexp.MustCompile(`v(\d+\.\d+\.\d+)`)

// LibraryVersion is the llama.cpp release of the libraries in a folder, like
// "v0.4.0", without loading them: the name that the linker wrote into libllama
// when it was built (SONAME, on macOS the install name). File names and links
// can lie about a library's content, this cannot. A library built otherwise,
// which names no release, gives "unknown" with its name.
//
// After loading, Open also asks the library itself.
func LibraryVersion(libDir string) (string, error) {
	path := loader.GetLibraryFilename(libDir, "llama")
	if _, err := os.Stat(path); err != nil {
		return "", &MissingLibraryError{Library: filepath.Base(path), Hint: "run `semantic runtime install`", Cause: err}
	}
	name, err := libraryName(path)
	if err != nil {
		return "", err
	}
	if m := releasePattern.FindStringSubmatch(name); m != nil {
		return "v" + m[1], nil
	}
	return fmt.Sprintf("unknown (the library calls itself %q)", name), nil
}

// libraryName reads a shared library's own name.
func libraryName(path string) (string, error) {
	if f, err := elf.Open(path); err == nil {
		defer f.Close() //nolint:errcheck // only read
		names, err := f.DynString(elf.DT_SONAME)
		if err != nil {
			return "", fmt.Errorf("llama: name of library %s: %w", path, err)
		}
		return strings.Join(names, " "), nil
	}
	f, err := macho.Open(path)
	if err != nil {
		return "", fmt.Errorf("llama: %s is not a shared library: %w", path, err)
	}
	defer f.Close() //nolint:errcheck // only read
	const idDylib, nameOffset = 0xd, 8
	for _, l := range f.Loads {
		raw := l.Raw()
		if len(raw) < nameOffset+4 || f.ByteOrder.Uint32(raw) != idDylib {
			continue
		}
		at := int(f.ByteOrder.Uint32(raw[nameOffset:]))
		if at < len(raw) {
			name, _, _ := bytes.Cut(raw[at:], []byte{0})
			return string(name), nil
		}
	}
	return "", nil
}

// sameRelease compares releases, whatever is written before and behind the
// three numbers ("v0.4.0", "0.4.0-dev").
func sameRelease(a, b string) bool {
	number := func(s string) string {
		s = strings.TrimPrefix(s, "v")
		s, _, _ = strings.Cut(s, "-")
		return s
	}
	return number(a) == number(b)
}
