package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/semantic-worker/semantic/schemas"
)

const (
	chunkOne  = `{"id":"x","choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`
	chunkTwo  = `{"id":"x","choices":[{"index":0,"delta":{"content":"bc"}}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`
	chunkEnd  = `{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"timings":{"queued_ms":7,"prefill_ms":8,"decode_ms":9}}`
	chunkUse  = `{"id":"x","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}}`
	chunkFail = `{"error":{"message":"m","type":"t","code":"worker_lost"}}`
)

func stream(chunks ...string) string { return "data: " + strings.Join(chunks, "\n\ndata: ") + "\n\n" }

// What a gateway can answer, and what is made of it.
func TestHTTP(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		header     map[string]string
		code       string
		tokens     []int
		retry      time.Duration
	}{
		{"an answer", stream(chunkOne, chunkTwo, chunkEnd, chunkUse, "[DONE]"), 200, nil, "", []int{1, 2}, 0},
		{"a failure in mid-answer", stream(chunkOne, chunkFail), 200, nil, "worker_lost", []int{1}, 0},
		{"a failure without code", stream(`{"error":{"message":"m"}}`), 200, nil, CodeUnreadable, nil, 0},
		{"an end that breaks off", stream(chunkOne) + "data: [DO", 200, nil, CodeBroken, []int{1}, 0},
		{"an end without reason", stream(chunkOne, "[DONE]"), 200, nil, CodeUnreadable, []int{1}, 0},
		{"nonsense", stream("what"), 200, nil, CodeUnreadable, nil, 0},
		{"no stream", "{}", 200, nil, CodeBroken, nil, 0},
		{
			"a refusal", `{"error":{"message":"m","type":"t","code":"queue_full"}}`, 429, map[string]string{"Retry-After": "3"},
			"queue_full", nil, 3 * time.Second,
		},
		{"a proxy", "<html>", 502, map[string]string{"Retry-After": "soon"}, "http_502", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked *http.Request
			var body []byte
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = r
				body, _ = io.ReadAll(r.Body)
				w.Header().Set("X-Semantic-Job", "job-1")
				for name, value := range c.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			defer gateway.Close()
			h := NewHTTP(gateway.URL, "key", "m")
			defer h.Close()
			var tokens []int
			request := Request{Messages: say("hi"), MaxTokens: 3, Exact: true, Class: schemas.ClassBatch, Agent: "anna"}
			result := h.Ask(t.Context(), request, func(p Piece) {
				if p.Tokens > 0 {
					tokens = append(tokens, p.Tokens)
				}
			})
			if result.Code != c.code || result.Job != "job-1" || result.RetryAfter != c.retry || len(tokens) != len(c.tokens) {
				t.Errorf("%+v, tokens %v", result, tokens)
			}
			for i := range tokens {
				if tokens[i] != c.tokens[i] {
					t.Errorf("tokens %v, want %v", tokens, c.tokens)
				}
			}
			usage := schemas.Usage{PromptTokens: 5, CompletionTokens: 3, CachedTokens: 4}
			if c.code == "" && (*result.Usage != usage || result.Timings.QueuedMS != 7) {
				t.Errorf("%+v, %+v", result.Usage, result.Timings)
			}
			for name, want := range map[string]string{"Authorization": "Bearer key", "X-Semantic-Class": "batch", "X-Semantic-Agent": "anna"} {
				if got := asked.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			want := `{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":3,"ignore_eos":true,"temperature":0,"stream":true,` +
				`"stream_options":{"continuous_usage_stats":true,"include_usage":true}}`
			if string(body) != want {
				t.Errorf("%s, want %s", body, want)
			}
		})
	}
}

// Nobody there, and a context that ends.
func TestHTTPUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	h := NewHTTP(gone.URL, "", "m")
	defer h.Close()
	if r := h.Ask(t.Context(), Request{Messages: say("hi"), MaxTokens: 1}, func(Piece) {}); r.Code != CodeUnreachable {
		t.Errorf("%+v", r)
	}
	begun := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.(http.Flusher).Flush() //nolint:forcetypeassert // net/http's own
		close(begun)
		<-r.Context().Done()
	}))
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	h = NewHTTP(silent.URL, "", "m")
	defer h.Close()
	if r := h.Ask(ctx, Request{Messages: say("hi"), MaxTokens: 1}, func(Piece) {}); r.Code == "" {
		t.Errorf("%+v", r)
	}
}
