package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// maxEvent bounds one server-sent event, and an error's body, in bytes.
const maxEvent = 4 << 20

// chatClient speaks to a gateway. It is safe for concurrent use.
type chatClient struct {
	base   string
	key    string
	client *http.Client
	// note says to the user what happens beside the answer.
	note func(format string, args ...any)
}

func newChatClient(base, key string, note func(format string, args ...any)) *chatClient {
	return &chatClient{
		note: note,
		base: strings.TrimSuffix(strings.TrimSuffix(base, "/"), "/v1"), key: key,
		// No limit on a whole answer: it may wait in the queue for long. What the
		// gateway sends first, it sends soon.
		client: &http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 60 * time.Second,
			ForceAttemptHTTP2:     true,
		}},
	}
}

func (c *chatClient) close() { c.client.CloseIdleConnections() }

// turn is one message of a conversation.
type turn struct {
	Role    schemas.Role `json:"role"`
	Content string       `json:"content"`
}

// chatRequest is what chat asks for.
type chatRequest struct {
	Model       string   `json:"model"`
	Messages    []turn   `json:"messages"`
	Temperature *float64 `json:"temperature,omitempty"`
	TopP        *float64 `json:"top_p,omitempty"`
	Seed        *int64   `json:"seed,omitempty"`
	MaxTokens   *int     `json:"max_tokens,omitempty"`
	Stream      bool     `json:"stream"`
	// ResponseFormat and Grammar are what every answer keeps to.
	ResponseFormat *responseFormat `json:"response_format,omitempty"`
	Grammar        string          `json:"grammar,omitempty"`
}

type responseFormat struct {
	Type       string      `json:"type"`
	JSONSchema namedSchema `json:"json_schema"`
}

type namedSchema struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
}

// models lists the gateway's models.
func (c *chatClient) models(ctx context.Context) ([]openai.Model, error) {
	response, err := c.do(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var list openai.ModelList
	if err := json.NewDecoder(io.LimitReader(response.Body, maxEvent)).Decode(&list); err != nil {
		return nil, withHint(fmt.Errorf("%s does not answer like a gateway of semantic: %w", c.base, err), "--url names another one.")
	}
	return list.Data, nil
}

// model is the one that answers where the user named none.
func (c *chatClient) model(ctx context.Context) (string, error) {
	list, err := c.models(ctx)
	if err != nil {
		return "", err
	}
	var all, ready []string
	for _, m := range list {
		all = append(all, m.ID)
		if m.Semantic.Status == openai.StatusReady {
			ready = append(ready, m.ID)
		}
	}
	return onlyModel(all, ready)
}

// onlyModel chooses among the known models: the one that is served now, or the
// only one.
func onlyModel(all, ready []string) (string, error) {
	switch {
	case len(ready) == 1:
		return ready[0], nil
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return "", withHint(errors.New("no worker has announced a model yet"), "Start one: `semantic serve` or `semantic worker`.")
	}
	slices.Sort(all)
	return "", &usageError{err: withHint(fmt.Errorf("there are %d models: %s", len(all), strings.Join(all, ", ")), "Choose one with --model.")}
}

// do makes a request; what is not 200 is an error. Header pairs follow the body.
func (c *chatClient) do(ctx context.Context, method, path string, body []byte, headers ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, &usageError{err: err}
	}
	request.Header.Set("User-Agent", "semantic-chat")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx) //nolint:wrapcheck // the signal is the whole reason
		}
		if inner := new(url.Error); errors.As(err, &inner) {
			err = inner.Err // without the method and the URL again
		}
		return nil, withHint(&brokenError{fmt.Errorf("no gateway at %s: %w", c.base, err)},
			"Is `semantic serve` running? --url names another gateway.")
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	var failure openai.ErrorBody
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxEvent))
	if json.Unmarshal(text, &failure) != nil || failure.Error.Message == "" {
		err := fmt.Errorf("the gateway answered %s", response.Status)
		if response.StatusCode >= http.StatusInternalServerError { // of a proxy, before a gateway that is away
			return nil, &brokenError{err}
		}
		return nil, err
	}
	return nil, apiError(&failure.Error)
}

// apiError is an error of the gateway with what to do about it here.
func apiError(e *openai.Error) error {
	if e.Code == nil {
		return e
	}
	switch *e.Code {
	case schemas.CodeServerRestarting, schemas.CodeQueueUnavailable, schemas.CodeTooManyStreams:
		return &brokenError{e}
	case schemas.CodeUnauthorized:
		return withHint(e, "Give an API key with --api-key or SEMANTIC_API_KEY.")
	case schemas.CodeModelNotFound:
		return withHint(e, "Choose a model with --model.")
	default:
		return e
	}
}
