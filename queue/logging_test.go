package queue_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// TestLogLinesCarryTheIDs: what is said of a job for a caller outside of any
// delivery has the caller's request id and the job's.
func TestLogLinesCarryTheIDs(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	var lines bytes.Buffer // written by this goroutine's calls alone
	q := queuetest.Open(t, srv, func(o *queue.Options) { o.Logger = slog.New(slog.NewJSONHandler(&lines, nil)) })
	_, js := stranger(t, srv)
	publish(t, js, queue.EventSubject(queue.OwnerLocal, "job-7"), nil, "junk")
	if _, err := q.Log(queue.WithRequestID(t.Context(), "request-7"), "", "job-7"); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, lines.String())
	}
	if line[schemas.LogRequestID] != "request-7" || line[schemas.LogJobID] != "job-7" {
		t.Errorf("line %v", line)
	}
}
