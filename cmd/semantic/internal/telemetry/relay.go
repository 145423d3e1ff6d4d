package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"sync"

	"github.com/semantic-worker/semantic/schemas"
)

// longestLine bounds what a relay keeps of a line that does not end, in bytes.
const longestLine = 1 << 20

// Relay brings the error output of a child process into this process's log file,
// line by line: lines of the child's own logger as they are, and what else it says
// (the last words of native code, a stack) as lines of this process's logger, so
// that nothing breaks the file's format. Safe for concurrent use.
type Relay struct {
	to  io.Writer
	log *slog.Logger
	// verbatim is for formats without a structure that could break.
	verbatim bool

	mu   sync.Mutex // guards line
	line []byte     // the beginning of a line
}

// NewRelay returns a relay to the writer, which log writes to, too; format is that
// of both processes' lines.
func NewRelay(to io.Writer, log *slog.Logger, format LogFormat) *Relay {
	return &Relay{to: to, log: log, verbatim: format == LogConsole}
}

// Write takes a piece of the child's output. It never fails.
func (r *Relay) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for piece := range bytes.Lines(p) {
		r.line = append(r.line, piece...)
		if piece[len(piece)-1] == '\n' || len(r.line) >= longestLine {
			r.pass()
		}
	}
	return len(p), nil
}

// Flush passes on what the child has left without a line end. To be called after
// its end.
func (r *Relay) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass()
}

func (r *Relay) pass() {
	text := bytes.TrimRight(r.line, "\r\n")
	switch {
	case len(bytes.TrimSpace(text)) == 0:
	case r.verbatim || text[0] == '{' && json.Valid(text):
		_, _ = r.to.Write(append(text, '\n')) // a writer of logs has nobody to tell
	default:
		r.log.Warn("the child process said", slog.String(schemas.LogText, string(text)))
	}
	r.line = r.line[:0]
}
