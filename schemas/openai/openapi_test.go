package openai_test

import (
	"bytes"
	"encoding/json"
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

// describedBelow are the names of the parameters below a schema, as the table
// writes them.
func describedBelow(d description, node map[string]any, prefix string, names map[string]bool) {
	if ref, ok := node["$ref"].(string); ok {
		node = d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	properties, _ := node["properties"].(map[string]any)
	for name, is := range properties {
		names[prefix+name] = true
		if member, ok := is.(map[string]any); ok {
			describedBelow(d, member, prefix+name+".", names)
		}
	}
	if items, ok := node["items"].(map[string]any); ok {
		describedBelow(d, items, strings.TrimSuffix(prefix, ".")+"[].", names)
	}
	alternatives, _ := node["oneOf"].([]any)
	for _, is := range alternatives {
		if member, ok := is.(map[string]any); ok {
			describedBelow(d, member, prefix, names)
		}
	}
}

func TestOpenAPIDescribesWhatIsHonoured(t *testing.T) {
	d := openAPI(t)
	for schema, parameters := range map[string][]openai.Parameter{
		"ChatRequest": openai.Parameters(), "CompletionRequest": openai.CompletionParameters(),
	} {
		described := map[string]bool{}
		describedBelow(d, d.at("components", "schemas", schema), "", described)
		for _, p := range parameters {
			if p.Disposition == openai.Honoured && !described[p.Name] {
				t.Errorf("%s: %s is honoured, but openapi.yaml does not say so", schema, p.Name)
			}
			if p.Disposition != openai.Honoured && described[p.Name] {
				t.Errorf("%s: %s is described, but %s", schema, p.Name, p.Disposition)
			}
			delete(described, p.Name)
		}
		for name := range described {
			t.Errorf("%s: %s is described, but is no parameter", schema, name)
		}
	}
}

// TestOpenAPIAcceptsTheClients: what is accepted fits the description, which is
// open to parameters that change nothing.
func TestOpenAPIAcceptsTheClients(t *testing.T) {
	d := openAPI(t)
	chat, completion := d.schema(t, "ChatRequest"), d.schema(t, "CompletionRequest")
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
		request := chat
		if f.Path == "/v1/completions" {
			request = completion
		}
		if err := complaint(request, f.Body); f.Refused == nil && err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	d := openAPI(t)
	for _, c := range []struct{ format, chunk, answer string }{
		{schemas.FormatOpenAIChat, "ChatCompletionChunk", "ChatCompletion"},
		{schemas.FormatOpenAICompletions, "TextCompletion", "TextCompletion"},
	} {
		chunkSchema, answerSchema, errorSchema := d.schema(t, c.chunk), d.schema(t, c.answer), d.schema(t, "Error")
		t.Run(c.format, rapid.MakeCheck(func(t *rapid.T) {
			check := func(want *jsonschema.Schema, data []byte) {
				if err := complaint(want, data); err != nil {
					t.Fatalf("%s: %v", data, err)
				}
			}
			events, _ := randomLog(t, c.format)
			s := openai.NewStream(openai.StreamOptions{})
			for _, e := range events {
				for _, chunk := range s.Event(e) {
					if chunk.Error != nil {
						check(errorSchema, chunk.Data)
					} else {
						check(chunkSchema, chunk.Data)
					}
				}
			}
			if data, err := openai.Answer(events, openai.StreamOptions{Model: "tiny"}); err == nil {
				check(answerSchema, data)
			}
		}))
	}
}

func TestOpenAPIDescribesTheModels(t *testing.T) {
	d := openAPI(t)
	list := openai.NewModelList([]string{"gone"}, []schemas.WorkerStatus{{ID: "w", Model: "tiny", Context: 1, Draining: true}})
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := complaint(d.schema(t, "ModelList"), data); err != nil {
		t.Errorf("%s: %v", data, err)
	}
}
