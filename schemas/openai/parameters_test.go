package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// body is a chat request in which the parameter with this name has this value.
func body(name, value string) string {
	request := map[string]string{"model": `"m"`, "stream": "true"}
	message := map[string]string{"role": `"user"`, "content": `"hi"`}
	cut := strings.LastIndexByte(name, '.')
	scope, field := name[:max(cut, 0)], name[cut+1:]
	with := func(fields map[string]string) string {
		fields[field] = value
		return object(fields)
	}
	assistant := func(field, value string) {
		message["role"], message[field] = `"assistant"`, value
	}
	function := map[string]string{"name": `"f"`}
	switch scope {
	case "":
		request[field] = value
	case "messages[]":
		if strings.HasPrefix(field, "reasoning") || field == "tool_calls" {
			message["role"] = `"assistant"`
		}
		message[field] = value
	case "messages[].content[]":
		message["content"] = "[" + with(map[string]string{"type": `"text"`, "text": `"hi"`}) + "]"
	case "messages[].tool_calls[]":
		function["arguments"] = `"{}"`
		assistant("tool_calls", "["+with(map[string]string{"id": `"call_1"`, "function": object(function)})+"]")
	case "messages[].tool_calls[].function":
		function["arguments"] = `"{}"`
		assistant("tool_calls", "["+object(map[string]string{"id": `"call_1"`, "function": with(function)})+"]")
	case "tools[]":
		request["tools"] = "[" + with(map[string]string{"type": `"function"`, "function": object(function)}) + "]"
	case "tools[].function":
		request["tools"] = "[" + object(map[string]string{"type": `"function"`, "function": with(function)}) + "]"
	case "tool_choice":
		request["tools"] = `[{"function":{"name":"f"}}]`
		request[scope] = with(map[string]string{"type": `"function"`, "function": object(function)})
	case "tool_choice.function":
		request["tools"] = `[{"function":{"name":"f"}}]`
		request["tool_choice"] = object(map[string]string{"type": `"function"`, "function": with(function)})
	case "response_format":
		request[scope] = with(map[string]string{"type": `"text"`})
		if field == "json_schema" {
			request[scope] = with(map[string]string{"type": `"json_schema"`})
		}
	case "response_format.json_schema":
		schema := with(map[string]string{"name": `"x"`, "schema": `{}`})
		request["response_format"] = object(map[string]string{"type": `"json_schema"`, "json_schema": schema})
	default:
		request[scope] = object(map[string]string{field: value})
	}
	if name != "messages" {
		request["messages"] = "[" + object(message) + "]"
	}
	return object(request)
}

// completionBody is the same for a completion.
func completionBody(name, value string) string {
	if strings.HasPrefix(name, "response_format") { // the same in both
		return strings.Replace(body(name, value), `"messages":[{"role":"user","content":"hi"}]`, `"prompt":"hi"`, 1)
	}
	request := map[string]string{"model": `"m"`, "stream": "true", "prompt": `"hi"`}
	if scope, field, nested := strings.Cut(name, "."); nested {
		request[scope] = object(map[string]string{field: value})
	} else {
		request[name] = value
	}
	return object(request)
}

// route is one table with its decoder.
type route struct {
	name       string
	parameters []openai.Parameter
	body       func(name, value string) string
	decode     func(doc string) (*openai.Request, error)
}

func routes() []route {
	return []route{
		{"chat", openai.Parameters(), body, decode},
		{"completion", openai.CompletionParameters(), completionBody, decodeCompletion},
	}
}

func object(fields map[string]string) string {
	var members []string
	for name, value := range fields {
		members = append(members, fmt.Sprintf("%q:%s", name, value))
	}
	slices.SortFunc(members, func(a, b string) int { return strings.Compare(b, a) }) // role before content
	return "{" + strings.Join(members, ",") + "}"
}

// where is the path that a refusal of the parameter names.
func where(name string) string {
	return strings.ReplaceAll(name, "[]", "[0]")
}

func decode(doc string) (*openai.Request, error) {
	req, _, err := openai.DecodeChatRequest([]byte(doc), openai.DecodeOptions{})
	return req, err
}

func decodeCompletion(doc string) (*openai.Request, error) {
	req, _, err := openai.DecodeCompletionRequest([]byte(doc), openai.DecodeOptions{})
	return req, err
}

// values are tried on every parameter.
func values() []string {
	return []string{
		"0", "1", "-1", "2.5", "7", "true", "false", `""`, `"auto"`, `"text"`, `"surely not"`,
		"[]", `["text"]`, `["x"]`, "[1]", "{}", `{"a":1}`, `{"a":null}`,
	}
}

// accepted reads the column of accepted values, which is for people, for the
// parameters that accept a few values only.
func accepted(p openai.Parameter) []string {
	var list []string
	for _, word := range strings.Split(p.Accepts, ", ") {
		switch word = strings.ReplaceAll(word, "−", "-"); {
		case word == "an empty string":
			list = append(list, `""`)
		case word == "or nulls only":
			list = append(list, `{"a":null}`)
		case json.Valid([]byte(word)):
			list = append(list, word)
		default:
			list = append(list, `"`+word+`"`)
		}
	}
	return list
}

func TestEveryParameterKeepsItsDisposition(t *testing.T) {
	for _, r := range routes() {
		t.Run(r.name, r.keepDispositions)
	}
}

