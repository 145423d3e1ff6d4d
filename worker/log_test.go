package worker_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// traceID is that of the jobs of these tests.
const traceID = "0af7651916cd43dd8448eb211c80319c"

// requireIDs wants every line that names the request or the job in any way to
// have both under their keys, with the trace and the model, and all of these
// messages to be among the lines.
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
		if fields[schemas.LogTraceID] != traceID || fields[schemas.LogModel] != modelName {
			t.Errorf("a line without trace or model: %s", line)
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
			m.Header.Set(schemas.HeaderTraceParent, "00-"+traceID+"-b7ad6b7169203331-01")
		}
	}
	_, js := h.dial()
	_, err := js.Publish(t.Context(), queue.EventSubject("local", "job-junk"), []byte("junk"))
	requireNoError(t, err)

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

// end is the canonical line of a job's last claim.
func (b *logBuffer) end(t *testing.T, jobID string) map[string]any {
	t.Helper()
	all := b.lines(t, "claim ended")
	at := slices.IndexFunc(all, func(l map[string]any) bool { return l[schemas.LogJobID] == jobID })
	if at < 0 {
		t.Fatalf("no end of %s", jobID)
	}
	return all[at]
}

// The last line about a claim says who, what, how much, how long, and how it ended.
func TestCanonicalLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := h.start()
	const body = `{"v":1,"model":"sim","agent":"scribe","messages":[{"role":"user","content":"x words=5"}]}`
	h.result(h.publish("job-1", body)).done()
	h.result(h.publish("job-2", body)).done()
	h.result(h.publish("job-bad", `{"v":1}`)).failed(schemas.CodeInvalidRequest)
	requireNoError(t, w.drained())
	line := w.logs.end(t, "job-2")
	for key, want := range map[string]any{
		schemas.LogEvent: schemas.LogEventJobEnd, schemas.LogOutcome: "done", schemas.LogFinish: "stop", schemas.LogOwner: "local",
		schemas.LogAgent: "scribe", schemas.LogClass: "normal", schemas.LogModel: "sim", schemas.LogWorker: "w1",
		schemas.LogAttempt: 1.0, schemas.LogDeliveries: 1.0, schemas.LogChoices: 1.0, "level": "INFO",
	} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{
		schemas.LogPromptTokens, schemas.LogCompletionTokens, schemas.LogQueued, schemas.LogTTFT, schemas.LogDuration,
	} {
		// The broker's clock is known to half of a round trip: one wait may seem none.
		if n, ok := line[key].(float64); !ok || n < 0 || n == 0 && key != schemas.LogQueued {
			t.Errorf("%s is %v", key, line[key])
		}
	}
	if line := w.logs.end(t, "job-bad"); line[schemas.LogOutcome] != "failed" || line[schemas.LogCode] != "invalid_request" {
		t.Errorf("the refused job's line: %v", line)
	}
	for _, event := range []string{
		schemas.LogEventWorkerReady, schemas.LogEventJobClaimed, schemas.LogEventJobStarted,
		schemas.LogEventDrainBegin, schemas.LogEventDrainEnd,
	} {
		if !strings.Contains(w.logs.String(), `"event":"`+event+`"`) {
			t.Errorf("no event %s", event)
		}
	}
}

// What users write, and what they get, is in the log where that was asked for, and
// nowhere else.
func TestContent(t *testing.T) {
	t.Parallel()
	const secret = "zimtstern"
	for _, asked := range []bool{false, true} {
		h := newHouse(t)
		w := h.start(func(s *setup) { s.content = asked })
		body := `{"v":1,"model":"sim","messages":[{"role":"user","content":"` + secret + ` words=5"}]}`
		r := h.result(h.publish("job-1", body))
		r.done()
		bad := strings.ReplaceAll(`{"v":1,"model":"sim","messages":[{"role":"S","content":"S"}],"x":"S"}`, "S", secret)
		h.result(h.publish("job-bad", bad)).failed(schemas.CodeUnknownParameter)
		requireNoError(t, w.drained())
		if got := strings.Contains(w.logs.String(), secret); got != asked {
			t.Errorf("asked is %v, but the text of a user is in the log: %v\n%s", asked, got, w.logs)
		}
		answer, _ := w.logs.end(t, "job-1")[schemas.LogAnswer].([]any)
		if asked && (len(answer) != 1 || answer[0] != r.text()) || !asked && answer != nil {
			t.Errorf("asked is %v, and the answer is %q", asked, answer)
		}
	}
}
