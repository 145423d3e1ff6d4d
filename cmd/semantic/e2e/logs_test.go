package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/semantic-worker/semantic/schemas"
)

// seed is a text that nothing else says.
func seed(name string) string { return "zq-" + name + "-7c1f0e9d5b3a48261f70" }

// The ids that every request of ask brings.
const (
	tracedRequest = "request-of-the-test"
	tracedTrace   = "0af7651916cd43dd8448eb211c80319c"
)

// ask sends a request with a key and returns its answer.
func (s *server) ask(method, path, key, body string) (status int, answer string) {
	s.t.Helper()
	response := s.call(method, path, key, body)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// call sends a request with a key and returns with the answer's head.
func (s *server) call(method, path, key, body string) *http.Response {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.HTTP+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("X-Request-Id", tracedRequest)
	request.Header.Set("Traceparent", "00-"+tracedTrace+"-b7ad6b7169203331-01")
	request.Header.Set("Idempotency-Key", seed("idempotency")+strconv.Itoa(len(body)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

// One file has the lines of both processes of `semantic serve`, each line of its
// format, also after the worker was killed by what native code dies of; and neither
// what users write nor what proves who they are is in it, at the most talkative
// level, whatever goes wrong.
func TestLogFileShowsNothingPrivate(t *testing.T) {
	p, dir := newPlace(t), t.TempDir()
	path := filepath.Join(dir, "logs", "semantic.log")
	keys, token := filepath.Join(dir, "keys"), filepath.Join(dir, "token")
	for file, secret := range map[string]string{keys: seed("key"), token: seed("token")} {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := p.serve(t, append(simulated(20*time.Millisecond), "--log-file", path, "--api-key-file", keys, "--nats-token-file", token)...)
	log := func() string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	names := []string{"key", "token", "idempotency", "stranger"}
	S := func(name string) string {
		names = append(names, name)
		return seed(name)
	}

	const route = "/v1/chat/completions"
	chat := func(more, content string) string {
		return `{"model":"sim","max_tokens":400,"messages":[{"role":"user","content":"` + content + `"}]` + more + `}`
	}
	for _, c := range []struct {
		key, body string
		status    int
	}{
		{seed("key"), chat("", S("prompt")+" words=3"), 200},
		{seed("key"), chat(`,"tools":[{"type":"function","function":{"name":"f","description":"`+S("tool")+
			`","parameters":{"type":"object","properties":{"a":{"type":"string","description":"`+S("property")+`"}}}}}]`, "x words=3"), 200},
		{S("stranger key"), chat("", S("refused")), 401},
		{seed("key"), chat("", S("cut"))[:90], 400},
		{seed("key"), chat(`,"x":"`+S("unknown")+`"`, "x"), 400},
		{seed("key"), chat(`,"temperature":"`+S("mistyped")+`"`, "x"), 400},
		{seed("key"), chat(`,"stop":["`+S("stop")+`",""]`, "x"), 400},
		{seed("key"), chat(`,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"`+S("schema")+`"}}}`, "x"), 400},
		{seed("key"), strings.Replace(chat("", "x"), `"user"`, `"`+S("role")+`"`, 1), 400},
		{seed("key"), strings.Replace(chat("", "x"), `"x"`, `[{"type":"text","text":"`+S("part")+`"},{"type":"`+S("kind")+`"}]`, 1), 400},
	} {
		if status, answer := s.ask(http.MethodPost, route, c.key, c.body); status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.body, status, c.status, answer)
		}
	}
	s.ask(http.MethodGet, "/v1/jobs/none?api_key="+S("query"), S("another key"), "")

	// Strangers at the broker.
	if c, err := nats.Connect(s.NATS, nats.Token(S("wrong token"))); err == nil {
		c.Close()
		t.Error("a wrong token is taken")
	}
	c, err := nats.Connect(s.NATS, nats.Token(seed("token")), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, body := range []string{
		`{"v":1,"model":"sim","messages":[{"role":"user","content":"` + S("direct") + ` words=3"}]}`,
		`{"v":1,"model":"sim","messages":[{"role":"` + S("direct role") + `","content":"x"}]}`,
		`{"v":1,"model":"sim","messages":[{"role":"user","content":"` + S("direct cut"),
		S("direct junk"),
	} {
		m := nats.NewMsg("semantic.jobs.sim.normal.00.local")
		m.Header.Set("Nats-Msg-Id", fmt.Sprintf("direct-%d", i))
		m.Data = []byte(body)
		if _, err := c.RequestMsgWithContext(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		direct := fmt.Sprintf("direct-%d", i)
		s.wait(direct+" has ended", func() bool { return linesOf(log(), schemas.LogEventJobEnd, direct) > 0 })
	}

	// A worker dies in the midst of a stream, with a word of its own. The stream would go
	// on for minutes: another takes it up, until its client leaves.
	long := strings.Replace(chat(`,"stream":true`, seed("killed")+" words=9000"), `"max_tokens":400`, `"max_tokens":6000`, 1)
	stream := s.call(http.MethodPost, route, seed("key"), long)
	defer func() { _ = stream.Body.Close() }()
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("the stream: %s", stream.Status)
	}
	names = append(names, "killed")
	job := stream.Header.Get("X-Semantic-Job")
	s.wait("the stream has begun", func() bool { return linesOf(log(), schemas.LogEventJobStarted, job) == 1 })
	var pid int
	s.wait("the worker's pid is in the file", func() bool {
		for _, line := range parsed(t, log()) {
			if line["event"] == schemas.LogEventChildStart {
				pid = int(line["pid"].(float64))
			}
		}
		return pid > 0
	})
	if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	s.wait("another worker goes on with it", func() bool { return linesOf(log(), schemas.LogEventJobStarted, job) == 2 })
	_ = stream.Body.Close()
	s.wait("its end is in the file", func() bool { return linesOf(log(), schemas.LogEventJobEnd, job) > 0 })
	s.signal(syscall.SIGTERM)
	if code := s.join(); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// Each line about a job has all that is known, in both processes; jobs that were
	// published straight to the broker have no request.
	of := make(map[any]int)
	for _, line := range parsed(t, log()) {
		job, _ := line[schemas.LogJobID].(string)
		if job == "" || strings.HasPrefix(job, "direct-") {
			continue
		}
		of[line[schemas.LogRole]]++
		if line[schemas.LogRequestID] != tracedRequest || line[schemas.LogTraceID] != tracedTrace || line[schemas.LogModel] != "sim" {
			t.Errorf("a line about a job without request, trace or model: %v", line)
		}
		if line[schemas.LogRole] == "worker" && line[schemas.LogWorker] != s.Worker {
			t.Errorf("a line of a worker without its id: %v", line)
		}
	}
	if of["serve"] < 3 || of["worker"] < 9 {
		t.Errorf("lines about jobs by process: %v", of)
	}

	roles, events := make(map[any]bool), make(map[any]bool)
	stack := false
	for _, line := range parsed(t, log()) {
		roles[line[schemas.LogRole]], events[line[schemas.LogEvent]] = true, true
		text, _ := line[schemas.LogText].(string)
		stack = stack || line[schemas.LogChild] == "worker" && strings.HasPrefix(text, "SIGQUIT")
	}
	if !roles["serve"] || !roles["worker"] || !stack {
		t.Errorf("the file has lines of %v; the worker's last words: %v", roles, stack)
	}
	for _, event := range []string{
		schemas.LogEventModelLoad, schemas.LogEventWorkerReady, schemas.LogEventJobClaimed, schemas.LogEventJobStarted,
		schemas.LogEventJobEnd, schemas.LogEventChildExit, schemas.LogEventDrainBegin, schemas.LogEventDrainEnd,
		schemas.LogEventBatchAdmitted, schemas.LogEventBatchFinished,
	} {
		if !events[event] {
			t.Errorf("no line of the event %s", event)
		}
	}
	everything := log() + s.log.String()
	private.check(t, everything)
	for _, name := range names {
		if before, _, found := strings.Cut(everything, seed(name)); found {
			t.Errorf("a log shows the %s: %s…", name, before[strings.LastIndexByte(before, '\n')+1:])
		}
	}
}

// parsed are the lines of a JSON log; none is anything else.
func parsed(t *testing.T, log string) (lines []map[string]any) {
	t.Helper()
	for text := range strings.Lines(log) {
		if !strings.HasSuffix(text, "\n") {
			break // is being written
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, line)
	}
	return lines
}

// linesOf counts the lines of an event of a job.
func linesOf(log, event, job string) (n int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"event":"`+event+`"`) && strings.Contains(line, `"job_id":"`+job+`"`) {
			n++
		}
	}
	return n
}
