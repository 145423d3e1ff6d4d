package cli

import (
	"encoding/json"
	"fmt"
	"io"
)

// printf writes a command's result.
func (a *app) printf(format string, args ...any) error { return printTo(a.Out, format, args...) }

func printTo(w io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// printJSON writes a value as one indented JSON document.
func (a *app) printJSON(value any) error {
	out := json.NewEncoder(a.Out)
	out.SetIndent("", "  ")
	if err := out.Encode(value); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// notef writes what is said beside the result. If nobody can read it, nobody
// can be told either.
func (a *app) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(a.Err, format, args...)
}
