package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// chunk is what these tests read of a streamed chat completion.
type chunk struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// stream is one request in flight.
type stream struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner

	text   strings.Builder
	chunks int // with content
	finish string
	usage  int
	code   string // of an error in the stream
	said   string // its message
	over   bool   // [DONE] was seen
}

// open sends a streaming request at temperature 0, and returns with the answer's
// head.
func (s *server) open(prompt string, maxTokens int) *stream {
	s.t.Helper()
	return s.openAll(maxTokens, prompt)[0]
}

// openAll sends streaming requests at once.
func (s *server) openAll(maxTokens int, prompts ...string) []*stream {
	s.t.Helper()
	streams := make([]*stream, len(prompts))
	failures := make([]error, len(prompts))
	var all sync.WaitGroup
	for i, prompt := range prompts {
		all.Go(func() { streams[i], failures[i] = s.request(prompt, maxTokens) })
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range streams {
		s.t.Cleanup(func() { _ = r.response.Body.Close() })
	}
	return streams
}

func (s *server) request(prompt string, maxTokens int) (*stream, error) {
	body, err := json.Marshal(map[string]any{
		"model": s.Model, "stream": true, "temperature": 0, "max_tokens": maxTokens,
		"stream_options": map[string]any{"include_usage": true},
		"messages":       []map[string]string{{"role": "user", "content": prompt}},
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.HTTP+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("status %s", response.Status)
	}
	return &stream{t: s.t, response: response, lines: bufio.NewScanner(response.Body)}, nil
}

// next reads one event; false at the end.
func (r *stream) next() bool {
	for r.lines.Scan() {
		data, ok := strings.CutPrefix(r.lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			r.over = true
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			r.t.Errorf("chunk %q: %v", data, err)
			return false
		}
		for _, choice := range c.Choices {
			if choice.Delta.Content != "" {
				r.chunks++
			}
			r.text.WriteString(choice.Delta.Content)
			r.finish += choice.FinishReason
		}
		if c.Usage != nil {
			r.usage = c.Usage.CompletionTokens
		}
		if c.Error != nil {
			r.code, r.said = c.Error.Code, c.Error.Message
		}
		return true
	}
	return false
}

// until reads until n chunks with content have come.
func (r *stream) until(n int) {
	r.t.Helper()
	for r.chunks < n {
		if !r.next() {
			r.t.Fatalf("the stream ended after %d chunks (%q, error %q)", r.chunks, r.finish, r.code)
		}
	}
}

// rest reads to the end.
func (r *stream) rest() {
	for r.next() {
	}
	if err := r.lines.Err(); err != nil {
		r.t.Errorf("the stream was cut: %v", err)
	}
}

// whole requires that the stream ended as it should.
func (r *stream) whole() string {
	r.t.Helper()
	if r.finish != "stop" && r.finish != "length" || !r.over || r.code != "" || r.usage == 0 {
		r.t.Errorf("finish %q, [DONE] %v, error %q, usage %d, %d chunks", r.finish, r.over, r.code, r.usage, r.chunks)
	}
	private.add(r.text.String())
	return r.text.String()
}

// backends runs a test on the simulation and on the real model. A simulated
// token takes step.
func backends(t *testing.T, step time.Duration, test func(t *testing.T, p place, flags []string)) {
	t.Helper()
	t.Run("sim", func(t *testing.T) { test(t, newPlace(t), simulated(step)) })
	// One thread: two that wait for each other are slow beside other tests.
	t.Run("real", func(t *testing.T) { test(t, newPlace(t).real(t), []string{"--ctx", "2048", "--threads", "1"}) })
}

// caught tries to catch answers in their midst, each time longer ones: where the
// machine has held this process up for long enough they are over before. The try says
// whether it caught them; what it checks holds either way.
func caught(t *testing.T, try func(tokens int) bool) {
	t.Helper()
	for tokens := 40; tokens <= 1280; tokens *= 2 {
		if try(tokens) {
			return
		}
		t.Logf("answers of %d tokens were over too soon", tokens)
	}
	t.Error("no answer was caught in its midst")
}

// eight makes eight prompts.
func eight(format string) []string {
	prompts := make([]string, 8)
	for i := range prompts {
		prompts[i] = fmt.Sprintf(format, 20+i)
	}
	return prompts
}

func TestEightStreams(t *testing.T) {
	backends(t, time.Millisecond, func(t *testing.T, p place, flags []string) {
		s := p.serve(t, flags...)
		streams := s.openAll(24, eight("Count to %d in words. words=40")...)
		var all sync.WaitGroup
		for _, r := range streams {
			all.Go(r.rest)
		}
		all.Wait()
		for _, r := range streams {
			if r.whole() == "" {
				t.Error("an empty answer")
			}
		}
		s.signal(syscall.SIGTERM)
		if code := s.join(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// Ctrl-C under live streams: all end as they would have, and nothing new is
// taken. It says what it waits for.
func TestDrainUnderLiveStreams(t *testing.T) {
	backends(t, 20*time.Millisecond, func(t *testing.T, p place, flags []string) {
		caught(t, func(tokens int) bool {
			s := p.serve(t, append(flags, "--drain-timeout", patience.String())...)
			streams := s.openAll(tokens, eight(fmt.Sprintf("Tell story %%d. words=%d", 2*tokens))...)
			for _, r := range streams {
				r.until(2)
			}
			s.signal(syscall.SIGTERM)
			var all sync.WaitGroup
			for _, r := range streams {
				all.Go(r.rest)
			}
			all.Wait()
			for _, r := range streams {
				r.whole()
			}
			if code := s.join(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			return len(s.log.lines("draining: waiting for running jobs")) > 0
		})
	})
}

// The worker process is killed in the middle of a stream: the client sees a
// pause, then the rest, and the text is that of an uninterrupted run.
func TestKillWorkerInMidStream(t *testing.T) {
	backends(t, 20*time.Millisecond, func(t *testing.T, p place, flags []string) {
		const prompt, tokens = "Tell me about the sea and the wind. words=80", 40
		s := p.serve(t, flags...)
		calm := s.open(prompt, tokens)
		calm.rest()
		want := calm.whole()

		for round, after := range []int{1, 5} {
			r := s.open(prompt, tokens)
			r.until(after)
			if err := syscall.Kill(s.worker(round), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			r.rest()
			if got := r.whole(); got != want {
				t.Errorf("killed after %d chunks:\n got %q\nwant %q", after, got, want)
			}
			if r.usage != calm.usage {
				t.Errorf("killed after %d chunks: usage %d, want %d", after, r.usage, calm.usage)
			}
		}
		s.signal(syscall.SIGTERM)
		if code := s.join(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// events reads a job's events from the broker until its end.
func (s *server) events(job string) []schemas.Event {
	s.t.Helper()
	config := queue.DefaultConfig()
	config.ConnectTimeout = patience
	q, err := queue.Open(s.t.Context(), queue.Options{URL: s.NATS, Name: s.t.Name(), Config: config})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = q.Close(s.t.Context()) }()
	follower, err := q.Follow(s.t.Context(), queue.OwnerLocal, job, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer follower.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var list []schemas.Event
	for {
		event, err := follower.Next(ctx)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			s.t.Fatalf("%v after %d events", err, len(list))
		}
		list = append(list, event)
	}
}

// answer is the whole text of a job that was answered.
func answer(t *testing.T, list []schemas.Event) string {
	t.Helper()
	var text strings.Builder
	for _, event := range list {
		if event.Delta != nil {
			text.WriteString(event.Delta.Text)
		}
		if event.Done != nil {
			text.WriteString(event.Done.Text)
		}
	}
	if last := list[len(list)-1]; last.Done == nil {
		t.Errorf("the job ended as %+v", last)
	}
	return text.String()
}

// A stop that does not wait: the stream ends with the typed error, the job goes
// back unharmed, and the next start of the server ends it with the same text.
func TestJobOutlivesStop(t *testing.T) {
	backends(t, 20*time.Millisecond, func(t *testing.T, p place, flags []string) {
		caught(t, func(tokens int) bool {
			prompt := fmt.Sprintf("Tell me about rivers. words=%d", 2*tokens)
			s := p.serve(t, append(flags, "--drain-timeout", "0s")...)
			calm := s.open(prompt, tokens)
			calm.rest()
			want := calm.whole()

			r := s.open(prompt, tokens)
			r.until(3)
			s.signal(syscall.SIGTERM)
			r.rest()
			if r.code != "server_restarting" && !r.over {
				t.Errorf("the stream ended with the code %q", r.code)
			}
			if code := s.join(); code != 0 {
				t.Errorf("exit code %d", code)
			}

			again := p.serve(t, flags...)
			list := again.events(r.response.Header.Get("X-Semantic-Job"))
			if got := answer(t, list); got != want || !strings.HasPrefix(got, r.text.String()) {
				t.Errorf("got %q\nwant %q\nthe stream showed %q", got, want, r.text.String())
			}
			again.signal(syscall.SIGTERM)
			if code := again.join(); code != 0 {
				t.Errorf("exit code %d of the second server", code)
			}
			return !r.over && slices.ContainsFunc(list, func(e schemas.Event) bool { return e.Requeued != nil })
		})
	})
}

// The whole server is killed: its worker does not outlive it, and the next start
// goes on where the log ends.
func TestJobOutlivesKill(t *testing.T) {
	const prompt, tokens = "Tell me about stones. words=80", 40
	p, flags := newPlace(t), simulated(20*time.Millisecond)
	s := p.serve(t, flags...)
	calm := s.open(prompt, tokens)
	calm.rest()
	want := calm.whole()

	r := s.open(prompt, tokens)
	r.until(3)
	worker := s.worker(0)
	s.signal(syscall.SIGKILL)
	s.join()
	gone := time.NewTicker(10 * time.Millisecond)
	defer gone.Stop()
	for late := time.After(patience); !errors.Is(syscall.Kill(worker, 0), syscall.ESRCH); {
		select {
		case <-gone.C:
		case <-late:
			t.Fatal("the worker outlives its parent")
		}
	}

	again := p.serve(t, flags...)
	if got := answer(t, again.events(r.response.Header.Get("X-Semantic-Job"))); got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// A second signal ends the server at once. The stream is told so; its job goes
// on at the next start.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	p, flags := newPlace(t), simulated(20*time.Millisecond)
	caught(t, func(tokens int) bool {
		s := p.serve(t, append(flags, "--drain-timeout", patience.String())...)
		r := s.open("Tell me about clouds. words=3000", 1000+tokens)
		r.until(2)
		s.signal(syscall.SIGINT)
		s.wait("it says that it waits", func() bool { return strings.Contains(s.log.String(), "Interrupt again") })
		r.until(4)
		s.signal(syscall.SIGINT)
		for r.next() {
		}
		if code := s.join(); code != 130 {
			t.Errorf("exit code %d", code)
		}
		// At once is before a stream that is held up for seconds hears of it.
		if len(s.log.lines("gateway: handlers did not return")) > 0 {
			return false
		}
		job := r.response.Header.Get("X-Semantic-Job")
		if r.code != "server_restarting" || !strings.Contains(r.said, job) || r.over || r.lines.Err() != nil {
			t.Errorf("the stream of job %s ended with the code %q: %q, %v", job, r.code, r.said, r.lines.Err())
		}
		return true
	})
}
