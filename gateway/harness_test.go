package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/queue/queuetest"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// patience bounds every wait for an event; only a failing test meets it.
const patience = time.Minute

// bench is a gateway over real HTTP, on a real broker.
type bench struct {
	t    *testing.T
	srv  *queuetest.Server
	q    *queue.Queue
	g    *Gateway
	http *httptest.Server
	reg  *prometheus.Registry
	logs *logBuffer
}

// benchOptions are what a test may change.
type benchOptions struct {
	Options
	queue []func(*queue.Options)
}

// startBench starts one; its workers are added by work.
func startBench(t *testing.T, change ...func(*benchOptions)) *bench {
	t.Helper()
	return startBeside(t, queuetest.Start(t), change...)
}

// startBeside starts one on a broker that others may use, too.
func startBeside(t *testing.T, srv *queuetest.Server, change ...func(*benchOptions)) *bench {
	t.Helper()
	b := &bench{t: t, srv: srv, reg: prometheus.NewRegistry(), logs: &logBuffer{}}
	o := benchOptions{Options: Options{
		Logger:     slog.New(slog.NewJSONHandler(b.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Registerer: b.reg,
		Gatherer:   b.reg,
		Config:     DefaultConfig(),
	}}
	// However slow the machine: what a worker refuses at once has its status, no
	// stream has a comment that the test did not ask for, a broker that answers late
	// is not away, and no job is offered again under the hands of its worker.
	o.Config.StatusHold, o.Config.KeepAlive = patience, time.Hour
	o.Config.QueueTimeout, o.Config.DeadlineGrace = patience, patience
	o.queue = []func(*queue.Options){unhurried}
	for _, c := range change {
		c(&o)
	}
	b.q = queuetest.Open(t, b.srv, o.queue...)
	o.Queue = b.q
	g, err := New(o.Options)
	if err != nil {
		t.Fatal(err)
	}
	b.g = g
	g.tracker.cutTimeout = patience
	b.http = httptest.NewUnstartedServer(nil)
	b.http.Config = NewHTTPServer(g)
	b.http.Start()
	t.Cleanup(b.http.Close)
	return b
}

// unhurried lets a queue wait for a broker, and a broker for a worker, for as long as
// a test would.
func unhurried(o *queue.Options) {
	c := &o.Config
	c.ConnectTimeout, c.RequestTimeout, c.SubmitTimeout = patience, patience, patience
	c.AckWait, c.RegistryTTL = patience, patience
}

func (b *bench) context() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	b.t.Cleanup(cancel)
	return ctx
}

// reply is a response whose body is closed with the test.
type reply struct{ *http.Response }

// do sends a request. Header pairs follow the body.
func (b *bench) do(method, path, body string, headers ...string) reply {
	b.t.Helper()
	resp, err := b.http.Client().Do(b.request(b.context(), method, path, body, headers...))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	return reply{resp}
}

func (b *bench) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	b.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, b.http.URL+path, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

// chatBody is a chat request for the model "m".
func chatBody(content string, stream bool) string {
	body, _ := json.Marshal(map[string]any{
		"model": "m", "stream": stream,
		"messages": []map[string]string{{"role": "user", "content": content}},
	})
	return string(body)
}

// post sends a chat request.
func (b *bench) post(body string, headers ...string) reply {
	b.t.Helper()
	return b.do(http.MethodPost, "/v1/chat/completions", body, headers...)
}

// wantError reads an error and checks it against the table.
func wantError(t *testing.T, resp reply, code schemas.Code) openai.Error {
	t.Helper()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body openai.ErrorBody
	if err := json.Unmarshal(data, &body); err != nil {
		t.Fatalf("not an error body: %q: %v", data, err)
	}
	a := answerFor(code)
	if body.Error.Code == nil || *body.Error.Code != code || resp.StatusCode != a.status {
		t.Errorf("got %d %s, want %d %s", resp.StatusCode, data, a.status, code)
	}
	if body.Error.Type != openai.TypeOf(code) {
		t.Errorf("%s: type %s", code, body.Error.Type)
	}
	if body.Error.Message == "" {
		t.Errorf("%s: no message", code)
	}
	if got := resp.Header.Get("Retry-After"); (got != "") != (a.after > 0) {
		t.Errorf("%s: Retry-After %q", code, got)
	}
	if resp.Header.Get(headerRequestID) == "" {
		t.Errorf("%s: no request id", code)
	}
	return body.Error
}

// sseEvent is one server-sent event as a client reads it.
type sseEvent struct {
	id, data, comment string
}

// sseReader reads a stream line by line, as it arrives.
type sseReader struct {
	t     *testing.T
	lines *lineReader
}

func newSSEReader(t *testing.T, body io.Reader) *sseReader {
	return &sseReader{t: t, lines: &lineReader{r: body}}
}

// next returns false at the stream's end.
func (s *sseReader) next() (sseEvent, bool) {
	s.t.Helper()
	var e sseEvent
	seen := false
	for {
		line, err := s.lines.next()
		if errors.Is(err, io.EOF) {
			return e, seen
		}
		if err != nil {
			s.t.Fatalf("the stream broke: %v", err)
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			return e, true
		case name == "":
			e.comment = value
		case name == "id":
			e.id = value
		case name == "data":
			e.data += value
		default:
			s.t.Fatalf("unexpected line %q", line)
		}
		seen = true
	}
}

// rest reads to the end.
func (s *sseReader) rest() []sseEvent {
	s.t.Helper()
	var all []sseEvent
	for {
		e, ok := s.next()
		if !ok {
			return all
		}
		all = append(all, e)
	}
}

// text joins the content of every chunk.
func text(t *testing.T, events []sseEvent) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		if e.data == "" || e.data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(e.data), &chunk); err != nil {
			t.Fatalf("%q: %v", e.data, err)
		}
		for _, c := range chunk.Choices {
			b.WriteString(c.Delta.Content)
		}
	}
	return b.String()
}

// lineReader reads lines without reading ahead of what arrived.
type lineReader struct {
	r   io.Reader
	buf []byte
	err error
}

func (l *lineReader) next() (string, error) {
	for {
		if i := bytes.IndexByte(l.buf, '\n'); i >= 0 {
			line := string(l.buf[:i])
			l.buf = l.buf[i+1:]
			return line, nil
		}
		if l.err != nil {
			return "", l.err
		}
		chunk := make([]byte, 4096)
		n, err := l.r.Read(chunk)
		l.buf, l.err = append(l.buf, chunk[:n]...), err
	}
}

// logBuffer collects log lines. Safe for concurrent use.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// lines parses every line so far.
func (l *logBuffer) lines(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []map[string]any
	for line := range strings.Lines(l.buf.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

// eventually polls what has no event to wait for: another process's view.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// longer tries what has to happen within a timeout that a busy machine outlasts: with
// more of it, until it holds.
func longer(t *testing.T, timeout time.Duration, try func(time.Duration) error) {
	t.Helper()
	for ; ; timeout *= 4 {
		err := try(timeout)
		if err == nil {
			return
		}
		if timeout > patience/4 {
			t.Fatal(err)
		}
	}
}
