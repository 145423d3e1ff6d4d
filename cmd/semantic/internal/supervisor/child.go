package supervisor

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/semantic-worker/semantic/schemas"
)

// ExitPermanent is the exit code of a child that would fail again in the same
// way if it were started again: no such model, wrong runtime, not enough memory.
const ExitPermanent = 78

// Message is what a child tells its supervisor, one JSON object a line on its
// stdout. Exactly one field is set.
type Message struct {
	// Metrics says where the child serves /metrics.
	Metrics *Metrics `json:"metrics,omitempty"`
	// Loading is what the child is busy with before it is ready, for people.
	Loading string `json:"loading,omitempty"`
	// Ready says that the child takes work now.
	Ready *schemas.WorkerStatus `json:"ready,omitempty"`
	// Failed says why the child is about to exit.
	Failed *Failure `json:"failed,omitempty"`
	// Drained says that the child was asked to end for good and does: it is not
	// started again.
	Drained bool `json:"drained,omitempty"`
	// Alive answers a ping of the supervisor.
	Alive bool `json:"alive,omitempty"`
}

// Metrics is where a child serves /metrics, and whose they are.
type Metrics struct {
	// Addr is host:port.
	Addr string `json:"addr"`
	// Worker is the worker's id.
	Worker string `json:"worker"`
}

// Failure is a child's last word.
type Failure struct {
	Message string `json:"message"`
	// Hint is what the user can do about it; may be empty.
	Hint string `json:"hint,omitempty"`
}

// Announce writes a message to the supervisor, with one call of Write. A
// supervisor that is gone is not an error here: WatchParent ends the child.
func Announce(w io.Writer, m Message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("announce to the supervisor: %w", err)
	}
	_, _ = w.Write(append(line, '\n'))
	return nil
}

// WatchParent serves the pipe that the supervisor holds the other end of: it
// answers each ping by a call of answer, which is expected to announce
// [Message].Alive, and calls gone, which is expected to end the process, once
// nobody holds that end any more. It reads for as long as the process lives, so
// it is the one goroutine that is not joined.
func WatchParent(in io.Reader, answer, gone func()) {
	go func() {
		// Pings that piled up while this process was stopped are one question.
		pings := make([]byte, 64)
		for {
			n, err := in.Read(pings)
			if n > 0 {
				answer()
			}
			if err != nil {
				gone()
				return
			}
		}
	}()
}
