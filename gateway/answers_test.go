package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/semantic-worker/semantic/schemas"
)

func (j *claimed) output(o schemas.Output, finish schemas.FinishReason) {
	j.tokens += len(o.Tokens)
	j.append(schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: o, FinishReason: finish}})
}

func (j *claimed) doneWith(o schemas.Output, finish schemas.FinishReason) {
	j.tokens += len(o.Tokens)
	j.append(schemas.Event{Type: schemas.EventDone, Done: &schemas.Done{Output: o, FinishReason: finish, Usage: j.usage()}})
}

func (b *bench) sdk() openai.Client {
	return openai.NewClient(option.WithBaseURL(b.http.URL+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
}

// everything is a worker that thinks, speaks and calls, in as many choices as
// were asked for, with log probabilities where they were.
func everything(_ context.Context, j *claimed) {
	j.start()
	n := j.job.Choices()
	logprobs := func(text string) []schemas.TokenLogprob {
		if !j.job.Logprobs {
			return nil
		}
		l := schemas.TokenLogprob{Bytes: []byte(text), Logprob: -0.5}
		for range j.job.TopLogprobs {
			l.Top = append(l.Top, schemas.TopLogprob{Token: 7, Bytes: []byte(text), Logprob: -0.5})
		}
		return []schemas.TokenLogprob{l}
	}
	for k := range n {
		text := string(rune('a' + k))
		j.output(schemas.Output{Choice: k, Tokens: []int32{1}, Reasoning: "hm", Logprobs: logprobs("hm")}, "")
		j.output(schemas.Output{Choice: k, Tokens: []int32{2}, Text: text, Logprobs: logprobs(text)}, "")
		if len(j.job.Tools) > 0 {
			j.output(schemas.Output{Choice: k, Tokens: []int32{3}, Logprobs: logprobs("{"), ToolCalls: []schemas.ToolCallDelta{
				{ID: "call_1", Name: j.job.Tools[0].Name, Arguments: `{"a":`},
			}}, "")
			j.output(schemas.Output{Choice: k, Tokens: []int32{4}, Logprobs: logprobs("}"), ToolCalls: []schemas.ToolCallDelta{
				{Arguments: `1}`}, {Index: 1, ID: "call_2", Name: j.job.Tools[0].Name, Arguments: `{}`},
			}}, "")
		}
		finish := schemas.FinishStop
		if len(j.job.Tools) > 0 {
			finish = schemas.FinishToolCalls
		}
		if k < n-1 {
			j.output(schemas.Output{Choice: k}, finish)
		} else {
			j.doneWith(schemas.Output{Choice: k}, finish)
		}
	}
}

func TestToolsByTheSDK(t *testing.T) {
	b := startBench(t)
	b.work(everything)
	client := b.sdk()
	ask := openai.ChatCompletionNewParams{
		Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
		Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f"})},
		N:     openai.Int(3), Logprobs: openai.Bool(true), TopLogprobs: openai.Int(2),
	}
	check := func(c openai.ChatCompletion) {
		t.Helper()
		if len(c.Choices) != 3 {
			t.Fatalf("%d choices", len(c.Choices))
		}
		for i, choice := range c.Choices {
			calls := choice.Message.ToolCalls
			if choice.Index != int64(i) || choice.FinishReason != "tool_calls" || choice.Message.Content != string(rune('a'+i)) || len(calls) != 2 {
				t.Fatalf("choice %d: %s", i, choice.RawJSON())
			}
			if c := calls[0]; c.ID != "call_1" || c.Type != "function" || c.Function.Name != "f" || c.Function.Arguments != `{"a":1}` {
				t.Errorf("call %+v", c)
			}
			if c := calls[1]; c.ID != "call_2" || c.Function.Arguments != `{}` {
				t.Errorf("call %+v", c)
			}
			if l := choice.Logprobs.Content; len(l) != 4 || l[0].Token != "hm" || l[0].Logprob != -0.5 ||
				len(l[0].Bytes) != 2 || len(l[0].TopLogprobs) != 2 {
				t.Errorf("logprobs %+v", l)
			}
		}
	}
	whole, err := client.Chat.Completions.New(b.context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	check(*whole)
	var message struct {
		Reasoning string `json:"reasoning_content"`
	}
	if err := json.Unmarshal([]byte(whole.Choices[0].Message.RawJSON()), &message); err != nil || message.Reasoning != "hm" {
		t.Errorf("reasoning %q, %v", message.Reasoning, err)
	}

	stream := client.Chat.Completions.NewStreaming(b.context(), ask)
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
	for i := range acc.Choices { // the accumulator leaves out the type
		for k := range acc.Choices[i].Message.ToolCalls {
			acc.Choices[i].Message.ToolCalls[k].Type = "function"
		}
	}
	check(acc.ChatCompletion)
}

func TestCompletionsByTheSDK(t *testing.T) {
	b := startBench(t)
	b.work(everything)
	client := b.sdk()
	ask := openai.CompletionNewParams{
		Model: "m", Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"x", "y"}},
		N: openai.Int(2), Logprobs: openai.Int(1),
	}
	whole, err := client.Completions.New(b.context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Choices) != 4 || whole.Object != "text_completion" || !strings.HasPrefix(whole.ID, "cmpl-") {
		t.Fatalf("got %s", whole.RawJSON())
	}
	for i, c := range whole.Choices {
		text := string(rune('a' + i))
		if c.Text != text || c.Index != int64(i) || c.FinishReason != "stop" {
			t.Errorf("choice %s", c.RawJSON())
		}
		if l := c.Logprobs; len(l.Tokens) != 2 || l.Tokens[1] != text || l.TextOffset[1] != 2 || l.TopLogprobs[1][text] != -0.5 {
			t.Errorf("logprobs %s", l.RawJSON())
		}
	}
	stream := client.Completions.NewStreaming(b.context(), ask)
	defer func() { _ = stream.Close() }()
	var texts, finish [4]string
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			texts[c.Index] += c.Text
			finish[c.Index] += string(c.FinishReason)
		}
	}
	if err := stream.Err(); err != nil || texts != [4]string{"a", "b", "c", "d"} || finish != [4]string{"stop", "stop", "stop", "stop"} {
		t.Errorf("streamed %q %q: %v", texts, finish, err)
	}
}

