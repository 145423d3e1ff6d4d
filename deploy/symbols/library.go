package symbols

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"strings"
)

// ErrFormat is wrapped by errors about a file that is not a shared library as
// the platform needs it.
var ErrFormat = errors.New("not a usable shared library")

// library is what a shared library says of itself.
type library struct {
	// arch is as in GOARCH, empty for others.
	arch    string
	exports map[string]bool
	// needs are the libraries that it is linked with, as written there.
	needs []string
	// minimumOS is the oldest macOS, zero elsewhere.
	minimumOS release
}

// release is a version of macOS, compared like a number.
type release uint32

func newRelease(major, minor uint32) release { return release(major<<16 | minor<<8) }

func (r release) String() string { return fmt.Sprintf("%d.%d", r>>16, r>>8&0xff) }

func readLibrary(goos string, data []byte) (library, error) {
	if goos == "darwin" {
		return readMachO(data)
	}
	return readELF(data)
}

func readELF(data []byte) (library, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return library{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return library{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	lib := library{exports: map[string]bool{}}
	for _, s := range symbols {
		bind, visible := elf.ST_BIND(s.Info), elf.ST_VISIBILITY(s.Other)
		if s.Section != elf.SHN_UNDEF && (bind == elf.STB_GLOBAL || bind == elf.STB_WEAK) &&
			(visible == elf.STV_DEFAULT || visible == elf.STV_PROTECTED) {
			lib.exports[s.Name] = true
		}
	}
	switch f.Machine {
	case elf.EM_X86_64:
		lib.arch = "amd64"
	case elf.EM_AARCH64:
		lib.arch = "arm64"
	default:
	}
	if lib.needs, err = f.ImportedLibraries(); err != nil {
		return library{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return lib, nil
}

// Load commands that debug/macho does not decode.
const (
	cmdVersionMin  = 0x24
	cmdBuild       = 0x32
	cmdDyldInfo    = 0x22
	cmdDyldInfoReq = 0x80000022
	cmdExportsTrie = 0x80000033
)

func readMachO(data []byte) (library, error) {
	f, err := macho.NewFile(bytes.NewReader(data))
	if err != nil {
		return library{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	lib := library{exports: map[string]bool{}}
	switch f.Cpu {
	case macho.CpuAmd64:
		lib.arch = "amd64"
	case macho.CpuArm64:
		lib.arch = "arm64"
	default:
	}
	if lib.needs, err = f.ImportedLibraries(); err != nil {
		return library{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	var trie []byte
	for _, l := range f.Loads {
		raw := l.Raw()
		// word is a 32-bit field of the command, 0 where it is too short.
		word := func(at int) uint32 {
			if at+4 > len(raw) {
				return 0
			}
			return f.ByteOrder.Uint32(raw[at:])
		}
		var start, size uint32
		switch word(0) {
		case cmdBuild:
			const platformMacOS = 1
			if word(8) == platformMacOS {
				lib.minimumOS = release(word(12))
			}
		case cmdVersionMin:
			lib.minimumOS = release(word(8))
		case cmdDyldInfo, cmdDyldInfoReq:
			start, size = word(40), word(44)
		case cmdExportsTrie:
			start, size = word(8), word(12)
		}
		if size == 0 {
			continue
		}
		if uint64(start)+uint64(size) > uint64(len(data)) {
			return library{}, fmt.Errorf("%w: the export trie is beyond the end of the file", ErrFormat)
		}
		trie = data[start : start+size]
	}
	if trie == nil {
		return library{}, fmt.Errorf("%w: it has no export trie", ErrFormat)
	}
	names := trieNames{trie: trie, left: len(trie), into: lib.exports}
	return lib, names.walk(0, "")
}

// trieNames collects the names in an export trie.
type trieNames struct {
	trie []byte
	// left is how many more nodes there can be: each takes a byte at least, so a
	// trie with more of them runs in circles.
	left int
	into map[string]bool
}

// walk reads a node: the size of what is exported under the name so far (0
// nothing), that, the number of edges, and of each edge its text and the offset
// of its node.
func (t *trieNames) walk(at uint64, name string) error {
	bad := fmt.Errorf("%w: broken export trie at %.80q", ErrFormat, name)
	t.left--
	if at >= uint64(len(t.trie)) || t.left < 0 {
		return bad
	}
	rest := t.trie[at:]
	size, rest, ok := uleb(rest)
	if !ok || size > uint64(len(rest)) {
		return bad
	}
	if size > 0 {
		t.into[strings.TrimPrefix(name, "_")] = true
	}
	rest = rest[size:]
	if len(rest) == 0 {
		return bad
	}
	edges := rest[0]
	rest = rest[1:]
	for range edges {
		text, after, found := bytes.Cut(rest, []byte{0})
		if !found || len(text) == 0 {
			return bad
		}
		var next uint64
		if next, rest, ok = uleb(after); !ok {
			return bad
		}
		if err := t.walk(next, name+string(text)); err != nil {
			return err
		}
	}
	return nil
}

// uleb reads a number of 7 bits a byte, lowest first.
func uleb(b []byte) (value uint64, rest []byte, ok bool) {
	for i := 0; i < len(b) && i < 9; i++ {
		value |= uint64(b[i]&0x7f) << (7 * i)
		if b[i]&0x80 == 0 {
			return value, b[i+1:], true
		}
	}
	return 0, nil, false
}
