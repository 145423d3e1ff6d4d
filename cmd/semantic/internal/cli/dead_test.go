package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/semantic-worker/semantic/engine"
	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
)

// poisonVariable names a file; while it is there, a worker that computes a prompt
// which says "poison" kills itself.
const poisonVariable = "CLI_TEST_POISON"

type poisoned struct {
	engine.Backend

	file   string
	tokens map[engine.SeqID][]engine.Token
}

func (p *poisoned) Step(rows []engine.Row) error {
	for _, row := range rows {
		p.tokens[row.Seq] = append(p.tokens[row.Seq][:row.Pos], row.Token)
		var text []byte
		for _, token := range p.tokens[row.Seq] {
			text = p.Vocabulary().AppendPiece(text, token, true)
		}
		if _, err := os.Stat(p.file); err == nil && bytes.Contains(text, []byte("poison")) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	return p.Backend.Step(rows)
}

func (p *poisoned) Remove(seq engine.SeqID, from int32) error {
	p.tokens[seq] = p.tokens[seq][:min(len(p.tokens[seq]), int(from))]
	return p.Backend.Remove(seq, from)
}

func (p *poisoned) Share(dst, src engine.SeqID, n int32) error {
	p.tokens[dst] = slices.Clone(p.tokens[src][:n])
	return p.Backend.Share(dst, src, n)
}

// semantic runs a command to its end and returns what it prints.
func semantic(t *testing.T, args ...string) (out, errors string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "semantic", args...)
	var stdout, stderr bytes.Buffer
	c.Env, c.Stdout, c.Stderr = environment(t), &stdout, &stderr
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), c.ProcessState.ExitCode()
}

