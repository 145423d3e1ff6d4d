package jsonschema_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
)

// TestEveryKeywordRefused wants every refused keyword of the table to be named
// with its path, however deep it is.
func TestEveryKeywordRefused(t *testing.T) {
	seen := 0
	for _, k := range jsonschema.Keywords() {
		if k.Use != jsonschema.Refused {
			continue
		}
		seen++
		if k.Note == "" {
			t.Errorf("%s: no reason", k.Name)
		}
		schema := fmt.Sprintf(`{"type":"object","properties":{"a/b":{"type":"array","items":{"anyOf":[{"type":"null"},{%q:{}}]}}}}`, k.Name)
		wantRefused(t, schema, "/properties/a~1b/items/anyOf/1/"+k.Name, k.Name)
	}
	if seen < 15 {
		t.Errorf("only %d keywords are refused", seen)
	}
}

func wantRefused(t *testing.T, schema, path, keyword string) {
	t.Helper()
	text, err := jsonschema.Grammar([]byte(schema))
	refused := new(jsonschema.Error)
	if !errors.As(err, &refused) {
		t.Errorf("%s\nis not refused: %v\n%s", schema, err, text)
		return
	}
	if refused.Path != path || refused.Keyword != keyword || refused.Reason == "" {
		t.Errorf("%s\nis refused as %q, keyword %q: %s\nwant %q, %q", schema, refused.Path, refused.Keyword, refused.Reason, path, keyword)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ schema, path, keyword string }{
		// What is no schema.
		{``, "", ""},
		{`{`, "", ""},
		{`{} {}`, "", ""},
		{"{\"title\":\"\xff\"}", "", ""},
		{`3`, "", ""},
		{`{"a":1,"type":"null"}`, "/a", "a"},
		{`{"properties":{"a":{"title":"x","title":"y"}}}`, "/properties/a", "a"},
		{`{"type":"text"}`, "/type", "type"},
		{`{"type":["null","text"]}`, "/type/1", "type"},
		{`{"type":[]}`, "/type", "type"},
		{`{"enum":[]}`, "/enum", "enum"},
		{`{"enum":"a"}`, "/enum", "enum"},
		{`{"anyOf":[]}`, "/anyOf", "anyOf"},
		{`{"allOf":{}}`, "/allOf", "allOf"},
		{`{"allOf":[1]}`, "/allOf/0", "allOf"},
		{`{"properties":[]}`, "/properties", "properties"},
		{`{"properties":{"a":1}}`, "/properties/a", "a"},
		{`{"required":"a"}`, "/required", "required"},
		{`{"required":[1]}`, "/required/0", "required"},
		{`{"minLength":-1}`, "/minLength", "minLength"},
		{`{"minLength":1.5}`, "/minLength", "minLength"},
		{`{"maxItems":"1"}`, "/maxItems", "maxItems"},
		{`{"minimum":"1"}`, "/minimum", "minimum"},
		{`{"exclusiveMinimum":true}`, "/exclusiveMinimum", "exclusiveMinimum"},
		{`{"multipleOf":0}`, "/multipleOf", "multipleOf"},
		{`{"minimum":1e999999999}`, "/minimum", "minimum"},
		{`{"uniqueItems":1}`, "/uniqueItems", "uniqueItems"},
		{`{"pattern":1}`, "/pattern", "pattern"},
		{`{"format":1}`, "/format", "format"},
		{`{"properties":{"a":{"$id":"x"}}}`, "/properties/a/$id", "$id"},

		// References.
		{`{"$ref":1}`, "/$ref", "$ref"},
		{`{"$ref":"https://example.org/x"}`, "/$ref", "$ref"},
		{`{"$ref":"#name"}`, "/$ref", "$ref"},
		{`{"$ref":"#/$defs/a"}`, "/$ref", "$ref"},
		{`{"$ref":"#/enum/1","enum":[1]}`, "/$ref", "$ref"},
		{`{"$ref":"#/$defs/a","$defs":{"a":3}}`, "/$defs/a", "a"},
		{`{"$ref":"#"}`, "", ""},
		{`{"properties":{"a":{"anyOf":[{"$ref":"#/properties/a"},{"type":"null"}]}}}`, "/properties/a", "a"},

		// What cannot be kept.
		{`{"format":"regex"}`, "/format", "format"},
		{`{"type":"array","uniqueItems":true}`, "/uniqueItems", "uniqueItems"},
		{`{"type":"array","minItems":100000}`, "/minItems", "minItems"},
		{`{"type":"string","minLength":100000}`, "/minLength", "minLength"},
		{`{"type":"integer","multipleOf":3}`, "/multipleOf", "multipleOf"},
		{`{"type":"integer","multipleOf":3,"minimum":0,"maximum":100000}`, "/multipleOf", "multipleOf"},
		{`{"type":"number","multipleOf":0.3}`, "/multipleOf", "multipleOf"},
		{`{"type":"number","minimum":1e-50}`, "/minimum", "minimum"},
		{`{"type":"object","minProperties":2}`, "/minProperties", "minProperties"},
		{`{"type":"object","properties":{"a":{}},"propertyNames":{"pattern":"^a"}}`, "/propertyNames", "propertyNames"},
		{`{"additionalProperties":{},"propertyNames":{"$ref":"#"}}`, "/propertyNames", "propertyNames"},
		{`{"oneOf":[{"type":"number"},{"type":"integer"}]}`, "/oneOf", "oneOf"},
		{`{"oneOf":[{"type":"string","maxLength":3},{"type":"string","pattern":"^a+$"}]}`, "/oneOf", "oneOf"},
		{`{"oneOf":[{"properties":{"a":{}}},{"type":"string"}]}`, "/oneOf", "oneOf"},
		{`{"type":"object","oneOf":[{"properties":{"k":{"const":1}}},{"properties":{"k":{"const":2}}}]}`, "/oneOf", "oneOf"},

		// Patterns.
		{`{"pattern":"a(?=b)"}`, "/pattern", "pattern"},
		{`{"pattern":"a(?!b)"}`, "/pattern", "pattern"},
		{`{"pattern":"(?<=a)b"}`, "/pattern", "pattern"},
		{`{"pattern":"(?<!a)b"}`, "/pattern", "pattern"},
		{`{"pattern":"(?i)a"}`, "/pattern", "pattern"},
		{`{"pattern":"(a)\\1"}`, "/pattern", "pattern"},
		{`{"pattern":"(?<n>a)\\k<n>"}`, "/pattern", "pattern"},
		{`{"pattern":"\\bword"}`, "/pattern", "pattern"},
		{`{"pattern":"a^b"}`, "/pattern", "pattern"},
		{`{"pattern":"(^a)?b"}`, "/pattern", "pattern"},
		{`{"pattern":"a$b"}`, "/pattern", "pattern"},
		{`{"pattern":"("}`, "/pattern", "pattern"},
		{`{"pattern":"["}`, "/pattern", "pattern"},
		{`{"pattern":"[]"}`, "/pattern", "pattern"},
		{`{"pattern":"a**"}`, "/pattern", "pattern"},
		{`{"pattern":"\\"}`, "/pattern", "pattern"},
		{`{"pattern":"\\q"}`, "/pattern", "pattern"},
		{`{"pattern":"\\ud800"}`, "/pattern", "pattern"},
		{`{"pattern":"\\p{Script=Greek}"}`, "/pattern", "pattern"},
		{`{"pattern":"[a\\S]"}`, "/pattern", "pattern"},
		{`{"type":"string","pattern":"^a+b+$","maxLength":5}`, "/maxLength", "maxLength"},
		{`{"type":"string","pattern":"ab","minLength":5}`, "/minLength", "minLength"},
		{`{"allOf":[{"type":"string","pattern":"^a+$"},{"pattern":"b"}]}`, "/allOf/1/pattern", "pattern"},
		{`{"type":"string","pattern":"^a+$","format":"date"}`, "/format", "format"},

		// What allows no value.
		{`false`, "", ""},
		{`{"allOf":[{"type":"string"},{"type":"null"}]}`, "", ""},
		{`{"type":"integer","minimum":3,"maximum":2}`, "/maximum", "maximum"},
		{`{"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":4}`, "/exclusiveMaximum", "exclusiveMaximum"},
		{`{"type":"integer","multipleOf":10,"minimum":11,"maximum":19}`, "/multipleOf", "multipleOf"},
		{`{"type":"string","minLength":3,"maxLength":2}`, "/minLength", "minLength"},
		{`{"type":"string","pattern":"^aaa$","maxLength":2}`, "/pattern", "pattern"},
		{`{"type":"array","minItems":3,"maxItems":2}`, "/minItems", "minItems"},
		{`{"type":"array","items":false,"minItems":1}`, "/items", "items"},
		{`{"type":"object","minProperties":3,"maxProperties":2}`, "/minProperties", "minProperties"},
		{`{"type":"object","properties":{"a":{"type":"string","enum":[1]}},"required":["a"]}`, "/properties/a/enum", "enum"},
		{`{"type":"object","properties":{"a":{}},"required":["b"],"additionalProperties":false}`, "/additionalProperties", "additionalProperties"},
		{`{"type":"object","required":["b"],"propertyNames":{"const":"a"}}`, "/required/0", "required"},
		{`{"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]}`, "", ""},
		{`{"const":1,"type":"string"}`, "/const", "const"},
	} {
		wantRefused(t, tt.schema, tt.path, tt.keyword)
	}
}

