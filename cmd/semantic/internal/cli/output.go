package cli

import (
	"encoding/json"
	"fmt"
	"io"
)

// outputError is a result that could not be written.
type outputError struct{ err error }

func (e *outputError) Error() string { return "write the output: " + e.err.Error() }
func (e *outputError) Unwrap() error { return e.err }

// printf writes a command's result.
func (a *app) printf(format string, args ...any) error { return printTo(a.Out, format, args...) }

func printTo(w io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(w, format, args...); err != nil {
		return &outputError{err: err}
	}
	return nil
}

// printJSON writes a value as one indented JSON document.
func (a *app) printJSON(value any) error {
	out := json.NewEncoder(a.Out)
	out.SetIndent("", "  ")
	if err := out.Encode(value); err != nil {
		return &outputError{err: err}
	}
	return nil
}

// notef writes what is said beside the result. If nobody can read it, nobody
// can be told either.
func (a *app) notef(format string, args ...any) {
	_, _ = fmt.Fprintf(a.Err, format, args...)
}

// helpOutput is what help texts are written to: the library that writes them
// drops errors, so this keeps the first one.
type helpOutput struct {
	w   io.Writer
	err error
}

func (h *helpOutput) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	if err == nil {
		return n, nil
	}
	err = &outputError{err: err} // the generators of completions return it
	if h.err == nil {
		h.err = err
	}
	return n, err
}
