package openai_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

func TestErrorBody(t *testing.T) {
	data, err := json.Marshal(openai.ErrorBody{Error: *openai.NewError(schemas.CodeQueueFull, "", "Try later.")})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"error":{"message":"Try later.","type":"rate_limit_error","param":null,"code":"queue_full"}}`; string(data) != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
}

func TestTypeOf(t *testing.T) {
	counts := map[string]int{}
	for _, code := range schemas.Codes() {
		counts[openai.TypeOf(code)]++
	}
	if counts[openai.TypeAuthentication] != 1 || counts[openai.TypePermission] != 1 || counts[openai.TypeRateLimit] != 2 {
		t.Errorf("got %v", counts)
	}
	if got := openai.TypeOf("of_a_newer_release"); got != openai.TypeServer {
		t.Errorf("an unknown code is a %s", got)
	}
}

func TestRequestError(t *testing.T) {
	if e := openai.RequestError(errors.New("disk")); e != nil {
		t.Errorf("got %+v", e)
	}
	_, err := decode(`{"model":`)
	if e := openai.RequestError(err); e == nil || e.Param != nil && *e.Param == "" || !strings.Contains(e.Message, "not valid JSON") {
		t.Errorf("got %+v", e)
	}
	_, err = decode(`null`)
	if e := openai.RequestError(err); e == nil || e.Param != nil || e.Message != "request body: must be an object, not null" {
		t.Errorf("got %+v", e)
	}
	_, err = decode(`{"modell":"m"}`)
	if e := openai.RequestError(err); e == nil || e.Message != "Unrecognized request argument supplied: modell" {
		t.Errorf("got %+v", e)
	}
}