func TestLimits(t *testing.T) {
	deep := strings.Repeat(`{"items":`, 200) + `{}` + strings.Repeat(`}`, 200)
	var wide strings.Builder
	for i := range 10 {
		fmt.Fprintf(&wide, `{"anyOf":[{"title":"a%d"},{"title":"b%d"}]},`, i, i)
	}
	for name, tt := range map[string]struct{ schema, limit string }{
		"bytes":        {`{"title":"` + strings.Repeat("x", 300<<10) + `"}`, "bytes"},
		"depth":        {deep, "levels of nesting"},
		"combinations": {`{"allOf":[` + wide.String() + `{}]}`, "combinations of anyOf, oneOf and allOf in one place"},
	} {
		_, err := jsonschema.Grammar([]byte(tt.schema))
		limit := new(jsonschema.LimitError)
		if !errors.As(err, &limit) || limit.Limit != tt.limit {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrefix(t *testing.T) {
	schema := `{"type":"object","properties":{"a":{"type":["integer","string"]},"b":{"pattern":"^[^a]+$"},"c":{"items":{"$ref":"#"}}},
		"additionalProperties":true,"minProperties":1}`
	rules, root, err := jsonschema.Rules([]byte(schema), "tool-1-")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(rules) {
		if !strings.HasPrefix(line, "tool-1-") {
			t.Errorf("a rule without the prefix: %s", line)
		}
	}
	other, otherRoot, err := jsonschema.Rules([]byte(schema), "tool-2-")
	if err != nil {
		t.Fatal(err)
	}
	g := mustParseText(t, "root ::= "+root+" | \"x\" "+otherRoot+"\n"+rules+other)
	for _, text := range []string{`{"a":1,"d":null}`, `x{"c":[{"b":"b"}]}`} {
		if !accepts(g, text) {
			t.Errorf("refused: %s", text)
		}
	}
	for _, prefix := range []string{"", "a_b", "ä", "a b"} {
		if _, _, err := jsonschema.Rules([]byte(`true`), prefix); err == nil {
			t.Errorf("the prefix %q is accepted", prefix)
		}
	}
}

func TestObjectGrammar(t *testing.T) {
	g := mustParseText(t, jsonschema.ObjectGrammar())
	for text, want := range map[string]bool{
		`{}`: true, `{"a": [1, {"b": null}]}`: true, "{\n  \"a\": 1\n}": true,
		`[]`: false, `1`: false, `{"a":1,}`: false, "{\n\n\"a\":1}": false, "{}\n": false,
	} {
		if accepts(g, text) != want {
			t.Errorf("%s: accepted: %v", text, !want)
		}
	}
}
