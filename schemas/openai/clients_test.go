package openai_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// fixture is a request body as a client sends it, and what becomes of it.
type fixture struct {
	Client  string          `json:"client"`
	Path    string          `json:"path"`
	Body    json.RawMessage `json:"body"`
	Refused *struct {
		Code  schemas.Code `json:"code"`
		Param string       `json:"param"`
	} `json:"refused"`
	Why string `json:"why"`
}

func TestClients(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.json")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var f fixture
			if err := json.Unmarshal(data, &f); err != nil {
				t.Fatal(err)
			}
			read := openai.DecodeChatRequest
			if f.Path == "/v1/completions" {
				read = openai.DecodeCompletionRequest
			}
			req, warnings, err := read(f.Body, openai.DecodeOptions{})
			if f.Refused == nil {
				if err != nil || len(warnings) > 0 {
					t.Fatalf("%s is refused: %v %v", f.Client, err, warnings)
				}
				written, err := schemas.EncodeJob(req.Job())
				if err != nil {
					t.Fatalf("its job cannot be written: %v", err)
				}
				if _, err := schemas.DecodeJob(written); err != nil {
					t.Fatalf("its job cannot be read: %v", err)
				}
				return
			}
			var fe *schemas.FieldError
			if !errors.As(err, &fe) || fe.Code != f.Refused.Code || fe.Field != f.Refused.Param {
				t.Fatalf("got %v, want %s for %s", err, f.Refused.Code, f.Refused.Param)
			}
			if f.Why == "" {
				t.Error("a refusal without a reason for people")
			}
			e := openai.RequestError(err)
			if e.Type != openai.TypeInvalidRequest || *e.Param != f.Refused.Param || *e.Code != f.Refused.Code || e.Message == "" {
				t.Errorf("the answer is %+v", e)
			}
		})
	}
}