// What only a worker can refuse has the status of a refusal, and names the field
// as the client wrote it.
func TestWorkersRefusalsInTheClientsWords(t *testing.T) {
	const chat, completion = "/v1/chat/completions", "/v1/completions"
	for _, c := range []struct {
		path  string
		code  schemas.Code
		field string
		param string
	}{
		{chat, schemas.CodeInvalidRequest, "response_format.schema.properties.a.not", "response_format.json_schema.schema.properties.a.not"},
		{chat, schemas.CodeUnsupportedParameter, "tools[0].parameters.not", "tools[0].function.parameters.not"},
		{chat, schemas.CodeUnsupportedParameter, "chat_template_kwargs.x", "chat_template_kwargs.x"},
		{chat, schemas.CodeInvalidRequest, "grammar", "grammar"},
		{chat, schemas.CodeInvalidRequest, "logit_bias[\" the\"]", "logit_bias[\" the\"]"},
		{chat, schemas.CodeContextLengthExceeded, "messages", "messages"},
		{chat, schemas.CodeTemplateFailed, "messages", "messages"},
		{completion, schemas.CodeInvalidRequest, "prompts[0].tokens[3]", "prompt"},
		{completion, schemas.CodeContextLengthExceeded, "messages", "prompt"},
		{completion, schemas.CodeContextLengthExceeded, "prompts", "prompt"},
	} {
		for _, stream := range []bool{false, true} {
			b := startBench(t)
			b.work(func(_ context.Context, j *claimed) {
				j.append(schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{
					Code: c.code, Param: c.field, Message: c.field + ": cannot be kept",
				}})
			})
			body := chatBody("x", stream)
			if c.path == completion {
				body = `{"model":"m","prompt":"x"}`
				if stream {
					body = `{"model":"m","prompt":"x","stream":true}`
				}
			}
			got := wantError(t, b.do(http.MethodPost, c.path, body), c.code)
			if got.Param == nil || *got.Param != c.param || got.Message != c.param+": cannot be kept" {
				t.Errorf("%s %s: got %+v", c.path, c.field, got)
			}
		}
	}
}

// Refusals of the gateway's own, on the second route.
func TestCompletionsAreRefusedByName(t *testing.T) {
	b := startBench(t, expectM)
	client := b.sdk()
	_, err := client.Completions.New(b.context(), openai.CompletionNewParams{
		Model: "m", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("x")}, Suffix: openai.String("y"),
	})
	var failure *openai.Error
	if !errors.As(err, &failure) || failure.StatusCode != http.StatusBadRequest ||
		failure.Param != "suffix" || failure.Code != "unsupported_parameter" {
		t.Errorf("got %v", err)
	}
	got := wantError(t, b.do(http.MethodGet, "/v1/completions", ""), schemas.CodeMethodNotAllowed)
	if !strings.Contains(got.Message, "POST") {
		t.Errorf("message %q", got.Message)
	}
}
