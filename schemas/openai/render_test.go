package openai_test

import (
	"encoding/json"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// deltaOf is output of a choice; with a finish reason its end.
func deltaOf(o schemas.Output, finish schemas.FinishReason) schemas.Event {
	return schemas.Event{Type: schemas.EventDelta, Delta: &schemas.Delta{Output: o, FinishReason: finish}}
}

// richLog is a log of two choices: one thinks, speaks and calls, with log
// probabilities, the other says a word.
func richLog(format string) []schemas.Event {
	end := done("", 5)
	end.Done.Choice, end.Done.FinishReason = 0, schemas.FinishToolCalls
	end.Done.Output = schemas.Output{Tokens: []int32{5}, ToolCalls: []schemas.ToolCallDelta{{Arguments: `1}`}}}
	return logOf(
		submitted(schemas.API{Format: format}), started(),
		deltaOf(schemas.Output{Tokens: []int32{1}, Reasoning: "hm"}, ""),
		deltaOf(schemas.Output{Choice: 1, Tokens: []int32{2}, Text: "bye"}, schemas.FinishLength),
		deltaOf(schemas.Output{Tokens: []int32{3}, Logprobs: []schemas.TokenLogprob{{Bytes: []byte{0xc3}, Logprob: -1}}}, ""),
		deltaOf(schemas.Output{
			Tokens: []int32{4}, Text: "é",
			Logprobs: []schemas.TokenLogprob{{
				Bytes: []byte{0xa9}, Logprob: -0.25,
				Top: []schemas.TopLogprob{{Token: 4, Bytes: []byte{0xa9}, Logprob: -0.25}, {Token: 9, Bytes: []byte("x"), Logprob: -2}},
			}},
			ToolCalls: []schemas.ToolCallDelta{{ID: "call_1", Name: "f"}, {Arguments: `{"a":`}},
		}, ""),
		end,
	)
}

func TestStreamOfManyKinds(t *testing.T) {
	chunk := func(index, delta, logprobs, finish string) string {
		return head + `[{"index":` + index + `,"delta":` + delta + `,"logprobs":` + logprobs + `,"finish_reason":` + finish + `}]`
	}
	says := func(index, delta string) string { return chunk(index, delta, "null", "null") + "}" }
	const begin = `{"role":"assistant","content":""}`
	wantLines(t, lines(richLog(schemas.FormatOpenAIChat), openai.StreamOptions{}),
		`job-1:3.0 `+says("0", begin),
		`job-1:3.1 `+says("0", `{"reasoning_content":"hm"}`),
		`job-1:4.0 `+says("1", begin),
		`job-1:4.1 `+says("1", `{"content":"bye"}`),
		`job-1:4.2 `+chunk("1", "{}", "null", `"length"`)+`}`,
		`job-1:5.0 `+chunk("0", `{"content":""}`,
			`{"content":[{"token":"`+"\uFFFD"+`","logprob":-1,"bytes":[195],"top_logprobs":[]}],"refusal":null}`, "null")+`}`,
		`job-1:6.0 `+chunk("0", `{"content":"é"}`,
			`{"content":[{"token":"`+"\uFFFD"+`","logprob":-0.25,"bytes":[169],"top_logprobs":[`+
				`{"token":"`+"\uFFFD"+`","logprob":-0.25,"bytes":[169]},{"token":"x","logprob":-2,"bytes":[120]}]}],"refusal":null}`, "null")+`}`,
		`job-1:6.1 `+says("0", `{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}`),
		`job-1:6.2 `+says("0", `{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}`),
		`job-1:7.0 `+says("0", `{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}`),
		`job-1:7.1 `+chunk("0", "{}", "null", `"tool_calls"`)+`,`+timings+`}`,
	)
}

func TestWholeOfManyKinds(t *testing.T) {
	events := richLog(schemas.FormatOpenAIChat)
	data, err := openai.Answer(events, openai.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const calls = `"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]`
	const head = `{"id":"chatcmpl-job-1","object":"chat.completion","created":1782907200,"model":"tiny",` +
		`"system_fingerprint":"fp_0123456789ab",`
	const tail = `"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,` +
		`"prompt_tokens_details":{"cached_tokens":2}},` + timings + `}`
	wantLines(t, []string{string(data)}, head+`"choices":[`+
		`{"index":0,"message":{"role":"assistant","content":"é","refusal":null,"reasoning_content":"hm",`+calls+`},`+
		`"logprobs":{"content":[{"token":"`+"\uFFFD"+`","logprob":-1,"bytes":[195],"top_logprobs":[]},`+
		`{"token":"`+"\uFFFD"+`","logprob":-0.25,"bytes":[169],"top_logprobs":[{"token":"`+"\uFFFD"+`","logprob":-0.25,"bytes":[169]},`+
		`{"token":"x","logprob":-2,"bytes":[120]}]}],"refusal":null},"finish_reason":"tool_calls"},`+
		`{"index":1,"message":{"role":"assistant","content":"bye","refusal":null},"logprobs":null,"finish_reason":"length"}],`+tail)

	// Nothing but a call: no content.
	events[5].Delta.Text = ""
	if data, err = openai.Answer(events, openai.StreamOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := chatCompletion(t, data); got.Choices[0].Message.Content != nil || *got.Choices[1].Message.Content != "bye" {
		t.Errorf("got %s", data)
	}
}

func TestCompletionStream(t *testing.T) {
	const head = `{"id":"cmpl-job-1","object":"text_completion","created":1782907200,"model":"tiny",` +
		`"system_fingerprint":"fp_0123456789ab","choices":`
	chunk := func(text, index, logprobs, finish string) string {
		return head + `[{"text":` + text + `,"index":` + index + `,"logprobs":` + logprobs + `,"finish_reason":` + finish + `}]`
	}
	events := richLog(schemas.FormatOpenAICompletions)
	wantLines(t, lines(events, openai.StreamOptions{}),
		`job-1:4.0 `+chunk(`"bye"`, "1", "null", "null")+`}`,
		`job-1:4.1 `+chunk(`""`, "1", "null", `"length"`)+`}`,
		`job-1:5.0 `+chunk(`""`, "0", `{"tokens":["bytes:\\xc3"],"token_logprobs":[-1],"top_logprobs":null,"text_offset":[0]}`, "null")+`}`,
		`job-1:6.0 `+chunk(`"é"`, "0", `{"tokens":["bytes:\\xa9"],"token_logprobs":[-0.25],`+
			`"top_logprobs":[{"bytes:\\xa9":-0.25,"x":-2}],"text_offset":[0]}`, "null")+`}`,
		`job-1:7.0 `+chunk(`""`, "0", "null", `"tool_calls"`)+`,`+timings+`}`,
	)
	data, err := openai.Answer(events, openai.StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, []string{string(data)}, head+`[{"text":"é","index":0,"logprobs":{"tokens":["bytes:\\xc3","bytes:\\xa9"],`+
		`"token_logprobs":[-1,-0.25],"top_logprobs":[{"bytes:\\xc3":-1},{"bytes:\\xa9":-0.25,"x":-2}],"text_offset":[0,0]},`+
		`"finish_reason":"tool_calls"},`+
		`{"text":"bye","index":1,"logprobs":null,"finish_reason":"length"}],`+
		`"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2}},`+timings+`}`)
}

// The paths of a job's fields in the words of each dialect.
func TestEndErrorNamesTheClientsField(t *testing.T) {
	failed := func(format, field string) *openai.Error {
		return openai.EndError(schemas.Event{Type: schemas.EventFailed, Failed: &schemas.Failed{
			Code: schemas.CodeInvalidRequest, Message: field + ": no.", Param: field,
		}}, format)
	}
	for field, want := range map[string]string{
		"tools[3].parameters.a":               "tools[3].function.parameters.a",
		"tools[3]":                            "tools[3]",
		"tool_choice.name":                    "tool_choice.function.name",
		"tool_choice.mode":                    "tool_choice",
		"response_format.schema":              "response_format.json_schema.schema",
		"response_format.schema/properties/a": "response_format.json_schema.schema/properties/a",
		"response_format.type":                "response_format.type",
		"messages[1].tool_calls[0].arguments": "messages[1].tool_calls[0].function.arguments",
		"messages[1].content":                 "messages[1].content",
		"stop_token_ids[1]":                   "stop_token_ids[1]",
	} {
		if e := failed(schemas.FormatOpenAIChat, field); *e.Param != want || e.Message != want+": no." {
			t.Errorf("%s: got %s, %s", field, *e.Param, e.Message)
		}
	}
	for field, want := range map[string]string{
		"response_format.schema.a": "response_format.json_schema.schema.a",
		"prompts[2].tokens[1]":     "prompt", "prompts": "prompt", "messages": "prompt", "top_logprobs": "logprobs", "n": "n",
	} {
		if e := failed(schemas.FormatOpenAICompletions, field); *e.Param != want {
			t.Errorf("%s: got %s", field, *e.Param)
		}
	}
	// Nobody's dialect: the job's own words.
	if e := failed("", "grammar"); *e.Param != "grammar" {
		t.Errorf("got %s", *e.Param)
	}
}

func chatCompletion(t *testing.T, data []byte) openai.ChatCompletion {
	t.Helper()
	var c openai.ChatCompletion
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}
