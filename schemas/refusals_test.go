package schemas_test

import (
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
)

// What belongs together in a job, and what does not.
func TestJobRelations(t *testing.T) {
	const (
		bad  = schemas.CodeInvalidRequest
		no   = schemas.CodeUnsupportedParameter
		f    = `"tools":[{"name":"f"}]`
		must = f + `,"tool_choice":{"mode":"required"}`
	)
	chat := func(fields string) string {
		return `{"v":1,"model":"m","messages":[{"role":"user","content":"hi"}],` + fields + `}`
	}
	completion := func(fields string) string {
		return `{"v":1,"kind":"completion","model":"m","prompts":[{"text":"a"},{"tokens":[1]}]` + fields + `}`
	}
	saying := func(message string) string { return `{"v":1,"model":"m","messages":[` + message + `]}` }
	calls := func(arguments string) string {
		return saying(`{"role":"assistant","content":"","tool_calls":[{"id":"a","name":"f","arguments":` + arguments + `}]}`)
	}
	for _, c := range []struct {
		doc, field string
		code       schemas.Code
	}{
		{`{"v":1,"kind":"completion","model":"m"}`, "prompts", bad},
		{completion(`,"messages":[{"role":"user","content":"hi"}]`), "messages", bad},
		{completion(`,` + f), "tools", bad},
		{completion(`,"tool_choice":{"mode":"none"}`), "tool_choice", bad},
		{completion(`,"parallel_tool_calls":true`), "parallel_tool_calls", bad},
		{completion(`,"reasoning_effort":"low"`), "reasoning_effort", bad},
		{completion(`,"chat_template_kwargs":{"a":1}`), "chat_template_kwargs", bad},
		{completion(`,"echo":true,"logprobs":true`), "echo", no},
		{completion(`,"n":9`), "n", bad},
		{completion(`,"api":{"format":"openai.chat"}`), "api.format", bad},
		{strings.Replace(completion(``), `{"text":"a"}`, `{}`, 1), "prompts[0]", bad},
		{strings.Replace(completion(``), `{"text":"a"}`, `{"text":"a","tokens":[1]}`, 1), "prompts[0]", bad},
		{strings.Replace(completion(``), `[1]`, `[1,-1]`, 1), "prompts[1].tokens[1]", bad},
		{chat(`"prompts":[{"text":"a"}]`), "prompts", bad},
		{chat(`"echo":true`), "echo", bad},
		{chat(`"api":{"format":"openai.completions"}`), "api.format", bad},
		{chat(`"n":17`), "n", bad},
		{chat(`"n":0`), "n", bad},
		{chat(`"top_logprobs":3`), "top_logprobs", bad},
		{chat(`"logprobs":true,"top_logprobs":21`), "top_logprobs", bad},
		{chat(`"typical_p":1.1`), "typical_p", bad},
		{chat(`"repeat_penalty":0`), "repeat_penalty", bad},
		{chat(`"repeat_penalty":10.5`), "repeat_penalty", bad},
		{chat(`"repeat_last_n":-2`), "repeat_last_n", bad},
		{chat(`"presence_penalty":-2.5`), "presence_penalty", bad},
		{chat(`"frequency_penalty":2.5`), "frequency_penalty", bad},
		{chat(`"logit_bias":{"7":101}`), "logit_bias.7", bad},
		{chat(`"logit_bias":{" the":-101}`), `logit_bias[" the"]`, bad},
		{chat(`"logit_bias":{"":1}`), `logit_bias[""]`, bad},
		{chat(`"min_tokens":5,"max_tokens":4`), "min_tokens", bad},
		{chat(`"min_tokens":-1`), "min_tokens", bad},
		{chat(`"stop_token_ids":[-1]`), "stop_token_ids[0]", bad},
		{chat(`"tools":[{"name":"f"},{"name":"f"}]`), "tools[1].name", bad},
		{chat(`"tools":[{"name":"a b"}]`), "tools[0].name", bad},
		{chat(`"tools":[{"name":"` + strings.Repeat("x", 65) + `"}]`), "tools[0].name", bad},
		{chat(`"tools":[{"name":"f","parameters":[]}]`), "tools[0].parameters", bad},
		{chat(`"tool_choice":{"mode":"required"}`), "tool_choice", bad},
		{chat(f + `,"tool_choice":{"mode":"some"}`), "tool_choice.mode", bad},
		{chat(f + `,"tool_choice":{"mode":"auto","name":"f"}`), "tool_choice.name", bad},
		{chat(f + `,"tool_choice":{"mode":"function"}`), "tool_choice.name", bad},
		{chat(f + `,"tool_choice":{"mode":"function","name":"g"}`), "tool_choice.name", bad},
		{chat(must + `,"grammar":"root ::= \"a\""`), "grammar", no},
		{chat(must + `,"response_format":{"type":"json_object"}`), "response_format", no},
		{chat(`"grammar":"root ::= \"a\"","response_format":{"type":"json_object"}`), "grammar", no},
		{chat(`"response_format":{"type":"xml"}`), "response_format.type", bad},
		{chat(`"response_format":{"type":"json_schema"}`), "response_format.schema", bad},
		{chat(`"response_format":{"type":"json_schema","schema":true}`), "response_format.schema", bad},
		{chat(`"response_format":{"type":"json_object","schema":{}}`), "response_format.schema", bad},
		{chat(`"response_format":{"type":"text","name":"x"}`), "response_format.name", bad},
		{chat(`"chat_template_kwargs":{"messages":[]}`), "chat_template_kwargs.messages", no},
		{chat(`"chat_template_kwargs":{"":1}`), `chat_template_kwargs[""]`, bad},
		{chat(`"reasoning_effort":"` + strings.Repeat("x", 41) + `"`), "reasoning_effort", bad},
		{saying(`{"role":"user","content":"","tool_calls":[{"id":"a","name":"f","arguments":"{}"}]}`), "messages[0].tool_calls", bad},
		{saying(`{"role":"user","content":"","reasoning_content":"x"}`), "messages[0].reasoning_content", bad},
		{calls(`"[]"`), "messages[0].tool_calls[0].arguments", bad},
		{calls(`"{\"a\":"`), "messages[0].tool_calls[0].arguments", bad},
		{calls(`""`), "messages[0].tool_calls[0].arguments", bad},
		{strings.Replace(calls(`"{}"`), `"id":"a"`, `"id":""`, 1), "messages[0].tool_calls[0].id", bad},
	} {
		_, err := schemas.DecodeJob([]byte(c.doc))
		wantField(t, c.doc, err, c.field, c.code)
	}
	for _, doc := range []string{
		completion(``), completion(`,"n":8,"echo":true,"api":{"format":"openai.completions"}`),
		completion(`,"grammar":"root ::= \"a\"","logprobs":true,"top_logprobs":5`),
		chat(f + `,"tool_choice":{"mode":"function","name":"f"},"parallel_tool_calls":false,"response_format":{"type":"text"}`),
		chat(f + `,"tool_choice":{"mode":"auto"},"response_format":{"type":"json_schema","name":"x","schema":{}}`),
		chat(`"response_format":{"type":"text"},"grammar":"root ::= \"a\""`),
		chat(`"n":16,"logit_bias":{"7":-100," the":100},"chat_template_kwargs":{"enable_thinking":null}`),
		calls(`"{\"a\": 1}"`),
	} {
		if _, err := schemas.DecodeJob([]byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestOutputRefusals(t *testing.T) {
	delta := func(payload string) string {
		return `{"v":1,"job":"j","n":1,"time":"2026-01-02T03:04:05Z","type":"delta","delta":{` + payload + `}}`
	}
	const top = `{"token":1,"logprob":-1}`
	for payload, field := range map[string]string{
		`"choice":16`:                                               "delta.choice",
		`"tool_calls":[{"index":128}]`:                              "delta.tool_calls[0].index",
		`"choice":-1`:                                               "delta.choice",
		`"finish_reason":"tired"`:                                   "delta.finish_reason",
		`"tool_calls":[{"index":-1}]`:                               "delta.tool_calls[0].index",
		`"tool_calls":[{}]`:                                         "delta.tool_calls[0].index",
		`"tokens":[1],"logprobs":[{"logprob":0.1}]`:                 "delta.logprobs[0].logprob",
		`"tokens":[1],"logprobs":[{"bytes":"eA=="}]`:                "delta.logprobs[0].logprob",
		`"tokens":[1],"logprobs":[{"bytes":"e","logprob":-1}]`:      "delta.logprobs[0].bytes",
		`"tokens":[1],"logprobs":[{"bytes":"eA==\n","logprob":-1}]`: "delta.logprobs[0].bytes",
		`"tokens":[1,2],"logprobs":[{"logprob":-1}]`:                "delta.logprobs",
		`"tokens":[1],"logprobs":[{"logprob":-1,"top":[{"token":-1,"logprob":-1}]}]`:                 "delta.logprobs[0].top[0].token",
		`"tokens":[1],"logprobs":[{"logprob":-1,"top":[{"token":1,"logprob":1}]}]`:                   "delta.logprobs[0].top[0].logprob",
		`"tokens":[1],"logprobs":[{"logprob":-1,"top":[` + top + strings.Repeat(","+top, 20) + `]}]`: "delta.logprobs[0].top",
	} {
		_, err := schemas.DecodeEvent([]byte(delta(payload)))
		wantField(t, payload, err, field, schemas.CodeInvalidRequest)
	}
	got, err := schemas.DecodeEvent([]byte(delta(`"choice":2,"finish_reason":"tool_calls"`)))
	if err != nil || got.Delta.Choice != 2 || got.Delta.FinishReason != schemas.FinishToolCalls {
		t.Errorf("got %+v, %v", got, err)
	}
}
