package openai_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func ptr[T any](v T) *T { return &v }

func TestEverythingHonouredReachesTheJob(t *testing.T) {
	req, err := decode(`{
		"model": "m", "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "typical_p": 0.8, "seed": -3,
		"presence_penalty": 0.5, "frequency_penalty": -0.5, "repeat_penalty": 1.1, "repeat_last_n": 32,
		"logit_bias": {"7": -100, "the": 2.5}, "n": 3, "logprobs": true, "top_logprobs": 5,
		"max_tokens": 10, "max_completion_tokens": 10, "min_tokens": 2, "ignore_eos": true,
		"stop": ["a", "b"], "stop_token_ids": [3, 4], "stream": true,
		"stream_options": {"include_usage": true, "continuous_usage_stats": true},
		"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": true, "schema": {"type": "object", "b": 1.50}}},
		"tools": [{"type": "function", "function": {
			"name": "f", "description": "does it", "strict": true, "parameters": {"type": "object", "properties": {}}}},
			{"function": {"name": "g"}}],
		"tool_choice": "auto", "parallel_tool_calls": false,
		"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": false},
		"service_tier": "flex", "user": "someone", "prompt_cache_key": "agent-1",
		"messages": [
			{"role": "system", "content": "be brief"},
			{"role": "developer", "content": "be kind"},
			{"role": "user", "content": [{"type": "text", "text": "say "}, {"type": "text", "text": "hi"}], "name": "ann"},
			{"role": "assistant", "content": "hi", "refusal": null, "tool_calls": []},
			{"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
				{"id": "call-1", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{\"a\": 1.0}"}},
				{"id": "call-2", "function": {"name": "g", "arguments": ""}}]},
			{"role": "tool", "content": "42", "tool_call_id": "call-1"}
		]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := schemas.Job{
		Version: schemas.Version, Kind: schemas.KindChat, Model: "m",
		Messages: []schemas.Message{
			{Role: schemas.RoleSystem, Content: "be brief"},
			{Role: schemas.RoleDeveloper, Content: "be kind"},
			{Role: schemas.RoleUser, Content: "say hi", Name: "ann"},
			{Role: schemas.RoleAssistant, Content: "hi"},
			{Role: schemas.RoleAssistant, Reasoning: "hm", ToolCalls: []schemas.ToolCall{
				{ID: "call-1", Name: "f", Arguments: `{"a": 1.0}`}, {ID: "call-2", Name: "g", Arguments: "{}"},
			}},
			{Role: schemas.RoleTool, Content: "42", ToolCallID: "call-1"},
		},
		Temperature: ptr(0.5), TopP: ptr(0.9), TopK: ptr(40), MinP: ptr(0.05), TypicalP: ptr(0.8), Seed: ptr(int64(-3)),
		PresencePenalty: ptr(0.5), FrequencyPenalty: ptr(-0.5), RepeatPenalty: ptr(1.1), RepeatLastN: ptr(32),
		LogitBias: map[string]float64{"7": -100, "the": 2.5}, N: ptr(3), Logprobs: true, TopLogprobs: 5,
		MaxTokens: ptr(10), MinTokens: ptr(2), IgnoreEOS: true, Stop: []string{"a", "b"}, StopTokens: []int32{3, 4},
		ResponseFormat: &schemas.ResponseFormat{Type: schemas.FormatJSONSchema, Name: "x", Schema: []byte(`{"type":"object","b":1.50}`)},
		Tools: []schemas.Tool{
			{Name: "f", Description: "does it", Strict: true, Parameters: []byte(`{"type":"object","properties":{}}`)}, {Name: "g"},
		},
		ToolChoice: &schemas.ToolChoice{Mode: schemas.ToolAuto}, ParallelToolCalls: ptr(false),
		ReasoningEffort: "low", TemplateVars: map[string]json.RawMessage{"enable_thinking": []byte("false")},
		Agent: "agent-1",
		API:   &schemas.API{Format: schemas.FormatOpenAIChat, Stream: true, IncludeUsage: true, ContinuousUsage: true},
	}
	if got := req.Job(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if req.Class != schemas.ClassBatch {
		t.Errorf("flex is class %s", req.Class)
	}
}

func TestCompletionReachesTheJob(t *testing.T) {
	api := &schemas.API{Format: schemas.FormatOpenAICompletions}
	base := schemas.Job{Version: schemas.Version, Kind: schemas.KindCompletion, Model: "m", MaxTokens: ptr(16), API: api}
	text := schemas.Prompt{Text: "a"}
	for doc, change := range map[string]func(*schemas.Job){
		`"prompt":"a"`:                   func(j *schemas.Job) { j.Prompts = []schemas.Prompt{text} },
		`"prompt":["a","b"]`:             func(j *schemas.Job) { j.Prompts = []schemas.Prompt{text, {Text: "b"}} },
		`"prompt":[1,2]`:                 func(j *schemas.Job) { j.Prompts = []schemas.Prompt{{Tokens: []int32{1, 2}}} },
		`"prompt":[[1],[2]]`:             func(j *schemas.Job) { j.Prompts = []schemas.Prompt{{Tokens: []int32{1}}, {Tokens: []int32{2}}} },
		`"prompt":["a",[2]],"suffix":""`: func(j *schemas.Job) { j.Prompts = []schemas.Prompt{text, {Tokens: []int32{2}}} },
		`"prompt":"a","logprobs":0`:      func(j *schemas.Job) { j.Prompts, j.Logprobs = []schemas.Prompt{text}, true },
		`"prompt":"a","logprobs":5`:      func(j *schemas.Job) { j.Prompts, j.Logprobs, j.TopLogprobs = []schemas.Prompt{text}, true, 5 },
		`"prompt":"a","n":2,"best_of":2,"echo":true`: func(j *schemas.Job) {
			j.Prompts, j.N, j.Echo = []schemas.Prompt{text}, ptr(2), true
		},
		`"prompt":"a","min_tokens":20`: func(j *schemas.Job) { j.Prompts, j.MinTokens, j.MaxTokens = []schemas.Prompt{text}, ptr(20), ptr(20) },
		`"prompt":"a","max_tokens":3,"repetition_penalty":1.2`: func(j *schemas.Job) {
			j.Prompts, j.MaxTokens, j.RepeatPenalty, j.RepeatLastN = []schemas.Prompt{text}, ptr(3), ptr(1.2), ptr(-1)
		},
	} {
		req, err := decodeCompletion(`{"model":"m",` + doc + `}`)
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		want := base
		change(&want)
		if got := req.Job(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", doc, got, want)
		}
	}
}

func TestCompletionRefusals(t *testing.T) {
	for doc, want := range map[string]struct {
		field string
		code  schemas.Code
	}{
		`"max_tokens":1`:                        {"prompt", schemas.CodeInvalidRequest},
		`"prompt":null`:                         {"prompt", schemas.CodeInvalidRequest},
		`"prompt":""`:                           {"prompt", schemas.CodeInvalidRequest},
		`"prompt":[]`:                           {"prompt", schemas.CodeInvalidRequest},
		`"prompt":[[]]`:                         {"prompt[0]", schemas.CodeInvalidRequest},
		`"prompt":["a",""]`:                     {"prompt[1]", schemas.CodeInvalidRequest},
		`"prompt":[1,"a"]`:                      {"prompt[1]", schemas.CodeInvalidRequest},
		`"prompt":[[1],[-1]]`:                   {"prompt[1][0]", schemas.CodeInvalidRequest},
		`"prompt":{}`:                           {"prompt", schemas.CodeInvalidRequest},
		`"prompt":["a","b","c"],"n":6`:          {"n", schemas.CodeInvalidRequest},
		`"prompt":"a","best_of":2`:              {"best_of", schemas.CodeUnsupportedParameter},
		`"prompt":"a","suffix":"b"`:             {"suffix", schemas.CodeUnsupportedParameter},
		`"prompt":"a","logprobs":6`:             {"logprobs", schemas.CodeInvalidRequest},
		`"prompt":"a","logprobs":true`:          {"logprobs", schemas.CodeInvalidRequest},
		`"prompt":"a","logprobs":1,"echo":true`: {"echo", schemas.CodeUnsupportedParameter},
		`"prompt":"a","tools":[]`:               {"tools", schemas.CodeUnknownParameter},
		`"prompt":"a","prompt_logprobs":1`:      {"prompt_logprobs", schemas.CodeUnsupportedParameter},
	} {
		_, err := decodeCompletion(`{"model":"m",` + doc + `}`)
		var fe *schemas.FieldError
		if !errors.As(err, &fe) || fe.Field != want.field || fe.Code != want.code {
			t.Errorf("%s: got %v, want %s for %q", doc, err, want.code, want.field)
		}
	}
}

func TestToolChoice(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"f"}}]`
	for choice, want := range map[string]*schemas.ToolChoice{
		`"auto"`:     {Mode: schemas.ToolAuto},
		`"none"`:     {Mode: schemas.ToolNone},
		`"required"`: {Mode: schemas.ToolRequired},
		`null`:       nil,
		`{"type":"function","function":{"name":"f"}}`: {Mode: schemas.ToolFunction, Name: "f"},
	} {
		req, err := decode(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + tools + `,"tool_choice":` + choice + `}`)
		if err != nil || !reflect.DeepEqual(req.Job().ToolChoice, want) {
			t.Errorf("%s: %v", choice, err)
		}
	}
	// Without tools, what changes nothing.
	req, err := decode(`{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[],"tool_choice":"auto","parallel_tool_calls":true}`)
	if err != nil || req.Job().ToolChoice != nil || req.Job().ParallelToolCalls != nil {
		t.Errorf("without tools: %v", err)
	}
}

// llama.cpp's repeat_last_n of 0 turns every penalty off; vLLM's
// repetition_penalty looks back over everything, unless told.
func TestPenalties(t *testing.T) {
	for doc, want := range map[string]schemas.Job{
		`"repeat_penalty":1.1`:                                           {RepeatPenalty: ptr(1.1)},
		`"repetition_penalty":1.1`:                                       {RepeatPenalty: ptr(1.1), RepeatLastN: ptr(-1)},
		`"repetition_penalty":1.1,"repeat_last_n":8`:                     {RepeatPenalty: ptr(1.1), RepeatLastN: ptr(8)},
		`"repeat_penalty":1.1,"presence_penalty":1,"repeat_last_n":0`:    {},
		`"frequency_penalty":1,"repeat_last_n":-1,"repeat_penalty":null`: {FrequencyPenalty: ptr(1.0), RepeatLastN: ptr(-1)},
	} {
		req, err := decode(`{"model":"m","messages":[{"role":"user","content":"hi"}],` + doc + `}`)
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		got := req.Job()
		got = schemas.Job{
			RepeatPenalty: got.RepeatPenalty, RepeatLastN: got.RepeatLastN,
			PresencePenalty: got.PresencePenalty, FrequencyPenalty: got.FrequencyPenalty,
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", doc, got, want)
		}
	}
}

func TestClassOfServiceTier(t *testing.T) {
	for tier, want := range map[string]schemas.Class{
		"null": schemas.ClassNormal, `"auto"`: schemas.ClassNormal, `"default"`: schemas.ClassNormal,
		`"flex"`: schemas.ClassBatch, `"priority"`: schemas.ClassInteractive, `"fast"`: schemas.ClassInteractive,
	} {
		req, err := decode(body("service_tier", tier))
		if err != nil || req.Class != want {
			t.Errorf("%s: got %+v, %v", tier, req, err)
		}
	}
}

func TestAgent(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"user", `"someone"`, "someone"},
		{"prompt_cache_key", `"key"`, "key"},
		{"user", `"` + strings.Repeat("é", 500) + `"`, strings.Repeat("é", schemas.MaxName)},
		{"user", `"` + strings.Repeat("é", schemas.MaxName) + `"`, strings.Repeat("é", schemas.MaxName)},
	} {
		req, err := decode(body(c.name, c.value))
		if err != nil || req.Job().Agent != c.want {
			t.Errorf("%s %s: got %q, %v", c.name, c.value, req.Job().Agent, err)
		}
	}
}

