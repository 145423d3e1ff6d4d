package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// features is what a client library made of answers that are more than text.
type features struct {
	Whole    madeCall `json:"whole"`
	Streamed madeCall `json:"streamed"`
	Named    madeCall `json:"named"`
	// Answer is to a conversation that goes on behind a call.
	Answer         string `json:"answer"`
	Parsed         person `json:"parsed"`
	ParsedStreamed person `json:"parsed_streamed"`

	Logprobs        int    `json:"logprobs"`
	LogprobsTop     int    `json:"logprobs_top"`
	LogprobsText    string `json:"logprobs_text"`
	LogprobsContent string `json:"logprobs_content"`
	Tokens          int    `json:"tokens"`

	Three         []string `json:"three"`
	ThreeStreamed []string `json:"three_streamed"`

	Completions         []string `json:"completions"`
	CompletionsStreamed []string `json:"completions_streamed"`
	CompletionsEchoed   []string `json:"completions_echoed"`
	CompletionsLogprobs []int    `json:"completions_logprobs"`
	CompletionsTokens   int      `json:"completions_tokens"`

	Refusal *struct {
		Param string `json:"param"`
		Code  string `json:"code"`
	} `json:"refusal"`
}

type madeCall struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Name      string `json:"name"`
	Arguments struct {
		City string `json:"city"`
		Days int    `json:"days"`
	} `json:"arguments"`
	Calls  int    `json:"calls"`
	Finish string `json:"finish"`
}

type person struct {
	Name     string `json:"name"`
	Mood     string `json:"mood"`
	Children int    `json:"children"`
}

// The official SDKs, as their users write them: tools, JSON Schema, log
// probabilities, several choices, completions; whole and streamed.
func TestFeaturesBySDKs(t *testing.T) {
	deps := dependencies(t)
	clients := map[string]func(t *testing.T, s *server) features{
		"go": goFeatures,
		"python": func(t *testing.T, s *server) features {
			var f features
			program(t, &f, filepath.Join(deps, "python", "bin", "python"), "testdata/python/features.py", s.HTTP, s.Model)
			return f
		},
		"node": func(t *testing.T, s *server) features {
			var f features
			program(t, &f, "node", "testdata/node/features.mjs", filepath.Join(deps, "node"), s.HTTP, s.Model)
			return f
		},
	}
	backends(t, time.Millisecond, func(t *testing.T, p place, flags []string) {
		s := p.serve(t, flags...)
		for name, client := range clients {
			t.Run(name, func(t *testing.T) { client(t, s).check(t) })
		}
	})
}

func (f features) check(t *testing.T) {
	t.Helper()
	ids := map[string]bool{}
	for way, c := range map[string]madeCall{"whole": f.Whole, "streamed": f.Streamed, "named": f.Named} {
		if c.Type != "function" || c.Name != "get_weather" || c.Calls != 1 || c.Finish != "tool_calls" {
			t.Errorf("%s call: %+v", way, c)
		}
		if !slices.Contains([]string{"Paris", "Rome"}, c.Arguments.City) || c.Arguments.Days < 1 || c.Arguments.Days > 3 {
			t.Errorf("%s call: arguments %+v", way, c.Arguments)
		}
		if c.ID == "" || ids[c.ID] {
			t.Errorf("%s call: id %q", way, c.ID)
		}
		ids[c.ID] = true
	}
	if f.Whole.Arguments != f.Streamed.Arguments {
		t.Errorf("whole %+v, streamed %+v", f.Whole.Arguments, f.Streamed.Arguments)
	}
	if f.Answer == "" {
		t.Error("no answer behind a call")
	}
	if f.Parsed.Mood != "glad" && f.Parsed.Mood != "sad" || f.Parsed != f.ParsedStreamed {
		t.Errorf("parsed %+v, streamed %+v", f.Parsed, f.ParsedStreamed)
	}
	if f.Logprobs == 0 || f.Logprobs != f.Tokens || f.LogprobsTop != 3 || f.LogprobsText != f.LogprobsContent {
		t.Errorf("logprobs: %d of %d tokens, at least %d alternatives, %q for %q",
			f.Logprobs, f.Tokens, f.LogprobsTop, f.LogprobsText, f.LogprobsContent)
	}
	if len(f.Three) != 3 || !slices.Equal(f.Three, f.ThreeStreamed) || f.Three[0] == f.Three[1] && f.Three[1] == f.Three[2] {
		t.Errorf("three choices: %q, streamed %q", f.Three, f.ThreeStreamed)
	}
	if len(f.Completions) != 2 || !slices.Equal(f.Completions, f.CompletionsStreamed) || len(f.CompletionsEchoed) != 2 {
		t.Fatalf("completions %q, streamed %q, echoed %q", f.Completions, f.CompletionsStreamed, f.CompletionsEchoed)
	}
	sum := 0
	for i, prompt := range []string{"one two", "three four"} {
		if f.CompletionsEchoed[i] != prompt+f.Completions[i] || f.Completions[i] == "" {
			t.Errorf("completion %q, with its prompt %q", f.Completions[i], f.CompletionsEchoed[i])
		}
		sum += f.CompletionsLogprobs[i]
	}
	if sum != f.CompletionsTokens {
		t.Errorf("completions: %d log probabilities of %d tokens", sum, f.CompletionsTokens)
	}
	if f.Refusal == nil || f.Refusal.Code != "invalid_request" && f.Refusal.Code != "unsupported_parameter" ||
		!strings.HasPrefix(f.Refusal.Param, "response_format.json_schema.schema") || !strings.Contains(f.Refusal.Param, "not") {
		t.Errorf("refusal %+v", f.Refusal)
	}
}

