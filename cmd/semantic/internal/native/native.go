package native

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/home"
	"github.com/semantic-worker/semantic/deploy"
)

// Installed returns the folder with the libraries of the pinned runtime, as
// engine/llama wants it. The files are checked by size, which is quick; see
// [Inspect] for more. Errors that an installation mends wrap
// [ErrNotInstalled].
func Installed(homeDir string) (libDir string, err error) {
	p, err := thisPlatform(homeDir)
	if err != nil {
		return "", err
	}
	return p.dir, p.check(false)
}

// State says whether the pinned runtime can be used.
type State string

// The states of a runtime.
const (
	StateInstalled State = "installed"
	StateMissing   State = "missing"
	StateDamaged   State = "damaged"
)

// Status describes the runtime of this machine.
type Status struct {
	State State `json:"state"`
	// Problem is the error's text where State is not installed.
	Problem string `json:"problem,omitempty"`
	// LlamaCPP is the release that this binary is made for.
	LlamaCPP string `json:"llama_cpp"`
	// Platform, Package and Version are the npm package's.
	Platform string `json:"platform"`
	Package  string `json:"package"`
	Version  string `json:"version"`
	Licence  string `json:"licence"`
	// Dir is where the libraries are, or belong.
	Dir string `json:"dir"`
	// Size is the size of the libraries in bytes.
	Size int64 `json:"size"`
	// Others are other installed releases, which nothing uses.
	Others []string `json:"others,omitempty"`
}

// Inspect looks at the runtime of this machine and compares the hash of every
// library with the lock: some tens of milliseconds. What is wrong with the
// runtime is in the status and returned as the error too (see [Installed]);
// other errors come with an empty status.
func Inspect(homeDir string) (Status, error) {
	p, err := thisPlatform(homeDir)
	if err != nil {
		return Status{}, err
	}
	return p.inspect()
}

// pinned is one runtime of the lock and its place in a home folder.
type pinned struct {
	deploy.Runtime
	llama string // the llama.cpp release
	root  string // <home>/runtime
	dir   string // where it is installed
}

func thisPlatform(homeDir string) (pinned, error) {
	lock, err := deploy.RuntimeLock()
	if err != nil {
		return pinned{}, err
	}
	return pin(homeDir, lock, runtime.GOOS, runtime.GOARCH)
}

func pin(homeDir string, lock deploy.Lock, goos, goarch string) (pinned, error) {
	r, ok := lock.Runtime(goos, goarch)
	if !ok {
		e := &PlatformError{OS: goos, Arch: goarch}
		for _, r := range lock.Runtimes {
			e.Known = append(e.Known, r.OS+"/"+r.Arch)
		}
		return pinned{}, e
	}
	root := home.RuntimeDir(homeDir)
	return pinned{Runtime: r, llama: lock.LlamaCPP, root: root, dir: filepath.Join(root, lock.LlamaCPP, r.Platform)}, nil
}

// check compares the installation with the lock, by size or by hash.
func (p pinned) check(hash bool) error {
	if _, err := os.Stat(p.dir); errors.Is(err, os.ErrNotExist) {
		return &MissingError{Version: p.llama, Dir: p.dir, Others: p.others()}
	} else if err != nil {
		return fmt.Errorf("native runtime: %w", err)
	}
	damaged := func(file, problem string) error { return &DamagedError{Dir: p.dir, File: file, Problem: problem} }
	for _, lib := range p.Libraries {
		path := filepath.Join(p.dir, lib.Name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return damaged(lib.Name, "is missing")
		case err != nil:
			return fmt.Errorf("native runtime: %w", err)
		case !info.Mode().IsRegular():
			return damaged(lib.Name, "is not a file")
		case info.Size() != lib.Size:
			return damaged(lib.Name, fmt.Sprintf("has %d bytes, not %d", info.Size(), lib.Size))
		}
		if hash {
			got, err := hashFile(path)
			if err != nil {
				return fmt.Errorf("native runtime: %w", err)
			}
			if got != lib.SHA256 {
				return damaged(lib.Name, "was altered: sha256 "+got+", not "+lib.SHA256)
			}
		}
	}
	for _, link := range p.Links {
		target, err := os.Readlink(filepath.Join(p.dir, link.Name))
		if err != nil || target != link.Target {
			return damaged(link.Name, "is not a link to "+link.Target)
		}
	}
	return nil
}

func (p pinned) inspect() (Status, error) {
	s := Status{
		State: StateInstalled, LlamaCPP: p.llama, Platform: p.Platform, Package: p.Package, Version: p.Version,
		Licence: p.Licence, Dir: p.dir, Others: p.others(),
	}
	for _, lib := range p.Libraries {
		s.Size += lib.Size
	}
	err := p.check(true)
	var missing *MissingError
	var damaged *DamagedError
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &missing):
		s.State = StateMissing
	case errors.As(err, &damaged):
		s.State = StateDamaged
	default:
		return Status{}, err
	}
	s.Problem = err.Error()
	return s, err
}

// others are the releases beside the pinned one.
func (p pinned) others() []string {
	entries, _ := os.ReadDir(p.root) // no folder, no others
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '.' && e.Name() != p.llama {
			names = append(names, e.Name())
		}
	}
	return names
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err //nolint:wrapcheck // names the path
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err //nolint:wrapcheck // names the path
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