func (r route) keepDispositions(t *testing.T) {
	for _, p := range r.parameters {
		if p.Name == "" || p.Origin == "" || p.Accepts == "" || p.Note == "" {
			t.Errorf("%q: a column is empty: %+v", p.Name, p)
		}
		refusals := 0
		for _, value := range values() {
			_, err := r.decode(r.body(p.Name, value))
			if err == nil {
				continue
			}
			refusals++
			var fe *schemas.FieldError
			if !errors.As(err, &fe) || !strings.HasPrefix(fe.Field, where(p.Name)) {
				t.Errorf("%s = %s: the refusal names something else: %v", p.Name, value, err)
			} else if p.Disposition == openai.NeutralOnly || p.Disposition == openai.Refused {
				if fe.Code != schemas.CodeUnsupportedParameter || !strings.Contains(fe.Reason, p.Note) {
					t.Errorf("%s = %s: got %s %v", p.Name, value, fe.Code, fe)
				}
			}
		}
		switch p.Disposition {
		case openai.Refused:
			if refusals != len(values()) {
				t.Errorf("%s: only %d of %d values are refused", p.Name, refusals, len(values()))
			}
		case openai.NeutralOnly:
			if refusals < len(values())-4 {
				t.Errorf("%s: only %d of %d values are refused", p.Name, refusals, len(values()))
			}
			for _, value := range accepted(p) {
				if _, err := r.decode(r.body(p.Name, value)); err != nil {
					t.Errorf("%s = %s is documented as accepted: %v", p.Name, value, err)
				}
			}
		case openai.Bookkeeping, openai.Honoured:
			if p.Name != "keep_alive" && refusals == 0 {
				t.Errorf("%s: takes anything, also of a wrong type", p.Name)
			}
		}
	}
}

func TestNullIsLikeNothing(t *testing.T) {
	for _, r := range routes() {
		t.Run(r.name, r.nullIsLikeNothing)
	}
}

func (r route) nullIsLikeNothing(t *testing.T) {
	for _, p := range r.parameters {
		got, err := r.decode(r.body(p.Name, "null"))
		switch {
		case p.Required || p.Name == "messages[].content" || p.Name == "response_format.json_schema":
			if err == nil {
				t.Errorf("%s: null was accepted for what is required", p.Name)
			}
			continue
		case err != nil:
			t.Errorf("%s: null gives %v", p.Name, err)
			continue
		}
		// The request without the parameter.
		want, err := r.decode(strings.NewReplacer(
			fmt.Sprintf(`,%q:null`, p.Name[strings.LastIndexByte(p.Name, '.')+1:]), "",
			fmt.Sprintf(`%q:null,`, p.Name[strings.LastIndexByte(p.Name, '.')+1:]), "",
			fmt.Sprintf(`%q:null`, p.Name[strings.LastIndexByte(p.Name, '.')+1:]), "",
		).Replace(r.body(p.Name, "null")))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: null gives %+v, nothing %+v, %v", p.Name, got, want, err)
		}
	}
}

// TestEveryParameterOfTheSDKIsKnown fails when OpenAI's SDK learns a parameter
// that the table does not have.
func TestEveryParameterOfTheSDKIsKnown(t *testing.T) {
	known := map[string]bool{}
	for _, r := range routes() {
		for _, p := range r.parameters {
			if known[r.name+" "+p.Name] {
				t.Errorf("%s is in the table twice", p.Name)
			}
			known[r.name+" "+p.Name] = true
		}
	}
	for _, c := range []struct {
		scope string
		of    reflect.Type
	}{
		{"chat ", reflect.TypeFor[sdk.ChatCompletionNewParams]()},
		{"chat stream_options.", reflect.TypeFor[sdk.ChatCompletionStreamOptionsParam]()},
		{"chat messages[].", reflect.TypeFor[sdk.ChatCompletionSystemMessageParam]()},
		{"chat messages[].", reflect.TypeFor[sdk.ChatCompletionDeveloperMessageParam]()},
		{"chat messages[].", reflect.TypeFor[sdk.ChatCompletionUserMessageParam]()},
		{"chat messages[].", reflect.TypeFor[sdk.ChatCompletionAssistantMessageParam]()},
		{"chat messages[].", reflect.TypeFor[sdk.ChatCompletionToolMessageParam]()},
		{"chat messages[].content[].", reflect.TypeFor[sdk.ChatCompletionContentPartTextParam]()},
		{"chat messages[].tool_calls[].", reflect.TypeFor[sdk.ChatCompletionMessageFunctionToolCallParam]()},
		{"chat messages[].tool_calls[].function.", reflect.TypeFor[sdk.ChatCompletionMessageFunctionToolCallFunctionParam]()},
		{"chat tools[].", reflect.TypeFor[sdk.ChatCompletionFunctionToolParam]()},
		{"chat tools[].function.", reflect.TypeFor[sdk.FunctionDefinitionParam]()},
		{"chat tool_choice.", reflect.TypeFor[sdk.ChatCompletionNamedToolChoiceParam]()},
		{"chat response_format.json_schema.", reflect.TypeFor[sdk.ResponseFormatJSONSchemaJSONSchemaParam]()},
		{"completion ", reflect.TypeFor[sdk.CompletionNewParams]()},
	} {
		for i := range c.of.NumField() {
			name, _, _ := strings.Cut(c.of.Field(i).Tag.Get("json"), ",")
			if name == "" || name == "-" || !c.of.Field(i).IsExported() {
				continue
			}
			if !known[c.scope+name] {
				t.Errorf("%s%s of %s is not in the table", c.scope, name, c.of)
			}
		}
	}
}
