package llama

import (
	"fmt"
	"strings"
)

// VersionError reports libraries of another llama.cpp release than the pinned
// one. The binding describes native structures byte by byte, so they must not
// be used.
type VersionError struct {
	// Want and Have are releases like "v0.4.0"; Have may say "unknown" and why.
	Want, Have string
	// Dir is the folder that they were in.
	Dir string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("llama.cpp in %s is %s, but this build works with %s only; run `semantic runtime install`", e.Dir, e.Have, e.Want)
}

// MissingLibraryError reports a shared library that could not be loaded, and
// what to install.
type MissingLibraryError struct {
	// Library is the file that is missing, like "libstdc++.so.6".
	Library string
	// Hint says what to do; empty where nothing is known.
	Hint string
	// Cause is what the dynamic linker said.
	Cause error
}

func (e *MissingLibraryError) Error() string {
	text := fmt.Sprintf("cannot load %s: %v", e.Library, e.Cause)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *MissingLibraryError) Unwrap() error { return e.Cause }

// DeviceError reports a backend that this machine does not have.
type DeviceError struct {
	// Backend is what was asked for.
	Backend string
	Reason  string
}

func (e *DeviceError) Error() string {
	return fmt.Sprintf("backend %s is not available: %s", e.Backend, e.Reason)
}

// ThreadsError reports more threads than cores.
type ThreadsError struct {
	Threads, Cores int
}

func (e *ThreadsError) Error() string {
	return fmt.Sprintf("%d threads on %d usable cores: the threads spin, and even one more than the cores "+
		"makes every step many times slower; use at most %d",
		e.Threads, e.Cores, e.Cores)
}

// ContextFitError reports an explicit context (or number of cells) that cannot
// be: longer than the model was trained for, or larger than memory.
type ContextFitError struct {
	// Context and Cells are what was asked for, in tokens.
	Context, Cells int
	// Trained is the model's own limit in tokens.
	Trained int
	// Fits is how many cells there is room for.
	Fits int
	// Need is what the KV cache of Cells takes, in bytes.
	Need uint64
	// Room is the arithmetic behind Fits.
	Room Room
}

func (e *ContextFitError) Error() string {
	if e.Context > e.Trained {
		return fmt.Sprintf("a context of %d tokens is more than the %d that the model was trained for", e.Context, e.Trained)
	}
	return fmt.Sprintf("a KV cache of %d tokens needs %s, and there is room for %d tokens (%s)", e.Cells, size(e.Need), e.Fits, e.Room)
}

// LoadError reports a model file that could not be loaded.
type LoadError struct {
	Path string
	// Reason says why, in llama.cpp's words where it found out.
	Reason string
	Cause  error
}

func (e *LoadError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "cannot load model %s: %s", e.Path, e.Reason)
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

func (e *LoadError) Unwrap() error { return e.Cause }

// UnsupportedError reports a model that loads but that the engine's loop cannot
// work with.
type UnsupportedError struct {
	Architecture, Reason string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("models of architecture %q are not supported yet: %s", e.Architecture, e.Reason)
}