func TestOneStopString(t *testing.T) {
	req, err := decode(body("stop", `"\n"`))
	if err != nil || !reflect.DeepEqual(req.Job().Stop, []string{"\n"}) {
		t.Errorf("got %+v, %v", req, err)
	}
}

func TestTopKMeaningAll(t *testing.T) {
	req, err := decode(body("top_k", "-1"))
	if err != nil || req.Job().TopK != nil {
		t.Errorf("got %+v, %v", req, err)
	}
}

func TestRefusals(t *testing.T) {
	const messages = `"messages":[{"role":"user","content":"hi"}]`
	const bad, no, unknown = schemas.CodeInvalidRequest, schemas.CodeUnsupportedParameter, schemas.CodeUnknownParameter
	ask := func(fields string) string { return `{"model":"m",` + messages + `,` + fields + `}` }
	saying := func(message string) string { return `{"model":"m","messages":[` + message + `]}` }
	call := func(fields, function string) string {
		return `{"role":"assistant","tool_calls":[{` + fields + `,"type":"function","function":{` + function + `}}]}`
	}
	for _, c := range []struct {
		body  string
		field string
		code  schemas.Code
	}{
		{``, "", bad},
		{`"hi"`, "", bad},
		{ask(`"n":1,"n":1`), "n", bad},
		{`{` + messages + `}`, "model", bad},
		{`{"model":"",` + messages + `}`, "model", bad},
		{`{"model":"m"}`, "messages", bad},
		{saying(``), "messages", bad},
		{`{"model":"m","messages":{}}`, "messages", bad},
		{saying(`"hi"`), "messages[0]", bad},
		{saying(`{"role":"function","name":"f","content":"hi"}`), "messages[0].role", no},
		{saying(`{"role":"robot","content":"hi"}`), "messages[0].role", bad},
		{saying(`{"content":"hi"}`), "messages[0].role", bad},
		{saying(`{"role":"user"}`), "messages[0].content", bad},
		{saying(`{"role":"user","content":[]}`), "messages[0].content", bad},
		{saying(`{"role":"user","content":["hi"]}`), "messages[0].content[0]", bad},
		{saying(`{"role":"user","content":[{"text":"hi"}]}`), "messages[0].content[0].type", bad},
		{saying(`{"role":"user","content":[{"type":"text"}]}`), "messages[0].content[0].text", bad},
		{saying(`{"role":"user","content":[{"type":"text","text":"a","x":1}]}`), "messages[0].content[0].x", unknown},
		{saying(`{"role":"user","content":[{"type":"file","file":{}}]}`), "messages[0].content[0].type", no},
		{saying(`{"role":"assistant","content":null,"tool_calls":[{"id":"a"}]}`), "messages[0].tool_calls[0].function", bad},
		{saying(`{"role":"assistant","tool_calls":[{"id":"a","type":"custom","custom":{}}]}`), "messages[0].tool_calls[0].type", no},
		{saying(call(`"id":"a"`, `"name":"f","arguments":"[]"`)), "messages[0].tool_calls[0].function.arguments", bad},
		{saying(call(`"id":"a"`, `"name":"f","arguments":{}`)), "messages[0].tool_calls[0].function.arguments", bad},
		{saying(call(`"id":"a"`, `"name":"","arguments":"{}"`)), "messages[0].tool_calls[0].function.name", bad},
		{saying(call(`"id":""`, `"name":"f","arguments":"{}"`)), "messages[0].tool_calls[0].id", bad},
		{saying(strings.Replace(call(`"id":"a"`, `"name":"f","arguments":"{}"`), "assistant", "user", 1)), "messages[0].tool_calls", bad},
		{saying(`{"role":"user","content":"a","reasoning":"hm"}`), "messages[0].reasoning", bad},
		{saying(`{"role":"user","content":"a","reasoning_content":"hm"}`), "messages[0].reasoning_content", bad},
		{saying(`{"role":"assistant","content":"a","reasoning":"hm","reasoning_content":"ha"}`), "messages[0].reasoning_content", bad},
		{ask(`"n":17`), "n", bad},
		{ask(`"top_logprobs":2`), "top_logprobs", bad},
		{ask(`"logit_bias":{"7":101}`), "logit_bias.7", bad},
		{ask(`"logit_bias":{"7":"x"}`), "logit_bias.7", bad},
		{ask(`"logit_bias":[1]`), "logit_bias", bad},
		{ask(`"repeat_penalty":1.1,"repetition_penalty":1.1`), "repetition_penalty", bad},
		{ask(`"repeat_penalty":-5,"repeat_last_n":0`), "repeat_penalty", bad},
		{ask(`"frequency_penalty":9,"repeat_last_n":0`), "frequency_penalty", bad},
		{ask(`"tools":[{"type":"custom","custom":{"name":"f"}}]`), "tools[0].type", no},
		{ask(`"tools":[{"type":"function"}]`), "tools[0].function", bad},
		{ask(`"tools":[{"function":{"name":"a b"}}]`), "tools[0].function.name", bad},
		{ask(`"tools":[{"function":{"name":"f"}},{"function":{"name":"f"}}]`), "tools[1].function.name", bad},
		{ask(`"tools":[{"function":{"name":"f","parameters":"{}"}}]`), "tools[0].function.parameters", bad},
		{ask(`"tool_choice":"required"`), "tool_choice", bad},
		{ask(`"tool_choice":"any"`), "tool_choice", bad},
		{ask(`"tool_choice":{"type":"allowed_tools","allowed_tools":{}}`), "tool_choice.type", no},
		{ask(`"tool_choice":{"type":"function","function":{"name":"f"}}`), "tool_choice.function.name", bad},
		{ask(`"chat_template_kwargs":{"tools":[]}`), "chat_template_kwargs.tools", no},
		{saying(`{"role":"assistant","content":null}`), "messages[0].content", bad},
		{saying(`{"role":"tool","content":"a"}`), "messages[0].tool_call_id", bad},
		{saying(`{"role":"user","content":"a","tool_call_id":"x"}`), "messages[0].tool_call_id", bad},
		{ask(`"temperature":2.5`), "temperature", bad},
		{ask(`"temperature":"hot"`), "temperature", bad},
		{ask(`"top_p":-1`), "top_p", bad},
		{ask(`"min_p":2`), "min_p", bad},
		{ask(`"top_k":-2`), "top_k", bad},
		{ask(`"seed":1.5`), "seed", bad},
		{ask(`"max_completion_tokens":0`), "max_completion_tokens", bad},
		{ask(`"max_tokens":3,"max_completion_tokens":4`), "max_tokens", bad},
		{ask(`"stop":5`), "stop", bad},
		{ask(`"stop":""`), "stop", bad},
		{ask(`"stop":["a",1]`), "stop[1]", bad},
		{ask(`"stop":["a",""]`), "stop[1]", bad},
		{ask(`"stream_options":{"include_usage":true}`), "stream_options", bad},
		{ask(`"stream":true,"stream_options":[]`), "stream_options", bad},
		{ask(`"response_format":{}`), "response_format.type", bad},
		{ask(`"response_format":{"type":null}`), "response_format.type", bad},
		{ask(`"response_format":"text"`), "response_format", bad},
		{ask(`"response_format":{"type":"xml"}`), "response_format.type", bad},
		{ask(`"response_format":{"type":"grammar","grammar":"x"}`), "response_format.type", no},
		{ask(`"response_format":{"type":"json_schema"}`), "response_format.json_schema", bad},
		{ask(`"response_format":{"type":"json_object","json_schema":{"name":"x","schema":{}}}`),
			"response_format.json_schema", bad},
		{ask(`"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`),
			"response_format.json_schema.schema", bad},
		{ask(`"response_format":{"type":"json_schema","json_schema":{"name":"` + strings.Repeat("x", 65) + `","schema":{}}}`),
			"response_format.json_schema.name", bad},
		{ask(`"response_format":{"type":"json_object","schema":{}}`), "response_format.schema", no},
		{ask(`"response_format":{"type":"json_object"},"grammar":"root ::= \"a\""`), "grammar", no},
		{ask(`"response_format":{"type":"text","x":1}`), "response_format.x", unknown},
		{ask(`"service_tier":"scale"`), "service_tier", no},
		{ask(`"user":7`), "user", bad},
		{ask(`"a \"quoted\" name":7`), `["a \"quoted\" name"]`, unknown},
	} {
		_, err := decode(c.body)
		var fe *schemas.FieldError
		if !errors.As(err, &fe) || fe.Field != c.field || fe.Code != c.code {
			t.Errorf("%s\n\tgot %v, want %s for %q", c.body, err, c.code, c.field)
		}
	}
}

