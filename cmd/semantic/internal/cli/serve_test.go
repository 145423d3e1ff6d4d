package cli

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// A stop waits for the requests of this server's own worker, not for those of
// the whole queue.
func TestWaitingFor(t *testing.T) {
	srv := queuetest.Start(t)
	q := queuetest.Open(t, srv)
	s := &serveProcess{queue: q}
	if got := s.waitingFor(t.Context()); got != "the worker" {
		t.Errorf("before a worker was ready: %s", got)
	}
	own := "own"
	s.workerID.Store(&own)
	if got := s.waitingFor(t.Context()); got != "the worker" {
		t.Errorf("a worker that left: %s", got)
	}
	register := func(id string, running int) *queue.Registration {
		r, err := queuetest.Open(t, srv).Register(t.Context(), schemas.WorkerStatus{
			Version: schemas.Version, ID: id, Incarnation: "1", Fingerprint: "f", Backend: "sim", Model: "m", Running: running,
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, c := range []struct {
		own, other int
		want       string
	}{{1, 5, "1 running request"}, {2, 0, "2 running requests"}, {0, 5, "the worker"}} {
		both := []*queue.Registration{register("other", c.other), register(own, c.own)}
		// The registry is watched: what was written is seen soon.
		for late := time.After(time.Minute); s.waitingFor(t.Context()) != c.want; {
			select {
			case <-late:
				t.Fatalf("own %d, other %d: waits for %s, want %s", c.own, c.other, s.waitingFor(t.Context()), c.want)
			case <-time.After(time.Millisecond):
			}
		}
		for _, r := range both {
			if err := r.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What a terminal would wrap in mid-word is wrapped between words.
func TestReadyText(t *testing.T) {
	reason := "context 8192 tokens (all that the model was trained for); " + strings.Repeat("so many bytes for so many cells; ", 8) + "the end"
	text := readyText("http://localhost", "nats://localhost", "/data", &schemas.WorkerStatus{
		Model: "m", Backend: "cpu", Architecture: "llama", Quantisation: "Q8_0", Capacity: 4, ContextReason: reason,
	})
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "{") && utf8.RuneCountInString(line) > 100 {
			t.Errorf("too long: %s", line)
		}
	}
	words := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"Model m (llama Q8_0 on cpu, 4 at once)", "Context " + strings.TrimPrefix(reason, "context ") + " Data /data Try:",
	} {
		if !strings.Contains(words, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
}
