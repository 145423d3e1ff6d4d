package worker_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// requireIDs wants every line that names the request or the job in any way to
// have both under their keys, and all of these messages to be among the lines.
func (b *logBuffer) requireIDs(t *testing.T, requestID, jobID string, messages ...string) {
	t.Helper()
	said := make(map[string]bool)
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, requestID) && !strings.Contains(line, jobID) {
			continue
		}
		var fields map[string]any
		requireNoError(t, json.Unmarshal([]byte(line), &fields))
		if _, several := fields["jobs"]; several {
			continue // a line about the worker
		}
		if fields[schemas.LogRequestID] != requestID || fields[schemas.LogJobID] != jobID {
			t.Errorf("a line without both ids: %s", line)
		}
		message, _ := fields["msg"].(string)
		said[message] = true
	}
	for _, message := range messages {
		if !said[message] {
			t.Errorf("no line %q about the job", message)
		}
	}
}

// The lines of worker, queue and engine about one request all carry its ids:
// of a job that runs well, and of one about which much is to be said.
func TestEveryLineOfARequestCarriesItsIDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const body = `{"v":1,"model":"sim","messages":[{"role":"user","content":"x words=5"}]}`
	named := func(requestID string) func(*nats.Msg) {
		return func(m *nats.Msg) {
			m.Header.Set(schemas.HeaderRequestID, requestID)
			m.Header.Set(schemas.HeaderReplyTo, "not.an.inbox")
		}
	}
	conn, err := nats.Connect(h.srv.ClientURL())
	requireNoError(t, err)
	defer conn.Close()
	requireNoError(t, conn.Publish(queue.EventSubject("local", "job-junk"), []byte("junk")))
	requireNoError(t, conn.Flush())

	w := h.start()
	well := h.publish("job-well", body, named("request-well"))
	h.result(well).done()
	h.result(h.publish("job-junk", body, named("request-junk"))).done()
	h.result(h.publish("job-bad", `{"v":1}`, named("request-bad"))).failed(schemas.CodeInvalidRequest)
	requireNoError(t, w.drained())

	const refused = "reply_to is not under the owner's inbox and is not used"
	w.logs.requireIDs(t, "request-well", "job-well", "claimed", "started", "finished", "claim ended", refused)
	w.logs.requireIDs(t, "request-junk", "job-junk", "claimed", "finished", "claim ended", "entry in a job's log is no event of it")
	w.logs.requireIDs(t, "request-bad", "job-bad", "job failed")
}
