package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/schemas"
	"github.com/semantic-worker/semantic/schemas/openai"
)

// description is openapi.yaml.
type description struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

func openAPI(t *testing.T) description {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(schemas.OpenAPI(), &tree); err != nil {
		t.Fatal(err)
	}
	// Through JSON, so that the schemas have JSON's types.
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	d := description{compiler: jsonschema.NewCompiler()}
	d.doc, _ = doc.(map[string]any)
	if err := d.compiler.AddResource("urn:openapi", doc); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d description) schema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	s, err := d.compiler.Compile("urn:openapi#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (d description) at(path ...string) map[string]any {
	here := d.doc
	for _, name := range path {
		here, _ = here[name].(map[string]any)
	}
	return here
}

// complaint is what a schema has against a document, closed or not.
func complaint(s *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

func TestOpenAPIReferences(t *testing.T) {
	d := openAPI(t)
	var check func(node any)
	check = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if ref, ok := n["$ref"].(string); ok {
				path, local := strings.CutPrefix(ref, "#/")
				if !local || d.at(strings.Split(path, "/")...) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, member := range n {
				check(member)
			}
		case []any:
			for _, item := range n {
				check(item)
			}
		}
	}
	check(d.doc)
}

func TestOpenAPIListsEveryCodeAndType(t *testing.T) {
	properties := []string{"components", "schemas", "Error", "properties", "error", "properties"}
	list := func(name string) []string {
		var out []string
		enum, _ := openAPI(t).at(append(properties, name)...)["enum"].([]any)
		for _, value := range enum {
			if word, ok := value.(string); ok {
				out = append(out, word)
			}
		}
		slices.Sort(out)
		return out
	}
	var codes, types []string
	for _, code := range schemas.Codes() {
		codes = append(codes, string(code))
		types = append(types, openai.TypeOf(code))
	}
	slices.Sort(codes)
	slices.Sort(types)
	if got := list("code"); !reflect.DeepEqual(got, codes) {
		t.Errorf("codes are %v, want %v", got, codes)
	}
	if got, want := list("type"), slices.Compact(types); !reflect.DeepEqual(got, want) {
		t.Errorf("types are %v, want %v", got, want)
	}
}

func TestOpenAPIDescribesWhatIsHonoured(t *testing.T) {
	d := openAPI(t)
	described := map[string]bool{}
	add := func(scope string, path ...string) {
		for name := range d.at(append([]string{"components", "schemas"}, path...)...) {
			described[scope+name] = true
		}
	}
	add("", "ChatRequest", "properties")
	add("stream_options.", "ChatRequest", "properties", "stream_options", "properties")
	add("messages[].", "RequestMessage", "properties")
	for _, p := range openai.Parameters() {
		part := strings.HasPrefix(p.Name, "messages[].content[].")
		if p.Disposition == openai.Honoured && !described[p.Name] && !part {
			t.Errorf("%s is honoured, but openapi.yaml does not say so", p.Name)
		}
		if p.Disposition != openai.Honoured && described[p.Name] {
			t.Errorf("%s is described, but %s", p.Name, p.Disposition)
		}
	}
}

// TestOpenAPIAcceptsTheClients: what is accepted fits the description, which is
// open to parameters that change nothing.
func TestOpenAPIAcceptsTheClients(t *testing.T) {
	request := openAPI(t).schema(t, "ChatRequest")
	files, err := filepath.Glob("testdata/clients/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f fixture
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		if err := complaint(request, f.Body); f.Refused == nil && err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	d := openAPI(t)
	chunkSchema, errorSchema := d.schema(t, "ChatCompletionChunk"), d.schema(t, "Error")
	completionSchema := d.schema(t, "ChatCompletion")
	rapid.Check(t, func(t *rapid.T) {
		events, _ := randomLog(t)
		s := openai.NewStream(openai.StreamOptions{})
		for _, e := range events {
			for _, c := range s.Event(e) {
				want := chunkSchema
				if c.Error != nil {
					want = errorSchema
				}
				if err := complaint(want, c.Data); err != nil {
					t.Fatalf("%s: %v", c.Data, err)
				}
			}
		}
		completion, err := openai.Completion(events, openai.StreamOptions{Model: "tiny"})
		var answer any = completion
		want := completionSchema
		var e *openai.Error
		switch {
		case errors.As(err, &e):
			answer, want = openai.ErrorBody{Error: *e}, errorSchema
		case err != nil:
			return
		}
		data, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		if err := complaint(want, data); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
	})

	list := openai.NewModelList([]string{"gone"}, []schemas.WorkerStatus{{ID: "w", Model: "tiny", Context: 1, Draining: true}})
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := complaint(d.schema(t, "ModelList"), data); err != nil {
		t.Errorf("%s: %v", data, err)
	}
}