func goFeatures(t *testing.T, s *server) features {
	t.Helper()
	client := openai.NewClient(option.WithBaseURL(s.HTTP+"/v1"), option.WithAPIKey("none"), option.WithMaxRetries(0))
	var f features
	goTools(t, client, s.Model, &f)
	goFormats(t, client, s.Model, &f)
	goChoices(t, client, s.Model, &f)
	goCompletions(t, client, s.Model, &f)
	return f
}

func user(text string) []openai.ChatCompletionMessageParamUnion {
	return []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}
}

// chatOf asks and wants an answer.
func chatOf(t *testing.T, client openai.Client, ask openai.ChatCompletionNewParams) *openai.ChatCompletion {
	t.Helper()
	c, err := client.Chat.Completions.New(t.Context(), ask)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// streamOf does so by a stream, put together by the SDK.
func streamOf(t *testing.T, client openai.Client, ask openai.ChatCompletionNewParams) *openai.ChatCompletion {
	t.Helper()
	stream := client.Chat.Completions.NewStreaming(t.Context(), ask)
	defer func() { _ = stream.Close() }()
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			t.Errorf("a chunk that does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return &all.ChatCompletion
}

func goTools(t *testing.T, client openai.Client, model string, f *features) {
	t.Helper()
	ask := openai.ChatCompletionNewParams{
		Model: model, Messages: user("How is the weather in Rome?"), Temperature: openai.Float(0), MaxTokens: openai.Int(200),
		ParallelToolCalls: openai.Bool(false),
		Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
			Name: "get_weather", Description: openai.String("The weather of a city."), Strict: openai.Bool(true),
			Parameters: openai.FunctionParameters{
				"type": "object",
				"properties": map[string]any{
					"city": map[string]any{"type": "string", "enum": []string{"Paris", "Rome"}},
					"days": map[string]any{"type": "integer", "minimum": 1, "maximum": 3},
				},
				"required": []string{"city", "days"}, "additionalProperties": false,
			},
		})},
	}
	callOf := func(c *openai.ChatCompletion) (made madeCall) {
		calls := c.Choices[0].Message.ToolCalls
		made.Calls, made.Finish = len(calls), c.Choices[0].FinishReason
		if len(calls) == 0 {
			return made
		}
		made.ID, made.Type, made.Name = calls[0].ID, "function", calls[0].Function.Name
		if err := json.Unmarshal([]byte(calls[0].Function.Arguments), &made.Arguments); err != nil {
			t.Errorf("arguments %q: %v", calls[0].Function.Arguments, err)
		}
		return made
	}
	ask.ToolChoice.OfAuto = openai.String("required")
	whole := chatOf(t, client, ask)
	f.Whole, f.Streamed = callOf(whole), callOf(streamOf(t, client, ask))
	named := ask
	named.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "get_weather"})
	f.Named = callOf(chatOf(t, client, named))

	after := ask
	after.Messages = append(user("How is the weather in Rome?"), whole.Choices[0].Message.ToParam(), openai.ToolMessage("Sunny.", f.Whole.ID))
	after.ToolChoice.OfAuto, after.MaxTokens = openai.String("none"), openai.Int(8)
	f.Answer = chatOf(t, client, after).Choices[0].Message.Content
}

