// Package home says where semantic keeps what it fetched or made: one folder
// for each user, with the native runtime and the models below it.
package home

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
)

// Variable is the environment variable that names the home folder.
const Variable = "SEMANTIC_HOME"

// ErrUnknown says that neither [Variable] nor the user's home directory is set.
var ErrUnknown = errors.New("no home folder: set " + Variable)

// From returns the home folder that an environment leads to: SEMANTIC_HOME,
// else the platform's convention: ~/Library/Application Support/semantic on
// macOS, $XDG_DATA_HOME/semantic or ~/.local/share/semantic elsewhere. The
// path is absolute; the folder is not made. The error wraps [ErrUnknown].
func From(getenv func(string) string) (string, error) {
	return from(getenv, runtime.GOOS)
}

func from(getenv func(string) string, goos string) (string, error) {
	if dir := getenv(Variable); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		return abs, nil
	}
	user := getenv("HOME")
	if goos != "darwin" {
		// The specification says that a relative path is to be ignored.
		if data := getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
			return filepath.Join(data, "semantic"), nil
		}
	}
	switch {
	case !filepath.IsAbs(user):
		return "", ErrUnknown
	case goos == "darwin":
		return filepath.Join(user, "Library", "Application Support", "semantic"), nil
	default:
		return filepath.Join(user, ".local", "share", "semantic"), nil
	}
}

// RuntimeDir is where the native runtimes are: <home>/runtime.
func RuntimeDir(home string) string { return filepath.Join(home, "runtime") }

// ModelsDir is where the models are: <home>/models.
func ModelsDir(home string) string { return filepath.Join(home, "models") }
