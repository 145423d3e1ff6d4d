package gateway

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"github.com/semantic-worker/semantic/queue"
	"github.com/semantic-worker/semantic/schemas"
)

// The official SDK, as its users write it.
func TestOfficialGoSDK(t *testing.T) {
	b := startBench(t, withKeys("sk-test"))
	b.work(func(ctx context.Context, j *claimed) {
		if j.job.Messages[0].Content == "fail" {
			j.start()
			j.delta("half")
			j.fail(schemas.CodeEngineFailed, "it broke")
			return
		}
		echo(ctx, j)
	})
	client := openai.NewClient(option.WithBaseURL(b.http.URL+"/v1"), option.WithAPIKey("sk-test"))
	params := func(content string) openai.ChatCompletionNewParams {
		return openai.ChatCompletionNewParams{
			Model:         "m",
			Messages:      []openai.ChatCompletionMessageParamUnion{openai.UserMessage(content)},
			StreamOptions: openai.ChatCompletionStreamOptionsParam{},
		}
	}

	t.Run("whole", func(t *testing.T) {
		got, err := client.Chat.Completions.New(b.context(), params("one two"))
		if err != nil {
			t.Fatal(err)
		}
		if got.Choices[0].Message.Content != "one two" || got.Usage.TotalTokens != 5 || got.Choices[0].FinishReason != "stop" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("stream", func(t *testing.T) {
		p := params("one two three")
		p.StreamOptions.IncludeUsage = openai.Bool(true)
		stream := client.Chat.Completions.NewStreaming(b.context(), p)
		defer func() { _ = stream.Close() }()
		var acc openai.ChatCompletionAccumulator
		for stream.Next() {
			if !acc.AddChunk(stream.Current()) {
				t.Errorf("a chunk that does not fit: %s", stream.Current().RawJSON())
			}
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		if acc.Choices[0].Message.Content != "one two three" || acc.Usage.CompletionTokens != 3 {
			t.Errorf("got %+v", acc.ChatCompletion)
		}
	})
	t.Run("error in mid-stream", func(t *testing.T) {
		stream := client.Chat.Completions.NewStreaming(b.context(), params("fail"))
		defer func() { _ = stream.Close() }()
		var got strings.Builder
		for stream.Next() {
			for _, c := range stream.Current().Choices {
				got.WriteString(c.Delta.Content)
			}
		}
		if err := stream.Err(); err == nil || !strings.Contains(err.Error(), "it broke") {
			t.Errorf("after %q: %v", got.String(), err)
		}
		if got.String() != "half" {
			t.Errorf("text %q", got.String())
		}
	})
	t.Run("coming back", func(t *testing.T) {
		var raw, resumed *http.Response
		stream := client.Chat.Completions.NewStreaming(b.context(), params("one two three"),
			option.WithResponseInto(&raw), option.WithHeader(headerDurable, "true"))
		if !stream.Next() {
			t.Fatal(stream.Err())
		}
		role := stream.Current() // the only chunk that was taken
		_ = stream.Close()
		job := raw.Header.Get(headerJob)
		err := client.Get(b.context(), "jobs/"+job+"/events", nil, &resumed, option.WithHeader(headerLastEventID, job+":3.0"))
		rest := ssestream.NewStream[openai.ChatCompletionChunk](ssestream.NewDecoder(resumed), err)
		defer func() { _ = rest.Close() }()
		var acc openai.ChatCompletionAccumulator
		acc.AddChunk(role)
		for rest.Next() {
			acc.AddChunk(rest.Current())
		}
		if err := rest.Err(); err != nil || acc.Choices[0].Message.Content != "one two three" {
			t.Errorf("got %+v: %v", acc.ChatCompletion, err)
		}
		var view jobView
		if err := client.Get(b.context(), "jobs/"+job, nil, &view); err != nil || view.Status != queue.StatusDone {
			t.Errorf("got %+v: %v", view, err)
		}
	})
	t.Run("models", func(t *testing.T) {
		page, err := client.Models.List(b.context())
		if err != nil || len(page.Data) != 1 || page.Data[0].ID != "m" {
			t.Errorf("got %+v: %v", page, err)
		}
		m, err := client.Models.Get(b.context(), "m")
		if err != nil || m.OwnedBy != "semantic" {
			t.Errorf("got %+v: %v", m, err)
		}
	})
	t.Run("typed error, not retried", func(t *testing.T) {
		p := params("x")
		p.Model = "nobody"
		_, err := client.Chat.Completions.New(b.context(), p)
		var apiErr *openai.Error
		if !errors.As(err, &apiErr) || apiErr.StatusCode != http.StatusNotFound || apiErr.Code != "model_not_found" || apiErr.Param != "model" {
			t.Errorf("got %v", err)
		}
		p = params("x")
		_, err = client.Chat.Completions.New(b.context(), p, option.WithHeader(headerDeadline, "1ms"))
		if err != nil && (!errors.As(err, &apiErr) || apiErr.StatusCode != http.StatusGatewayTimeout) {
			t.Errorf("got %v", err)
		}
	})
}
