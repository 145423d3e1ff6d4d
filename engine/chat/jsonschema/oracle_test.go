package jsonschema_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	oracle "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
	"github.com/semantic-worker/semantic/engine/grammar"
)

// fataler is what *testing.T and *rapid.T have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// validator is what another author made of the schema. Formats are assertions.
func validator(schema string) (*oracle.Schema, error) {
	doc, err := decodeAny(schema)
	if err != nil {
		return nil, err
	}
	c := oracle.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("mem:///schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("mem:///schema.json")
}

func mustValidate(t fataler, schema string) *oracle.Schema {
	t.Helper()
	v, err := validator(schema)
	if err != nil {
		t.Fatalf("the schema is none: %v\n%s", err, schema)
	}
	return v
}

func valid(v *oracle.Schema, text string) error {
	doc, err := decodeAny(text)
	if err != nil {
		return err
	}
	return v.Validate(doc)
}

func mustParse(t fataler, schema string) *grammar.Grammar {
	t.Helper()
	text, err := jsonschema.Grammar([]byte(schema))
	if err != nil {
		t.Fatalf("%v\n%s", err, schema)
	}
	g, err := grammar.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, schema, text)
	}
	return g
}

func accepts(g *grammar.Grammar, text string) bool {
	m := g.Matcher()
	return m.Accept([]byte(text)) && m.Complete()
}

// walk writes a random text of the grammar. Past its budget it takes the way
// that ends soonest, as far as one byte can tell.
func walk(t fataler, g *grammar.Grammar, r *rand.Rand, budget int) string {
	t.Helper()
	m := g.Matcher()
	var text []byte
	for !m.Finished() && (!m.Complete() || r.IntN(4) > 0) {
		if len(text) > budget+20_000 {
			t.Fatalf("a text that does not end: %.200s...", text)
		}
		b := anyByte(r, m.AllowedBytes())
		if len(text) > budget {
			b = soonest(m.AllowedBytes(), text, b)
		}
		if !m.Accept([]byte{b}) {
			t.Fatalf("%q is allowed behind %q, and then refused", b, text)
		}
		text = append(text, b)
	}
	if !utf8.Valid(text) || !json.Valid(text) {
		t.Fatalf("no JSON: %q", text)
	}
	return string(text)
}

func has(set [4]uint64, b byte) bool { return set[b/64]>>(b%64)&1 == 1 }

// anyByte prefers ASCII, of which there are less.
func anyByte(r *rand.Rand, set [4]uint64) byte {
	var list, ascii []byte
	for b := range 256 {
		if has(set, byte(b)) {
			list = append(list, byte(b))
			if b < 0x80 {
				ascii = append(ascii, byte(b))
			}
		}
	}
	if len(ascii) > 0 && r.IntN(8) > 0 {
		list = ascii
	}
	return list[r.IntN(len(list))]
}

// soonest is the byte that ends what is open, where one can.
func soonest(set [4]uint64, text []byte, otherwise byte) byte {
	order := `}]"ntf0123456789-:[{`
	if inString(text) {
		order = `"`
	}
	for _, b := range []byte(order) {
		if has(set, b) {
			return b
		}
	}
	return otherwise
}

func inString(text []byte) bool {
	in := false
	for i := 0; i < len(text); i++ {
		switch {
		case in && text[i] == '\\':
			i++
		case text[i] == '"':
			in = !in
		}
	}
	return in
}

// checkWalks writes texts of the schema's grammar and has them validated.
func checkWalks(t fataler, g *grammar.Grammar, v *oracle.Schema, r *rand.Rand, count int) {
	t.Helper()
	for range count {
		text := walk(t, g, r, 200)
		if err := valid(v, text); err != nil {
			t.Fatalf("%s\nis not valid: %v", text, err)
		}
	}
}

func decodeAny(text string) (any, error) { return oracle.UnmarshalJSON(strings.NewReader(text)) }

func mustParseText(t fataler, text string) *grammar.Grammar {
	t.Helper()
	g, err := grammar.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return g
}
