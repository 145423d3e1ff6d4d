package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// body is a request in which the parameter with this name has this value.
func body(name, value string) string {
	request := map[string]string{"model": `"m"`, "stream": "true"}
	message := map[string]string{"role": `"user"`, "content": `"hi"`}
	part := map[string]string{"type": `"text"`, "text": `"hi"`}
	var nested, field string
	if cut := strings.LastIndexByte(name, '.'); cut >= 0 {
		nested, field = name[:cut], name[cut+1:]
	} else {
		field = name
	}
	switch nested {
	case "":
		request[field] = value
	case "messages[]":
		message[field] = value
	case "messages[].content[]":
		part[field] = value
		message["content"] = "[" + object(part) + "]"
	case "response_format":
		request[nested] = object(map[string]string{"type": `"text"`, field: value})
	default:
		request[nested] = object(map[string]string{field: value})
	}
	if name != "messages" {
		request["messages"] = "[" + object(message) + "]"
	}
	return object(request)
}

func object(fields map[string]string) string {
	var members []string
	for name, value := range fields {
		members = append(members, fmt.Sprintf("%q:%s", name, value))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// where is the path that a refusal of the parameter names.
func where(name string) string {
	name = strings.Replace(name, "messages[]", "messages[0]", 1)
	return strings.Replace(name, "content[]", "content[0]", 1)
}

func decode(doc string) (*openai.ChatRequest, error) {
	req, _, err := openai.DecodeChatRequest([]byte(doc), openai.DecodeOptions{})
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
	for _, p := range openai.Parameters() {
		if p.Name == "" || p.Origin == "" || p.Accepts == "" || p.Note == "" {
			t.Errorf("%q: a column is empty: %+v", p.Name, p)
		}
		refusals := 0
		for _, value := range values() {
			_, err := decode(body(p.Name, value))
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
				if _, err := decode(body(p.Name, value)); err != nil {
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
	want, err := decode(body("stream", "true"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range openai.Parameters() {
		got, err := decode(body(p.Name, "null"))
		switch p.Name {
		case "model", "messages", "messages[].role", "messages[].content", "messages[].content[].type", "messages[].content[].text",
			"response_format.type":
			if err == nil {
				t.Errorf("%s: null was accepted for what is required", p.Name)
			}
		case "stream":
			if err != nil || got.Stream {
				t.Errorf("stream null: %v", err)
			}
		default:
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: null gives %+v, %v", p.Name, got, err)
			}
		}
	}
}

// TestEveryParameterOfTheSDKIsKnown fails when OpenAI's SDK learns a parameter
// that the table does not have.
func TestEveryParameterOfTheSDKIsKnown(t *testing.T) {
	known := map[string]bool{}
	for _, p := range openai.Parameters() {
		if known[p.Name] {
			t.Errorf("%s is in the table twice", p.Name)
		}
		known[p.Name] = true
	}
	for _, c := range []struct {
		scope string
		of    reflect.Type
	}{
		{"", reflect.TypeFor[sdk.ChatCompletionNewParams]()},
		{"stream_options.", reflect.TypeFor[sdk.ChatCompletionStreamOptionsParam]()},
		{"messages[].", reflect.TypeFor[sdk.ChatCompletionSystemMessageParam]()},
		{"messages[].", reflect.TypeFor[sdk.ChatCompletionDeveloperMessageParam]()},
		{"messages[].", reflect.TypeFor[sdk.ChatCompletionUserMessageParam]()},
		{"messages[].", reflect.TypeFor[sdk.ChatCompletionAssistantMessageParam]()},
		{"messages[].", reflect.TypeFor[sdk.ChatCompletionToolMessageParam]()},
		{"messages[].content[].", reflect.TypeFor[sdk.ChatCompletionContentPartTextParam]()},
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
