package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/semantic-worker/semantic/schemas"
)

// publisher does what docs/direct-nats.md says, with the page's own lines.
type publisher struct {
	t      *testing.T
	server *server
	dir    string
	env    []string
	lines  []string
}

func newPublisher(t *testing.T, s *server, deps string) *publisher {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "direct-nats.md"))
	if err != nil {
		t.Fatal(err)
	}
	p := &publisher{t: t, server: s, dir: t.TempDir()}
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside:
			p.lines = append(p.lines, line)
		}
	}
	// The page's paths are those of a checkout.
	if err := os.Symlink(filepath.Join(root, "docs"), filepath.Join(p.dir, "docs")); err != nil {
		t.Fatal(err)
	}
	path := strings.Join([]string{filepath.Dir(binary), filepath.Join(deps, "bin"), filepath.Join(deps, "python", "bin"), os.Getenv("PATH")},
		string(os.PathListSeparator))
	p.env = append(newPlace(t).environment(), "PATH="+path, "NATS_URL="+s.NATS, "MODEL="+s.Model, "HOME="+p.dir, "NATS_TIMEOUT=1m")
	return p
}

// line returns the one line of the page that contains all the parts.
func (p *publisher) line(parts ...string) string {
	p.t.Helper()
	var found []string
next:
	for _, line := range p.lines {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, line)
	}
	if len(found) != 1 {
		p.t.Fatalf("docs/direct-nats.md has %d lines with %q", len(found), parts)
	}
	return found[0]
}

func (p *publisher) command(ctx context.Context, line string) *exec.Cmd {
	command := exec.CommandContext(ctx, "sh", "-c", "exec "+line)
	command.Dir, command.Env = p.dir, p.env
	return command
}

// run runs a line to its end; code is its exit code.
func (p *publisher) run(line string) (out string, code int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	text, err := p.command(ctx, line).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	}
	if err != nil {
		p.t.Fatalf("%s: %v", line, err)
	}
	return string(text), 0
}

// must runs a line that has to succeed.
func (p *publisher) must(line string) string {
	p.t.Helper()
	out, code := p.run(line)
	if code != 0 {
		p.t.Fatalf("%s: exit code %d\n%s", line, code, out)
	}
	return out
}

// listen starts a subscribing line and returns what it prints. It is listening
// on subject when listen returns.
func (p *publisher) listen(line, subject string) *lineLog {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	command := p.command(ctx, line)
	out := newLineLog()
	command.Stdout, command.Stderr = out, out
	if err := command.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cancel()
		_ = command.Wait()
	})
	conn, err := nats.Connect(p.server.NATS, nats.Timeout(patience))
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	p.server.wait("nats sub hears its subject", func() bool {
		_ = conn.Publish(subject, []byte(`{"n":0,"type":"probe"}`))
		return strings.Contains(out.String(), "probe")
	})
	return out
}

// events decodes printed lines, without probes.
func events(t *testing.T, out string) []schemas.Event {
	t.Helper()
	var list []schemas.Event
	for line := range strings.Lines(out) {
		var event schemas.Event
		if json.Unmarshal([]byte(line), &event) == nil && event.N > 0 {
			list = append(list, event)
		}
	}
	return list
}

// answered requires a whole answer in a job's events.
func answered(t *testing.T, list []schemas.Event) {
	t.Helper()
	for i, event := range list {
		if event.N != int64(i+1) {
			t.Errorf("event %d has the number %d", i+1, event.N)
		}
	}
	if len(list) < 2 || list[0].Started == nil || answer(t, list) == "" {
		t.Errorf("no whole answer: %+v", list)
	}
}

// ended tells whether printed events include the end.
func ended(t *testing.T, out string) bool {
	t.Helper()
	list := events(t, out)
	return len(list) > 0 && list[len(list)-1].Type.Terminal()
}

