package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/semantic-worker/semantic/engine/enginetest"
)

// conversation is what a client library made of a server's answers.
type conversation struct {
	Models      []string `json:"models"`
	Whole       string   `json:"whole"`
	WholeFinish string   `json:"whole_finish"`
	WholeTokens int64    `json:"whole_tokens"`
	Text        string   `json:"text"`
	Finish      string   `json:"finish"`
	Tokens      int64    `json:"tokens"`
	Chunks      int      `json:"chunks"`
	Refusal     *struct {
		Param string `json:"param"`
		Code  string `json:"code"`
	} `json:"refusal"`
	Unknown string `json:"unknown"`
}

const sdkPrompt = "Say something nice. words=60"

// dependencies is where deps.sh put the clients.
func dependencies(t *testing.T) string {
	t.Helper()
	enginetest.Native(t) // the one place that says how to get everything
	dir := os.Getenv("SEMANTIC_TEST_DEPS")
	if dir == "" {
		t.Fatal("SEMANTIC_TEST_DEPS is not set: run `make e2e`, or cmd/semantic/e2e/deps.sh DIR and set it to DIR")
	}
	return dir
}

// program runs a client program and decodes what it prints.
func program(t *testing.T, into any, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestSDKs(t *testing.T) {
	deps := dependencies(t)
	clients := map[string]func(t *testing.T, s *server) conversation{
		"go": goClient,
		"python": func(t *testing.T, s *server) conversation {
			var c conversation
			program(t, &c, filepath.Join(deps, "python", "bin", "python"), "testdata/python/chat.py", s.HTTP, s.Model, sdkPrompt)
			return c
		},
		"node": func(t *testing.T, s *server) conversation {
			var c conversation
			program(t, &c, "node", "testdata/node/chat.mjs", filepath.Join(deps, "node"), s.HTTP, s.Model, sdkPrompt)
			return c
		},
	}
	backends(t, 5*time.Millisecond, func(t *testing.T, p place, flags []string) {
		s := p.serve(t, flags...)
		var texts []string
		for name, client := range clients {
			t.Run(name, func(t *testing.T) {
				c := client(t, s)
				texts = append(texts, c.Text)
				if c.Whole == "" || c.Whole != c.Text {
					t.Errorf("streamed %q, whole %q", c.Text, c.Whole)
				}
				if c.Finish != c.WholeFinish || c.Finish != "length" && c.Finish != "stop" || c.Tokens != c.WholeTokens || c.Tokens == 0 {
					t.Errorf("streamed: %s, %d tokens; whole: %s, %d tokens", c.Finish, c.Tokens, c.WholeFinish, c.WholeTokens)
				}
				if c.Chunks < 2 {
					t.Errorf("%d chunks are no stream", c.Chunks)
				}
				if !slices.Contains(c.Models, s.Model) {
					t.Errorf("models %q, want %q among them", c.Models, s.Model)
				}
				if c.Refusal == nil || c.Refusal.Param != "verbosity" || c.Refusal.Code != "unsupported_parameter" {
					t.Errorf("verbosity: %+v", c.Refusal)
				}
				if c.Unknown != "model_not_found" {
					t.Errorf("unknown model: code %q", c.Unknown)
				}
			})
		}
		if slices.Sort(texts); len(slices.Compact(texts)) != 1 {
			t.Errorf("the same question at temperature 0 got different answers: %q", texts)
		}
	})
}

func goClient(t *testing.T, s *server) conversation {
	t.Helper()
	client := openai.NewClient(option.WithBaseURL(s.HTTP+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	ask := openai.ChatCompletionNewParams{
		Model: s.Model, Temperature: openai.Float(0), MaxTokens: openai.Int(24),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(sdkPrompt)},
	}
	var c conversation
	whole, err := client.Chat.Completions.New(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	c.Whole, c.WholeFinish, c.WholeTokens = whole.Choices[0].Message.Content, whole.Choices[0].FinishReason, whole.Usage.CompletionTokens

	streamed := ask
	streamed.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(t.Context(), streamed)
	for stream.Next() {
		chunk := stream.Current()
		for _, choice := range chunk.Choices {
			c.Text += choice.Delta.Content
			c.Finish += choice.FinishReason
			if choice.Delta.Content != "" {
				c.Chunks++
			}
		}
		if chunk.Usage.CompletionTokens > 0 {
			c.Tokens = chunk.Usage.CompletionTokens
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}

	refused := ask
	refused.Verbosity = openai.ChatCompletionNewParamsVerbosityLow
	var failure *openai.Error
	if _, err := client.Chat.Completions.New(t.Context(), refused); errors.As(err, &failure) && failure.StatusCode == http.StatusBadRequest {
		c.Refusal = &struct {
			Param string `json:"param"`
			Code  string `json:"code"`
		}{failure.Param, failure.Code}
	}
	elsewhere := ask
	elsewhere.Model = "no-such-model"
	if _, err := client.Chat.Completions.New(t.Context(), elsewhere); errors.As(err, &failure) && failure.StatusCode == http.StatusNotFound {
		c.Unknown = failure.Code
	}
	models := client.Models.ListAutoPaging(t.Context())
	for models.Next() {
		c.Models = append(c.Models, models.Current().ID)
	}
	if err := models.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}
