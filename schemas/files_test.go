package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
)

// contract is one document type: its schema and its decoder must agree.
type contract struct {
	name   string
	schema func() []byte
	valid  *rapid.Generator[[]byte]
	decode func([]byte) error
}

func contracts() []contract {
	return []contract{
		{
			"job", schemas.JobSchema,
			rapid.Custom(func(t *rapid.T) []byte { return must(schemas.EncodeJob(job().Draw(t, "job"))) }),
			func(data []byte) error { _, err := schemas.DecodeJob(data); return err },
		},
		{
			"event", schemas.EventSchema,
			rapid.Custom(func(t *rapid.T) []byte { return must(schemas.EncodeEvent(event().Draw(t, "event"))) }),
			func(data []byte) error { _, err := schemas.DecodeEvent(data); return err },
		},
		{
			"worker", schemas.WorkerSchema,
			rapid.Custom(func(t *rapid.T) []byte { return must(schemas.EncodeWorkerStatus(worker().Draw(t, "worker"))) }),
			func(data []byte) error { _, err := schemas.DecodeWorkerStatus(data); return err },
		},
		{
			"input", schemas.InputSchema,
			rapid.Custom(func(t *rapid.T) []byte { return must(schemas.EncodeInput(input().Draw(t, "input"))) }),
			func(data []byte) error { _, err := schemas.DecodeInput(data); return err },
		},
		{
			"parked", schemas.ParkedSchema,
			rapid.Custom(func(t *rapid.T) []byte { return must(schemas.EncodeParked(parked().Draw(t, "parked"))) }),
			func(data []byte) error { _, err := schemas.DecodeParked(data); return err },
		},
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func compile(t *testing.T, data []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:under-test", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("urn:under-test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaAcceptsWhatIsWritten(t *testing.T) {
	for _, c := range contracts() {
		schema := compile(t, c.schema())
		t.Run(c.name, rapid.MakeCheck(func(t *rapid.T) {
			data := c.valid.Draw(t, "document")
			if err := schema.Validate(parse(t, data)); err != nil {
				t.Fatalf("%s: %v", data, err)
			}
		}))
	}
}

func parse(t *rapid.T, data []byte) any {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestSchemaAndDecoderAgree breaks valid documents in every way that a parsed
// document can be broken.
func TestSchemaAndDecoderAgree(t *testing.T) {
	for _, c := range contracts() {
		schema := compile(t, c.schema())
		t.Run(c.name, rapid.MakeCheck(func(t *rapid.T) {
			var doc any
			if err := json.Unmarshal(c.valid.Draw(t, "document"), &doc); err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(mutate(t, doc))
			if err != nil {
				t.Fatal(err)
			}
			bySchema, byDecoder := schema.Validate(parse(t, data)), c.decode(data)
			if bySchema == nil && unsayable(byDecoder) {
				return
			}
			if (bySchema == nil) != (byDecoder == nil) {
				t.Fatalf("%s\nschema:  %v\ndecoder: %v", data, bySchema, byDecoder)
			}
		}))
	}
}

// unsayable reports whether a refusal is one of those that JSON Schema has no
// words for: they compare values of two fields, or read JSON within a string.
func unsayable(refusal error) bool {
	var e *schemas.FieldError
	if !errors.As(refusal, &e) {
		return false
	}
	return slices.ContainsFunc([]string{
		`^tools\[\d+\]\.name: is the name of another tool`,
		`^tool_choice\.name: must be the name of one of the tools`,
		`^tool_choice: requires a call, but there are no tools`,
		`^(response_format|grammar): is not supported together with`,
		`^n: makes \d+ choices of \d+ prompts`,
		`^min_tokens: is \d+, more than max_tokens`,
		`^messages\[\d+\]\.tool_calls\[\d+\]\.arguments: must be a JSON object`,
		`^(delta|done)\.logprobs: must have an entry for each of the \d+ tokens`,
	}, func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(e.Error()) })
}

// mutate changes one place of a document.
func mutate(t *rapid.T, doc any) any {
	switch d := doc.(type) {
	case map[string]any:
		names := make([]string, 0, len(d))
		for name := range d {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(names) == 0 || rapid.IntRange(0, 9).Draw(t, "add") == 0 {
			d["surprise"] = 1
			return d
		}
		name := rapid.SampledFrom(names).Draw(t, "member")
		if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
			delete(d, name)
			return d
		}
		d[name] = mutate(t, d[name])
		return d
	case []any:
		if len(d) == 0 || rapid.IntRange(0, 3).Draw(t, "replace") == 0 {
			break
		}
		i := rapid.IntRange(0, len(d)-1).Draw(t, "item")
		d[i] = mutate(t, d[i])
		return d
	}
	return rapid.SampledFrom([]any{
		nil, true, "", "x", "eA==", "chat", "completion", "delta", "tool", "assistant", "function", "json_schema",
		"2026-01-02T03:04:05Z", strings.Repeat("é", 201),
		0, 1, 2, -1, 0.5, 1.5, 3e9, json.Number("1.0"), []any{}, []any{"x"}, []any{-1}, []any{1}, map[string]any{},
	}).Draw(t, "value")
}

func TestSchemasDescribeThemselves(t *testing.T) {
	for _, c := range contracts() {
		var s struct {
			ID         string `json:"$id"`
			Title      string `json:"title"`
			Properties map[string]struct {
				Description string `json:"description"`
			} `json:"properties"`
		}
		if err := json.Unmarshal(c.schema(), &s); err != nil {
			t.Fatal(err)
		}
		if s.ID != fmt.Sprintf("urn:semantic:schema:%s:%d", c.name, schemas.Version) || s.Title == "" {
			t.Errorf("%s: id %q, title %q", c.name, s.ID, s.Title)
		}
		if c.name == "job" {
			for name, p := range s.Properties {
				if !strings.HasPrefix(p.Description, name+" ") {
					t.Errorf("job: %s is described by %q", name, p.Description)
				}
			}
		}
	}
}

// TestAsyncAPI checks that every reference of asyncapi.yaml leads somewhere and
// that it names every header of a job's message.
func TestAsyncAPI(t *testing.T) {
	var doc map[string]any
	if err := yaml.Unmarshal(schemas.AsyncAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	references := 0
	walk(doc, func(ref string) {
		references++
		path, local := strings.CutPrefix(ref, "#/")
		if !local {
			if !slices.Contains([]string{"job.schema.json", "event.schema.json", "input.schema.json", "parked.schema.json"}, ref) {
				t.Errorf("%s is not a file", ref)
			}
			return
		}
		if lookup(doc, strings.Split(path, "/")...) == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	})
	if references < 10 {
		t.Errorf("only %d references were found", references)
	}
	headers, _ := lookup(doc, "components", "messages", "job", "headers", "properties").(map[string]any)
	for _, h := range []string{
		schemas.HeaderJobID, schemas.HeaderReplyTo, schemas.HeaderRequestID, schemas.HeaderTraceParent, schemas.HeaderTraceState,
	} {
		if headers[h] == nil {
			t.Errorf("the header %s is not described", h)
		}
	}
	classes, _ := lookup(doc, "channels", "jobs", "parameters", "class", "enum").([]any)
	if got, want := fmt.Sprint(classes), fmt.Sprint(schemas.Classes()); got != want {
		t.Errorf("classes are %s, want %s", got, want)
	}
}

func walk(doc any, visit func(ref string)) {
	switch d := doc.(type) {
	case map[string]any:
		if ref, ok := d["$ref"].(string); ok {
			visit(ref)
		}
		for _, member := range d {
			walk(member, visit)
		}
	case []any:
		for _, item := range d {
			walk(item, visit)
		}
	}
}

func lookup(doc any, path ...string) any {
	for _, name := range path {
		m, ok := doc.(map[string]any)
		if !ok {
			return nil
		}
		doc = m[name]
	}
	return doc
}