func TestNATSCommandLine(t *testing.T) {
	deps := dependencies(t)
	backends(t, 2*time.Millisecond, func(t *testing.T, place place, flags []string) {
		s := place.serve(t, flags...)
		p := newPublisher(t, s, deps)
		read := func(job string) (out string) {
			line := strings.ReplaceAll(p.line("nats sub", "EVENTS"), "hello-1", job)
			s.wait("the log of "+job+" has its end", func() bool {
				out = p.must(line)
				return ended(t, out)
			})
			return out
		}

		p.must(p.line("semantic job new"))
		publish := p.line("nats pub", "hello-1")
		p.must(publish)
		answered(t, events(t, read("hello-1")))

		live := p.listen(p.line("nats sub", "semantic.reply"), "semantic.reply.local.hello-2")
		p.must(strings.ReplaceAll(publish, "hello-1", "hello-2"))
		s.wait("the end is heard", func() bool { return ended(t, live.String()) })
		answered(t, events(t, live.String()))

		inbox := p.listen(p.line("nats sub", "_INBOX"), "_INBOX.mine.hello-3")
		p.must(p.line("nats pub", "_INBOX"))
		s.wait("the end is heard in the inbox", func() bool { return ended(t, inbox.String()) })
		answered(t, events(t, inbox.String()))

		// A bad job is answered by name, and is gone.
		bad := fmt.Sprintf(`{"v":1,"model":%q,"messages":[{"role":"user","content":"x"}],"best_of":2}`, s.Model)
		if err := os.WriteFile(filepath.Join(p.dir, "bad.json"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		p.must(strings.NewReplacer("hello-1", "bad-1", "job.json", "bad.json").Replace(publish))
		list := events(t, read("bad-1"))
		if failed := list[0].Failed; failed == nil || failed.Param != "best_of" || failed.Code != schemas.CodeUnknownParameter {
			t.Errorf("events %+v", list)
		}
		s.empty()
	})
}

// drained drains a worker by a program's command and returns what that says. A
// worker that does not answer in time is asked again; it may have heard it all the same.
func drained(t *testing.T, program, worker, url string) string {
	t.Helper()
	for late := time.Now().Add(patience); ; {
		out, err := exec.CommandContext(t.Context(), program, "drain", worker, "--now", "--nats", url).CombinedOutput()
		silent := strings.Contains(string(out), "does not answer")
		switch {
		case err == nil:
			return string(out)
		case !silent || time.Now().After(late):
			t.Fatalf("drain: %v\n%s", err, out)
		}
		listed, err := exec.CommandContext(t.Context(), program, "ps", "--json", "--nats", url).Output()
		if err == nil && !strings.Contains(string(listed), worker) {
			return string(out)
		}
	}
}

// empty waits until no job is stored.
func (s *server) empty() {
	s.t.Helper()
	conn, err := nats.Connect(s.NATS, nats.Timeout(patience))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		s.t.Fatal(err)
	}
	s.wait("the queue is empty", func() bool {
		for _, class := range []string{"INTERACTIVE", "NORMAL", "BATCH"} {
			stream, err := js.Stream(s.t.Context(), "JOBS_"+class)
			if err != nil || stream.CachedInfo().State.Msgs > 0 {
				return false
			}
		}
		return true
	})
}

func TestPythonPublisher(t *testing.T) {
	deps := dependencies(t)
	s := newPlace(t).serve(t, simulated(5*time.Millisecond)...)
	p := newPublisher(t, s, deps)
	client := strings.TrimSuffix(p.line("python docs/examples/direct.py"), ` "Say hello."`) + " --nats \"$NATS_URL\" "

	if out := p.must(client + `"Say hello. words=20"`); len(strings.Fields(out)) < 20 {
		t.Errorf("the answer is %q", out)
	}
	for says, c := range map[string]struct {
		args string
		code int
	}{
		"failed: context_length_exceeded (messages)": {`--max-tokens 100000 "x"`, 3},
		"cancelled":                        {`--cancel-after 3 "words=4000"`, 4},
		"cancelled\n":                      {`--cancel-after 0 "words=4000"`, 4},
		"expired: no answer within 300 ms": {`--deadline 0.3 "words=4000"`, 5},
	} {
		if out, code := p.run(client + c.args); code != c.code || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d, want %d that says %q:\n%s", c.args, code, c.code, says, out)
		}
	}

	// What is no event of the job is skipped: here a server's acknowledgement.
	p.must(`nats pub --jetstream semantic.events.local.junk '{"stream":"EVENTS","seq":1}'`)
	if out, code := p.run(client + `--job junk "words=3"`); code != 0 {
		t.Errorf("junk in the log: exit code %d:\n%s", code, out)
	}

	// With an inbox of its own; then read again from the log.
	answer := p.must(client + `--inbox _INBOX.mine.again --job again "words=30"`)
	if again := p.must(client + `--read-only --job again`); again == "" || !strings.Contains(answer, again) {
		t.Errorf("read again: %q, was %q", again, answer)
	}
	lostConnection(t, s, p, client)

	// A flow that is full, of a model that nobody serves.
	conn, err := nats.Connect(s.NATS, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"v":1,"model":"ghost","messages":[{"role":"user","content":"x"}]}`)
	for full := false; !full; {
		_, err := js.Publish(t.Context(), "semantic.jobs.ghost.interactive.05.local", body)
		var refused *jetstream.APIError
		switch {
		case errors.As(err, &refused) && refused.ErrorCode == 10077:
			full = true
		case err != nil:
			t.Fatal(err)
		}
	}
	full := strings.Replace(client, `"$MODEL"`, "ghost", 1) + `--job-class interactive --flow 5 "x"`
	if out, code := p.run(full); code != 6 || !strings.Contains(out, "the queue is full") {
		t.Errorf("full queue: exit code %d:\n%s", code, out)
	}
}

// lostConnection cuts the publisher's connection in mid-stream: it comes back
// and has the same text as a reader of the log.
func lostConnection(t *testing.T, s *server, p *publisher, client string) {
	t.Helper()
	proxy := newProxy(t, strings.TrimPrefix(s.NATS, "nats://"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := p.command(ctx, strings.Replace(client, `"$NATS_URL"`, "nats://"+proxy.address, 1)+`--job cut "words=200"`)
	out, complaints := newLineLog(), newLineLog()
	command.Stdout, command.Stderr = out, complaints
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s.wait("the publisher shows the first words", func() bool { return out.String() != "" })
	proxy.cut()
	if err := command.Wait(); err != nil {
		t.Fatalf("after a lost connection: %v\n%s%s", err, out, complaints)
	}
	if proxy.cuts.Load() == 0 {
		t.Error("nothing was cut")
	}
	answer := out.String()
	if again := p.must(client + `--read-only --job cut`); again == "" || !strings.Contains(answer, again) {
		t.Errorf("after a lost connection: %q, the log has %q", answer, again)
	}
}