// A request kills every worker that runs it. Its neighbour is answered to the end;
// it is given up, with a precise error, and `semantic dead` has the evidence, tries
// it again and drops it.
func TestPoisonedRequest(t *testing.T) {
	t.Parallel() // it waits for the broker to offer the job again
	poison := filepath.Join(t.TempDir(), "poison")
	if err := os.WriteFile(poison, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p, info := simServer(t, func(c *exec.Cmd) error {
		c.Env = append(c.Env, poisonVariable+"="+poison)
		return c.Start()
	}, "--sim-step", "5ms", "--max-attempts", "1", "--log-format", "json")
	body := `{"model":"sim","stream":true,"temperature":0,"messages":[{"role":"user","content":"words=150 please"}]}`
	reference, err := io.ReadAll(openBody(t, info.HTTP, body))
	if err != nil {
		t.Fatal(err)
	}
	neighbour := openBody(t, info.HTTP, body)
	begin := make([]byte, 1<<10)
	n, err := io.ReadAtLeast(neighbour, begin, 600)
	if err != nil {
		t.Fatal(err)
	}
	killed, err := io.ReadAll(openBody(t, info.HTTP, strings.Replace(body, "words=150 please", "poison", 1)))
	if err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(neighbour)
	if got, want := content(t, slices.Concat(begin[:n], rest)), content(t, reference); err != nil || got != want || want == "" {
		t.Errorf("the neighbour's text is\n%q, want\n%q (%v)", got, want, err)
	}
	p.stderr.wait(t, 0, `"msg":"job given up: workers died on it"`)

	nats := []string{"--nats", info.NATS}
	out, errs, code := semantic(t, append([]string{"dead", "list", "--json"}, nats...)...)
	var list []struct {
		ID, Owner, Code string
		Deaths          int
	}
	err = json.Unmarshal([]byte(out), &list)
	if err != nil || code != 0 || len(list) != 1 || list[0].Code != "worker_lost" || list[0].Deaths > 2 {
		t.Fatalf("dead list: %d, %v: %s%s", code, err, out, errs)
	}
	id := list[0].ID
	if !bytes.Contains(killed, []byte(`"code":"worker_lost"`)) || !bytes.Contains(killed, []byte("semantic dead show "+id)) {
		t.Errorf("its client was told: %s", killed)
	}
	out, errs, code = semantic(t, append([]string{"dead", "show", id}, nats...)...)
	for _, want := range []string{id, "signal: killed", ", alone, ", `"type":"requeued"`, "worker_lost", "Attempts\n  1  "} {
		if !strings.Contains(out, want) || code != 0 {
			t.Errorf("dead show lacks %q: %d, %s%s", want, code, out, errs)
		}
	}
	if out, _, _ := semantic(t, append([]string{"dead", "list"}, nats...)...); !strings.Contains(out, id+"  sim    ") {
		t.Errorf("dead list: %s", out)
	}
	if out, _, _ := semantic(t, append([]string{"dead", "show", id, "--body"}, nats...)...); !strings.Contains(out, `"content":"poison"`) {
		t.Errorf("dead show --body: %s", out)
	}
	for line := range strings.SplitSeq(metricsPage(t, info.HTTP), "\n") {
		if strings.HasPrefix(line, "semantic_queue_dead ") && line != "semantic_queue_dead 1" {
			t.Errorf("/metrics has %q", line)
		}
	}

	if err := os.Remove(poison); err != nil {
		t.Fatal(err)
	}
	out, errs, code = semantic(t, append([]string{"dead", "replay", id}, nats...)...)
	fresh := strings.TrimSpace(out)
	if code != 0 || !queue.ValidJobID(fresh) || fresh == id {
		t.Fatalf("dead replay: %d, %s%s", code, out, errs)
	}
	finished(t, info.NATS, list[0].Owner, fresh, id)
	for _, command := range []string{"show", "replay", "drop"} {
		_, errs, code := semantic(t, append([]string{"dead", command, id}, nats...)...)
		if code != 1 || !strings.Contains(errs, "there is no dead request "+id) {
			t.Errorf("dead %s of what is gone: %d, %s", command, code, errs)
		}
	}
	if out, _, code := semantic(t, append([]string{"dead", "list"}, nats...)...); out != "No dead requests.\n" || code != 0 {
		t.Errorf("dead list: %d, %s", code, out)
	}
}

// finished wants a replay's answer, and its log to say what it is a replay of.
func finished(t *testing.T, url, owner, id, of string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	q, err := queue.Open(ctx, queue.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Close(ctx) }()
	f, err := q.Follow(ctx, owner, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []schemas.Event
	for {
		e, err := f.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if events[0].Submitted == nil || events[0].Submitted.ReplayOf != of || events[len(events)-1].Done == nil {
		t.Errorf("the replay's log: %+v … %+v", events[0], events[len(events)-1])
	}
}

// What is no id, or no broker, is told at once.
func TestDeadRefusals(t *testing.T) {
	t.Parallel()
	srv := queuetest.Start(t)
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"dead", "show", "a.b", "--nats", srv.ClientURL()}, 2, `"a.b" is no job id`},
		{[]string{"dead", "drop", "none", "--nats", srv.ClientURL()}, 1, "there is no dead request none"},
		{[]string{"dead", "replay"}, 2, "accepts 1 arg"},
		{[]string{"dead", "list", "--nats", "nats://127.0.0.1:1"}, 1, "Is `semantic serve`"},
	} {
		_, errs, code := semantic(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%q: %d, %s", c.args, code, errs)
		}
	}
}

// A request up to --max-body is taken, however many of its bytes may wait in the
// queue itself; a larger one is not.
func TestLargeRequests(t *testing.T) {
	t.Parallel()
	_, info := simServer(t, (*exec.Cmd).Start, "--max-body", "1000000", "--inline-bytes", "1024", "--ctx", "2000000")
	for _, c := range []struct{ size, status int }{{5_000, 200}, {900_000, 200}, {1_000_001, 413}} {
		body := `{"model":"sim","max_tokens":3,"messages":[{"role":"user","content":"words=9 ` + strings.Repeat("x", c.size-100) + `"}]}`
		body += strings.Repeat(" ", max(c.size-len(body), 0))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, info.HTTP+"/v1/chat/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Expect", "100-continue") // so that a refusal is read
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: patience}}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		cancel()
		if err != nil || response.StatusCode != c.status {
			t.Errorf("%d bytes: %s, want %d: %.300s (%v)", c.size, response.Status, c.status, answer, err)
		}
	}
}