func goFormats(t *testing.T, client openai.Client, model string, f *features) {
	t.Helper()
	format := func(schema any) openai.ChatCompletionNewParamsResponseFormatUnion {
		return openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Strict: openai.Bool(true), Schema: schema},
		}}
	}
	ask := openai.ChatCompletionNewParams{
		Model: model, Messages: user("Who are you?"), Temperature: openai.Float(0), MaxTokens: openai.Int(300),
		ResponseFormat: format(map[string]any{
			"type": "object",
			"properties": map[string]any{
				"name": map[string]any{"type": "string", "maxLength": 12}, "children": map[string]any{"type": "integer"},
				"mood": map[string]any{"type": "string", "enum": []string{"glad", "sad"}},
			},
			"required": []string{"name", "mood", "children"}, "additionalProperties": false,
		}),
	}
	for c, into := range map[*openai.ChatCompletion]*person{chatOf(t, client, ask): &f.Parsed, streamOf(t, client, ask): &f.ParsedStreamed} {
		if err := json.Unmarshal([]byte(c.Choices[0].Message.Content), into); err != nil {
			t.Errorf("%s: %v", c.Choices[0].Message.Content, err)
		}
	}
	ask.ResponseFormat = format(map[string]any{
		"type": "object", "properties": map[string]any{"a": map[string]any{"not": map[string]any{"type": "string"}}},
	})
	var failure *openai.Error
	if _, err := client.Chat.Completions.New(t.Context(), ask); errors.As(err, &failure) && failure.StatusCode == http.StatusBadRequest {
		f.Refusal = &struct {
			Param string `json:"param"`
			Code  string `json:"code"`
		}{failure.Param, failure.Code}
	}
}

func goChoices(t *testing.T, client openai.Client, model string, f *features) {
	t.Helper()
	ask := openai.ChatCompletionNewParams{Model: model, Messages: user("Say something. words=9"), MaxTokens: openai.Int(12)}
	probs := ask
	probs.Temperature, probs.Logprobs, probs.TopLogprobs = openai.Float(0), openai.Bool(true), openai.Int(3)
	c := chatOf(t, client, probs)
	entries := c.Choices[0].Logprobs.Content
	f.Logprobs, f.LogprobsTop, f.Tokens = len(entries), 20, int(c.Usage.CompletionTokens)
	f.LogprobsContent = c.Choices[0].Message.Content
	var text []byte
	for _, e := range entries {
		f.LogprobsTop = min(f.LogprobsTop, len(e.TopLogprobs))
		for _, b := range e.Bytes {
			text = append(text, byte(b))
		}
	}
	f.LogprobsText = string(text)

	ask.N, ask.Temperature, ask.Seed = openai.Int(3), openai.Float(1), openai.Int(7)
	for _, choice := range chatOf(t, client, ask).Choices {
		f.Three = append(f.Three, choice.Message.Content)
	}
	for _, choice := range streamOf(t, client, ask).Choices {
		f.ThreeStreamed = append(f.ThreeStreamed, choice.Message.Content)
	}
}

func goCompletions(t *testing.T, client openai.Client, model string, f *features) {
	t.Helper()
	ask := openai.CompletionNewParams{
		Model: openai.CompletionNewParamsModel(model), MaxTokens: openai.Int(8), Temperature: openai.Float(0),
		Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"one two", "three four"}},
	}
	answer := func(ask openai.CompletionNewParams) *openai.Completion {
		c, err := client.Completions.New(t.Context(), ask)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	probs, echo := ask, ask
	probs.Logprobs, echo.Echo = openai.Int(2), openai.Bool(true)
	c := answer(probs)
	for _, choice := range c.Choices {
		f.Completions = append(f.Completions, choice.Text)
		f.CompletionsLogprobs = append(f.CompletionsLogprobs, len(choice.Logprobs.Tokens))
	}
	f.CompletionsTokens = int(c.Usage.CompletionTokens)
	for _, choice := range answer(echo).Choices {
		f.CompletionsEchoed = append(f.CompletionsEchoed, choice.Text)
	}
	stream := client.Completions.NewStreaming(t.Context(), ask)
	defer func() { _ = stream.Close() }()
	f.CompletionsStreamed = make([]string, 2)
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			f.CompletionsStreamed[choice.Index] += choice.Text
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
}
