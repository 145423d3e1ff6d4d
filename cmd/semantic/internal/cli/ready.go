package cli

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// readyInfo is what --ready-file holds: what the command knows of it.
type readyInfo struct {
	// HTTP and NATS are URLs that this machine can connect to.
	HTTP string `json:"http,omitempty"`
	NATS string `json:"nats,omitempty"`
	// Model and Worker are the model's plain name and the worker's id.
	Model  string `json:"model,omitempty"`
	Worker string `json:"worker,omitempty"`
	// PID is the process of the command.
	PID int `json:"pid"`
}

func addReadyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "ready-file", "", "once requests are taken, write addresses and names as JSON to this `FILE` (for scripts)")
}

// writeReadyFile puts the file there whole: who sees it can read it. An empty
// path means that nobody asked for it. A failure is logged: the server runs.
func (a *app) writeReadyFile(path string, info readyInfo) {
	if path == "" {
		return
	}
	info.PID = os.Getpid()
	if err := replaceJSON(path, info); err != nil {
		a.Log.Error("cannot write the ready file", "error", err)
	}
}

func replaceJSON(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
