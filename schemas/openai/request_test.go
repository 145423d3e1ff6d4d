package openai_test

import (
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
		"model": "m", "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": -3,
		"max_tokens": 10, "max_completion_tokens": 10, "stop": ["a", "b"], "stream": true,
		"stream_options": {"include_usage": true, "continuous_usage_stats": true},
		"service_tier": "flex", "user": "someone", "prompt_cache_key": "agent-1",
		"messages": [
			{"role": "system", "content": "be brief"},
			{"role": "developer", "content": "be kind"},
			{"role": "user", "content": [{"type": "text", "text": "say "}, {"type": "text", "text": "hi"}], "name": "ann"},
			{"role": "assistant", "content": "hi", "refusal": null, "tool_calls": []},
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
			{Role: schemas.RoleTool, Content: "42", ToolCallID: "call-1"},
		},
		Temperature: ptr(0.5), TopP: ptr(0.9), TopK: ptr(40), MinP: ptr(0.05), Seed: ptr(int64(-3)), MaxTokens: ptr(10),
		Stop: []string{"a", "b"}, Agent: "agent-1",
		API: &schemas.API{Format: schemas.FormatOpenAIChat, Stream: true, IncludeUsage: true, ContinuousUsage: true},
	}
	if got := req.Job(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if req.Class != schemas.ClassBatch {
		t.Errorf("flex is class %s", req.Class)
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
	if err != nil || !reflect.DeepEqual(req.Stop, []string{"\n"}) {
		t.Errorf("got %+v, %v", req, err)
	}
}

func TestTopKMeaningAll(t *testing.T) {
	req, err := decode(body("top_k", "-1"))
	if err != nil || req.TopK != nil {
		t.Errorf("got %+v, %v", req, err)
	}
}

func TestRefusals(t *testing.T) {
	const messages = `"messages":[{"role":"user","content":"hi"}]`
	saying := func(message string) string { return `{"model":"m","messages":[` + message + `]}` }
	for _, c := range []struct {
		body  string
		field string
		code  schemas.Code
	}{
		{``, "", schemas.CodeInvalidRequest},
		{`"hi"`, "", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"n":1,"n":1}`, "n", schemas.CodeInvalidRequest},
		{`{` + messages + `}`, "model", schemas.CodeInvalidRequest},
		{`{"model":"",` + messages + `}`, "model", schemas.CodeInvalidRequest},
		{`{"model":"m"}`, "messages", schemas.CodeInvalidRequest},
		{saying(``), "messages", schemas.CodeInvalidRequest},
		{`{"model":"m","messages":{}}`, "messages", schemas.CodeInvalidRequest},
		{saying(`"hi"`), "messages[0]", schemas.CodeInvalidRequest},
		{saying(`{"role":"function","name":"f","content":"hi"}`), "messages[0].role", schemas.CodeUnsupportedParameter},
		{saying(`{"role":"robot","content":"hi"}`), "messages[0].role", schemas.CodeInvalidRequest},
		{saying(`{"content":"hi"}`), "messages[0].role", schemas.CodeInvalidRequest},
		{saying(`{"role":"user"}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":[]}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":["hi"]}`), "messages[0].content[0]", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":[{"text":"hi"}]}`), "messages[0].content[0].type", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":[{"type":"text"}]}`), "messages[0].content[0].text", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":[{"type":"text","text":"a","x":1}]}`), "messages[0].content[0].x", schemas.CodeUnknownParameter},
		{saying(`{"role":"user","content":[{"type":"file","file":{}}]}`), "messages[0].content[0].type", schemas.CodeUnsupportedParameter},
		{saying(`{"role":"assistant","content":null,"tool_calls":[{"id":"a"}]}`), "messages[0].tool_calls", schemas.CodeUnsupportedParameter},
		{saying(`{"role":"assistant","content":"a","reasoning":"hm"}`), "messages[0].reasoning", schemas.CodeUnsupportedParameter},
		{saying(`{"role":"assistant","content":null}`), "messages[0].content", schemas.CodeInvalidRequest},
		{saying(`{"role":"tool","content":"a"}`), "messages[0].tool_call_id", schemas.CodeInvalidRequest},
		{saying(`{"role":"user","content":"a","tool_call_id":"x"}`), "messages[0].tool_call_id", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"temperature":2.5}`, "temperature", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"temperature":"hot"}`, "temperature", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"top_p":-1}`, "top_p", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"min_p":2}`, "min_p", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"top_k":-2}`, "top_k", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"seed":1.5}`, "seed", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"max_completion_tokens":0}`, "max_completion_tokens", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"max_tokens":3,"max_completion_tokens":4}`, "max_tokens", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"stop":5}`, "stop", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"stop":""}`, "stop", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"stop":["a",1]}`, "stop[1]", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"stop":["a",""]}`, "stop[1]", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"stream_options":{"include_usage":true}}`, "stream_options", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"stream":true,"stream_options":[]}`, "stream_options", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"response_format":{}}`, "response_format.type", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"response_format":{"type":null}}`, "response_format.type", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"response_format":"text"}`, "response_format", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"response_format":{"type":"json_object"}}`, "response_format", schemas.CodeUnsupportedParameter},
		{`{"model":"m",` + messages + `,"response_format":{"type":"text","x":1}}`, "response_format.x", schemas.CodeUnknownParameter},
		{`{"model":"m",` + messages + `,"service_tier":"scale"}`, "service_tier", schemas.CodeUnsupportedParameter},
		{`{"model":"m",` + messages + `,"user":7}`, "user", schemas.CodeInvalidRequest},
		{`{"model":"m",` + messages + `,"a \"quoted\" name":7}`, `["a \"quoted\" name"]`, schemas.CodeUnknownParameter},
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
	_, _, err = openai.DecodeChatRequest([]byte(`{"model":"m","n":2}`), openai.DecodeOptions{UnknownFields: openai.WarnUnknown})
	if err == nil {
		t.Error("a known parameter is not refused any more")
	}
}

func FuzzDecodeChatRequest(f *testing.F) {
	f.Add([]byte(body("stream", "true")))
	for _, p := range openai.Parameters() {
		f.Add([]byte(body(p.Name, "1")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		req, _, err := openai.DecodeChatRequest(data, openai.DecodeOptions{})
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
