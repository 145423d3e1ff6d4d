package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/cmd/semantic/internal/sse"
	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// maxEvent bounds a server-sent event, and an error's body, in bytes.
const maxEvent = 4 << 20

// HTTP asks a gateway. It is safe for concurrent use.
type HTTP struct {
	url, key, model string
	client          *http.Client
}

// NewHTTP asks the gateway at the URL, which has no path, with the API key if there
// is one. Connections are kept and as many as are needed.
func NewHTTP(url, key, model string) *HTTP {
	return &HTTP{url: url, key: key, model: model, client: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: mostOpen,
	}}}
}

// Close closes the connections that nobody uses.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// httpRequest is the body of a request.
type httpRequest struct {
	Model         string            `json:"model"`
	Messages      []schemas.Message `json:"messages"`
	MaxTokens     int               `json:"max_tokens"`
	IgnoreEOS     bool              `json:"ignore_eos,omitempty"`
	Temperature   float64           `json:"temperature"`
	Stream        bool              `json:"stream"`
	StreamOptions map[string]bool   `json:"stream_options"`
}

// Ask is that of [Target].
func (h *HTTP) Ask(ctx context.Context, r Request, piece func(Piece)) Result {
	body, err := json.Marshal(httpRequest{
		Model: h.model, Messages: r.Messages, MaxTokens: r.MaxTokens, IgnoreEOS: r.Exact, Stream: true,
		StreamOptions: map[string]bool{"include_usage": true, "continuous_usage_stats": true},
	})
	if err != nil {
		return Result{Code: CodeUnreadable}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return Result{Code: CodeUnreachable}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "semantic-bench")
	for name, value := range map[string]string{"X-Semantic-Class": string(r.Class), "X-Semantic-Agent": r.Agent} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	if h.key != "" {
		request.Header.Set("Authorization", "Bearer "+h.key)
	}
	response, err := h.client.Do(request)
	if err != nil {
		return Result{Code: CodeUnreachable}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return refusal(response)
	}
	result := readStream(response.Body, piece)
	result.Job = response.Header.Get("X-Semantic-Job")
	return result
}

// refusal is how a request ended that was not answered with 200.
func refusal(response *http.Response) Result {
	result := Result{Code: "http_" + strconv.Itoa(response.StatusCode), Job: response.Header.Get("X-Semantic-Job")}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		result.RetryAfter = time.Duration(min(seconds, int(mostTime.Seconds()))) * time.Second
	}
	var failure openai.ErrorBody
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxEvent)) // what cannot be read has no code
	if json.Unmarshal(text, &failure) == nil && failure.Error.Code != nil {
		result.Code = string(*failure.Error.Code)
	}
	return result
}

// readStream reads an answer to its end.
func readStream(body io.Reader, piece func(Piece)) Result {
	var result Result
	tokens, finished := 0, false
	events := sse.NewScanner(body, maxEvent)
	for events.Next() {
		if events.Data == openai.DoneData {
			if !finished {
				result.Code = CodeUnreadable
			}
			return result
		}
		var chunk struct {
			openai.ChatCompletionChunk
			Error *openai.Error `json:"error"`
		}
		if json.Unmarshal([]byte(events.Data), &chunk) != nil {
			result.Code = CodeUnreadable
			return result
		}
		if chunk.Error != nil {
			result.Code = CodeUnreadable
			if chunk.Error.Code != nil {
				result.Code = string(*chunk.Error.Code)
			}
			return result
		}
		p := Piece{}
		if u := chunk.Usage; u != nil {
			p.Tokens, tokens = max(u.CompletionTokens-tokens, 0), max(u.CompletionTokens, tokens)
			result.Usage = &schemas.Usage{PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens}
			if d := u.PromptTokensDetails; d != nil {
				result.Usage.CachedTokens = d.CachedTokens
			}
		}
		for _, c := range chunk.Choices {
			p.Text += textOf(c.Delta)
			finished = finished || c.FinishReason != nil
		}
		if chunk.Timings != nil {
			result.Timings = chunk.Timings
		}
		piece(p)
	}
	result.Code = CodeBroken
	return result
}

// textOf is everything that a chunk says.
func textOf(d openai.Delta) string {
	parts := []string{d.ReasoningContent}
	if d.Content != nil {
		parts = append(parts, *d.Content)
	}
	for _, call := range d.ToolCalls {
		parts = append(parts, call.Function.Name, call.Function.Arguments)
	}
	return strings.Join(parts, "")
}
