package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/semantic-worker/semantic/schemas"
)

// readyInfo is what --ready-file holds: what the command knows of it.
type readyInfo struct {
	// HTTP and NATS are URLs that this machine can connect to.
	HTTP string `json:"http,omitempty"`
	NATS string `json:"nats,omitempty"`
	// Admin is the URL of the admin interface.
	Admin string `json:"admin,omitempty"`
	// Model and Worker are the model's plain name and the worker's id.
	Model  string `json:"model,omitempty"`
	Worker string `json:"worker,omitempty"`
	// PID is the process of the command.
	PID int `json:"pid"`
}

func addReadyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "ready-file", "", "once requests are taken, write addresses and names as JSON to this `FILE` (for scripts)")
}

// checkReadyFile refuses, before anything is started, a path that could not be
// written to. An empty path means that nobody asked for the file.
func checkReadyFile(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return usagef("--ready-file: %s is there and no ordinary file", path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".ready.*")
	if err == nil {
		err = errors.Join(probe.Close(), os.Remove(probe.Name()))
	}
	if err != nil {
		return usagef("--ready-file: %s: %w", path, cause(err))
	}
	return nil
}

// removeReadyFile removes what this run or an earlier one left there. Call it once
// it is sure that this one is alone.
func removeReadyFile(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usagef("--ready-file: %s: %w", path, cause(err))
	}
	return nil
}

// clearReadyFile removes it now and once more at the stop: the file is there
// while it is true.
func clearReadyFile(path string, down *teardown) error {
	if err := removeReadyFile(path); err != nil || path == "" {
		return err
	}
	down.add("remove the --ready-file", time.Second, func(context.Context) error { return removeReadyFile(path) })
	return nil
}

// writeReadyFile puts the file there whole: who sees it can read it. A failure
// is logged: the server runs.
func (a *app) writeReadyFile(path string, info readyInfo) {
	if path == "" {
		return
	}
	info.PID = os.Getpid()
	text, err := json.Marshal(info)
	if err == nil {
		err = replaceFile(path, append(text, '\n'))
	}
	if err != nil {
		a.Log.Error("cannot write the --ready-file", schemas.LogError, err)
	}
}

// replaceFile writes a file beside the path and renames it. Its errors name the
// path that was asked for.
func replaceFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("%s: %w", path, cause(err))
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("%s: %w", path, cause(err))
		}
	}()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path) //nolint:wrapcheck // wrapped above
}

// cause is what the system says, without the call and the file.
func cause(err error) error {
	if call := new(fs.PathError); errors.As(err, &call) {
		return call.Err
	}
	if call := new(os.LinkError); errors.As(err, &call) {
		return call.Err
	}
	return err
}