// A refusal names the bound that was passed, whichever it is.
func TestRefusalsNameTheBounds(t *testing.T) {
	const int31, int63 = "2147483647", "9223372036854775807"
	for _, c := range []struct{ name, value, reason string }{
		{"max_tokens", "0", "must be 1 … " + int31 + ", not 0"},
		{"max_tokens", "0.5", "must be 1 … " + int31 + ", not 0.5"},
		{"max_tokens", "9200000000000000000", "must be 1 … " + int31 + ", not 9200000000000000000"},
		{"max_tokens", "9.2e18", "must be 1 … " + int31 + ", not 9.2e18"},
		{"max_tokens", "2147483648", "must be 1 … " + int31 + ", not 2147483648"},
		{"max_tokens", "1e999", "must be 1 … " + int31 + ", not 1e999"},
		{"max_tokens", "1.5", "must be an integer, not 1.5"},
		{"max_completion_tokens", "-1e30", "must be 1 … " + int31 + ", not -1e30"},
		{"top_k", "-2", "must be -1 … " + int31 + ", not -2"},
		{"top_k", "9.2e18", "must be -1 … " + int31 + ", not 9.2e18"},
		{"seed", "9223372036854775808", "must be -9223372036854775808 … " + int63 + ", not 9223372036854775808"},
		{"temperature", "1e999", "must be 0 … 2, not 1e999"},
		{"temperature", "-1e999", "must be 0 … 2, not -1e999"},
		{"temperature", "2.5", "must be 0 … 2, not 2.5"},
		{"top_p", "1e999", "must be 0 … 1, not 1e999"},
		{"min_p", "-1", "must be 0 … 1, not -1"},
	} {
		_, err := decode(body(c.name, c.value))
		var fe *schemas.FieldError
		if !errors.As(err, &fe) || fe.Field != c.name || fe.Reason != c.reason {
			t.Errorf("%s = %s: got %v, want %q", c.name, c.value, err, c.reason)
		}
	}
	for name, value := range map[string]string{
		"max_tokens": int31, "top_k": int31, "seed": "-9223372036854775808", "temperature": "2", "top_p": "1.0", "max_completion_tokens": "3e2",
	} {
		if _, err := decode(body(name, value)); err != nil {
			t.Errorf("%s = %s: %v", name, value, err)
		}
	}
	_, err := decode(body("max_tokens", strings.Repeat("9", 100_000)))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func TestUnknownFieldsAsWarnings(t *testing.T) {
	doc := `{"model":"m","colour":"red","messages":[{"role":"user","content":"hi","mood":1}],
		"stream":true,"stream_options":{"x":1}}`
	req, warnings, err := openai.DecodeChatRequest([]byte(doc), openai.DecodeOptions{UnknownFields: openai.WarnUnknown})
	if err != nil || req == nil {
		t.Fatal(err)
	}
	if want := []string{"colour", "messages[0].mood", "stream_options.x"}; !reflect.DeepEqual(warnings, want) {
		t.Errorf("got %q, want %q", warnings, want)
	}
	_, _, err = openai.DecodeChatRequest([]byte(`{"model":"m","verbosity":"low"}`), openai.DecodeOptions{UnknownFields: openai.WarnUnknown})
	if err == nil {
		t.Error("a known parameter is not refused any more")
	}
}

func FuzzDecodeChatRequest(f *testing.F) { routes()[0].fuzz(f) }

func FuzzDecodeCompletionRequest(f *testing.F) { routes()[1].fuzz(f) }

func (r route) fuzz(f *testing.F) {
	for _, p := range r.parameters {
		f.Add([]byte(r.body(p.Name, "1")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := r.decode(string(data))
		if err != nil {
			if e := openai.RequestError(err); e == nil {
				t.Fatalf("%q: an error of type %T", data, err)
			}
			return
		}
		if _, err := schemas.EncodeJob(req.Job()); err != nil {
			t.Fatalf("%q was accepted, but makes no job: %v", data, err)
		}
	})
}
