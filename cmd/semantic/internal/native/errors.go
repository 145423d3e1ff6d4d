package native

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotInstalled is wrapped by the errors of [Installed] that an installation
// mends.
var ErrNotInstalled = errors.New("the native runtime is not installed")

// MissingError says that there is no runtime of the pinned version. It wraps
// [ErrNotInstalled].
type MissingError struct {
	// Version is the llama.cpp release that is wanted, Dir where it belongs.
	Version, Dir string
	// Others are the releases that are there.
	Others []string
}

func (e *MissingError) Error() string {
	s := fmt.Sprintf("the native runtime (llama.cpp %s) is not installed", e.Version)
	if len(e.Others) > 0 {
		s += fmt.Sprintf("; there is %s, which this release does not use", strings.Join(e.Others, ", "))
	}
	return s
}

// Unwrap returns ErrNotInstalled.
func (e *MissingError) Unwrap() error { return ErrNotInstalled }

// Hint says what to do.
func (e *MissingError) Hint() string { return "Run 'semantic runtime install'." }

// DamagedError says that the installed runtime is not what the lock pins. It
// wraps [ErrNotInstalled].
type DamagedError struct {
	Dir string
	// File is in Dir, Problem what is wrong with it.
	File, Problem string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the native runtime in %s is damaged: %s %s", e.Dir, e.File, e.Problem)
}

// Unwrap returns ErrNotInstalled.
func (e *DamagedError) Unwrap() error { return ErrNotInstalled }

// Hint says what to do.
func (e *DamagedError) Hint() string { return "Run 'semantic runtime install --force'." }

// PlatformError says that the lock has no runtime for this machine.
type PlatformError struct {
	OS, Arch string
	// Known are the platforms that it has one for, as os/arch.
	Known []string
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("there is no native runtime for %s/%s, only for %s", e.OS, e.Arch, strings.Join(e.Known, ", "))
}

// Hint says what to do.
func (e *PlatformError) Hint() string {
	return "'semantic worker --backend sim' runs without one, to try the queue."
}

// IntegrityError says that a file is not the one that the lock pins: truncated,
// altered or of another version.
type IntegrityError struct {
	// File is its path or its name in the package.
	File string
	// Want and Got are sizes or hashes.
	Want, Got string
	// Fetched is set where the file came through npm, not from the user.
	Fetched bool
}

func (e *IntegrityError) Error() string {
	return fmt.Sprintf("%s is not the file that this release pins: want %s, got %s", e.File, e.Want, e.Got)
}

// Hint says what to do.
func (e *IntegrityError) Hint() string {
	if e.Fetched {
		return "Nothing was installed. Try again; if it stays, the registry that npm uses serves another file: " +
			"'npm cache verify', or --from with a file from elsewhere."
	}
	return "Nothing was installed. The file is truncated, altered or of another version: fetch it again."
}

// FromError says that what --from names cannot be used.
type FromError struct {
	Path, Problem string
	// Want describes what would do.
	Want string
}

func (e *FromError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Problem) }

// Hint says what to do.
func (e *FromError) Hint() string { return "--from takes " + e.Want + "." }
