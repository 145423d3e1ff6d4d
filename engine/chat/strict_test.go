package chat

import (
	"math/rand/v2"
	"strings"
	"testing"

	oracle "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/semantic-worker/semantic/engine/grammar"
)

// TestStrictWalks: whatever a model writes of an enforced call within the grammar
// is read as arguments that are valid by the tool's schema, in the formats too
// that write no JSON.
func TestStrictWalks(t *testing.T) {
	schemas := []string{
		``,
		`{"type":"object"}`,
		`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},"c":{"type":"boolean"}},"required":["b"]}`,
		`{"type":"object","properties":{"s":{"enum":["x y","é","</p"]},"t":{"const":"v"},"u":{"type":["string","null"]},"n":{"type":"number"}}}`,
		`{"type":"object","properties":{"l":{"type":"array","items":{"type":"string"}},` +
			`"o":{"type":"object","properties":{"x":{"type":"string"}},"required":["x"]}},"required":["l","o"]}`,
		`{"type":"object","properties":{"m":{"anyOf":[{"type":"integer"},{"type":"string"}]},` +
			`"e":{"type":"string","enum":["a","b"],"const":"b"}}}`,
		`{"type":"object","properties":{"e":{"type":"integer","enum":["a",1,1.5]}},"required":["e"]}`,
		`{"type":"object","properties":{"child":{"type":"object",` +
			`"properties":{"next":{"$ref":"#"},"k":{"type":"integer"}},"required":["k"]}},"required":["child"]}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/t"}},"required":["a"],"$defs":{"t":{"type":"array","items":{"type":"integer"}}}}`,
		`{"type":"object","properties":{"a":{"type":"integer","minimum":3,"maximum":12},` +
			`"p":{"type":"array","items":{"type":"string","pattern":"^</pa?rameter>$"}}}}`,
	}
	templates := []string{
		"tools/hermes.jinja", "tools/llama.jinja", "tools/mistral13.jinja", "tools/deepseekr1.jinja",
		"tools/qwencoder.jinja", "tools/glm.jinja", "tools/gemma4.jinja",
	}
	kept := 0
	for _, name := range templates {
		template := load(t, name)
		for _, schema := range schemas {
			c := exchange(t)
			c.Tools = c.Tools[:1]
			c.Tools[0].Parameters = []byte(schema)
			c.ToolChoice = ToolChoice{Mode: ToolFunction, Name: c.Tools[0].Name}
			plan, err := template.Prepare(c)
			if err != nil {
				continue // TestUnsupported tells what is refused
			}
			kept++
			valid := compiled(t, string(c.Tools[0].schema()))
			r := rand.New(rand.NewPCG(1, uint64(kept)))
			for range 40 {
				text := walked(t, plan.Grammar, r)
				got := parsed(t, plan, text)
				if len(got.Names) != 1 || got.Content != "" {
					t.Fatalf("%s, %s: %q gives %v", name, schema, text, got)
				}
				value, err := oracle.UnmarshalJSON(strings.NewReader(got.Arguments[0]))
				if err == nil {
					err = valid.Validate(value)
				}
				if err != nil {
					t.Fatalf("%s, %s: %q gives %s: %v", name, schema, text, got.Arguments[0], err)
				}
			}
		}
	}
	if kept < len(templates)*len(schemas)*3/4 {
		t.Errorf("%d of %d schemas were kept", kept, len(templates)*len(schemas))
	}
}

func compiled(t *testing.T, schema string) *oracle.Schema {
	t.Helper()
	value, err := oracle.UnmarshalJSON(strings.NewReader(schema))
	c := oracle.NewCompiler()
	if err == nil {
		err = c.AddResource("mem:///schema.json", value)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.Compile("mem:///schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// walked is a random text of a grammar, of ASCII where there is some, and of tags
// that end free text. The longer it gets, the more it likes what ends something.
func walked(t *testing.T, gbnf string, r *rand.Rand) string {
	t.Helper()
	g, err := grammar.Parse(gbnf)
	if err != nil {
		t.Fatal(err)
	}
	m := g.Matcher()
	tags := []string{"</think>", "<channel|>", "\n</parameter>\n", "</arg_value>", gemmaQuote}
	var text []byte
	for !m.Finished() && (!m.Complete() || r.IntN(4) > 0) {
		set := m.AllowedBytes()
		var all, ends []byte
		for b := range 256 {
			if set[b/64]>>(b%64)&1 == 1 && (b < 0x80 || len(all) == 0) {
				all = append(all, byte(b))
				if strings.IndexByte("\"}]</|>k0", byte(b)) >= 0 {
					ends = append(ends, byte(b))
				}
			}
		}
		if len(ends) > 0 && r.IntN(400) < len(text) {
			all = ends
		}
		next := all[r.IntN(len(all)):][:1]
		if tag := tags[r.IntN(len(tags))]; r.IntN(3) == 0 && m.Allows([]byte(tag)) {
			next = []byte(tag)
		}
		if !m.Accept(next) || len(text) > 20_000 {
			t.Fatalf("no way on behind %.300q", text)
		}
		text = append(text, next...)
	}
	return string(text)
}
