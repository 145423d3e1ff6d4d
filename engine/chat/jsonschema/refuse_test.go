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
		wantRefused(t, schema, "/properties/a~1b/items/anyOf/1/"+k.Name)
	}
	if seen < 15 {
		t.Errorf("only %d keywords are refused", seen)
	}
}

func wantRefused(t *testing.T, schema, path string) {
	t.Helper()
	keyword := ""
	for step := range strings.SplitSeq(path, "/") {
		if strings.Trim(step, "0123456789") != "" { // the items of a list belong to the list
			keyword = step
		}
	}
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
	for _, tt := range []struct{ schema, path string }{
		// What is no schema.
		{``, ""},
		{`{`, ""},
		{`{} {}`, ""},
		{"{\"title\":\"\xff\"}", ""},
		{`3`, ""},
		{`{"a":1,"type":"null"}`, "/a"},
		{`{"properties":{"a":{"title":"x","title":"y"}}}`, "/properties/a"},
		{`{"type":"text"}`, "/type"},
		{`{"type":["null","text"]}`, "/type/1"},
		{`{"type":[]}`, "/type"},
		{`{"enum":[]}`, "/enum"},
		{`{"enum":"a"}`, "/enum"},
		{`{"anyOf":[]}`, "/anyOf"},
		{`{"allOf":{}}`, "/allOf"},
		{`{"allOf":[1]}`, "/allOf/0"},
		{`{"properties":[]}`, "/properties"},
		{`{"properties":{"a":1}}`, "/properties/a"},
		{`{"required":"a"}`, "/required"},
		{`{"required":[1]}`, "/required/0"},
		{`{"minLength":-1}`, "/minLength"},
		{`{"minLength":1.5}`, "/minLength"},
		{`{"maxItems":"1"}`, "/maxItems"},
		{`{"minimum":"1"}`, "/minimum"},
		{`{"exclusiveMinimum":true}`, "/exclusiveMinimum"},
		{`{"multipleOf":0}`, "/multipleOf"},
		{`{"minimum":1e999999999}`, "/minimum"},
		{`{"uniqueItems":1}`, "/uniqueItems"},
		{`{"pattern":1}`, "/pattern"},
		{`{"format":1}`, "/format"},
		{`{"properties":{"a":{"$id":"x"}}}`, "/properties/a/$id"},

		// References.
		{`{"$ref":1}`, "/$ref"},
		{`{"$ref":"https://example.org/x"}`, "/$ref"},
		{`{"$ref":"#name"}`, "/$ref"},
		{`{"$ref":"#/$defs/a"}`, "/$ref"},
		{`{"$ref":"#/enum/1","enum":[1]}`, "/$ref"},
		{`{"$ref":"#/$defs/a","$defs":{"a":3}}`, "/$defs/a"},
		{`{"$ref":"#"}`, ""},
		{`{"properties":{"a":{"anyOf":[{"$ref":"#/properties/a"},{"type":"null"}]}}}`, "/properties/a"},

		// What cannot be kept.
		{`{"format":"regex"}`, "/format"},
		{`{"type":"array","uniqueItems":true}`, "/uniqueItems"},
		{`{"type":"array","minItems":100000}`, "/minItems"},
		{`{"type":"string","minLength":100000}`, "/minLength"},
		{`{"type":"integer","multipleOf":3}`, "/multipleOf"},
		{`{"type":"integer","multipleOf":3,"minimum":0,"maximum":100000}`, "/multipleOf"},
		{`{"type":"number","multipleOf":0.3}`, "/multipleOf"},
		{`{"type":"number","minimum":1e-50}`, "/minimum"},
		{`{"type":"object","minProperties":2}`, "/minProperties"},
		{`{"type":"object","properties":{"a":{}},"propertyNames":{"pattern":"^a"},"additionalProperties":true}`, "/propertyNames"},
		{`{"additionalProperties":{},"propertyNames":{"$ref":"#"}}`, "/propertyNames"},
		{`{"oneOf":[{"type":"number"},{"type":"integer"}]}`, "/oneOf"},
		{`{"oneOf":[{"type":"string","maxLength":3},{"type":"string","pattern":"^a+$"}]}`, "/oneOf"},
		{`{"oneOf":[{"properties":{"a":{}}},{"type":"string"}]}`, "/oneOf"},
		{`{"type":"object","oneOf":[{"properties":{"k":{"const":1}}},{"properties":{"k":{"const":2}}}]}`, "/oneOf"},

		// Patterns.
		{`{"pattern":"a(?=b)"}`, "/pattern"},
		{`{"pattern":"^(?!a)b|c"}`, "/pattern"},
		{`{"pattern":"^(?!a"}`, "/pattern"},
		{`{"pattern":"^(?=a(?!b))c"}`, "/pattern"},
		{`{"pattern":"a(?!b)"}`, "/pattern"},
		{`{"pattern":"(?<=a)b"}`, "/pattern"},
		{`{"pattern":"(?<!a)b"}`, "/pattern"},
		{`{"pattern":"(?i)a"}`, "/pattern"},
		{`{"pattern":"(a)\\1"}`, "/pattern"},
		{`{"pattern":"(?<n>a)\\k<n>"}`, "/pattern"},
		{`{"pattern":"\\bword"}`, "/pattern"},
		{`{"pattern":"a^b"}`, "/pattern"},
		{`{"pattern":"(^a)?b"}`, "/pattern"},
		{`{"pattern":"a$b"}`, "/pattern"},
		{`{"pattern":"("}`, "/pattern"},
		{`{"pattern":"["}`, "/pattern"},
		{`{"pattern":"[]"}`, "/pattern"},
		{`{"pattern":"a**"}`, "/pattern"},
		{`{"pattern":"\\"}`, "/pattern"},
		{`{"pattern":"\\q"}`, "/pattern"},
		{`{"pattern":"\\ud800"}`, "/pattern"},
		{`{"pattern":"\\p{Script=Greek}"}`, "/pattern"},
		{`{"pattern":"[a\\S]"}`, "/pattern"},
		{`{"type":"string","pattern":"^a+b+$","maxLength":5000}`, "/maxLength"},
		{`{"type":"string","pattern":"ab","minLength":5000}`, "/minLength"},
		{`{"allOf":[{"type":"string","pattern":"^a{0,900}b$"},{"pattern":"^(?:a{500}){0,9}"},{"maxLength":4000}]}`, "/allOf/1/pattern"},
		{`{"allOf":[{"type":"string","pattern":"^a+$"},{"pattern":"b"}]}`, "/allOf/1/pattern"},
		{`{"type":"string","pattern":"^a+b$","maxLength":1}`, "/pattern"},
		{`{"type":"string","pattern":"^(?!a)a+$"}`, "/pattern"},
		{`{"type":"string","pattern":"^a+$","format":"date"}`, "/format"},

		// What allows no value.
		{`false`, ""},
		{`{"allOf":[{"type":"string"},{"type":"null"}]}`, ""},
		{`{"type":"integer","minimum":3,"maximum":2}`, "/maximum"},
		{`{"type":"integer","exclusiveMinimum":3,"exclusiveMaximum":4}`, "/exclusiveMaximum"},
		{`{"type":"integer","multipleOf":10,"minimum":11,"maximum":19}`, "/multipleOf"},
		{`{"type":"string","minLength":3,"maxLength":2}`, "/minLength"},
		{`{"type":"string","pattern":"^aaa$","maxLength":2}`, "/pattern"},
		{`{"type":"array","minItems":3,"maxItems":2}`, "/minItems"},
		{`{"type":"array","items":false,"minItems":1}`, "/items"},
		{`{"type":"object","minProperties":3,"maxProperties":2}`, "/minProperties"},
		{`{"type":"object","properties":{"a":{"type":"string","enum":[1]}},"required":["a"]}`, "/properties/a/enum"},
		{`{"type":"object","properties":{"a":{}},"required":["b"],"additionalProperties":false}`, "/additionalProperties"},
		{`{"type":"object","required":["b"],"propertyNames":{"const":"a"}}`, "/required/0"},
		{`{"type":"object","properties":{"next":{"$ref":"#"}},"required":["next"]}`, ""},
		{`{"const":1,"type":"string"}`, "/const"},
	} {
		wantRefused(t, tt.schema, tt.path)
	}
}

func TestLimits(t *testing.T) {
	deep := strings.Repeat(`{"items":`, 200) + `{}` + strings.Repeat(`}`, 200)
	var wide strings.Builder
	for i := range 10 {
		fmt.Fprintf(&wide, `{"anyOf":[{"title":"a%d"},{"title":"b%d"}]},`, i, i)
	}
	var properties strings.Builder
	for i := range 6000 {
		fmt.Fprintf(&properties, `"property%d":{"type":"string"},`, i)
	}
	for name, tt := range map[string]struct{ schema, limit string }{
		"rules":        {`{"properties":{` + properties.String() + `"z":{}},"minProperties":3}`, "rules"},
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
