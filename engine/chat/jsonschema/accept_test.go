package jsonschema_test

import (
	"math/rand/v2"
	"testing"
)

// TestValues tells for each schema what its grammar accepts and what not. All
// that it accepts is valid by the oracle; what is refused although it is valid
// is listed apart, because that is a choice.
func TestValues(t *testing.T) {
	for _, tt := range valueCases() {
		t.Run(tt.name, func(t *testing.T) {
			g := mustParse(t, tt.schema)
			for _, text := range tt.valid {
				if !accepts(g, text) {
					t.Errorf("refused: %s", text)
				}
			}
			for _, text := range append(tt.invalid, tt.left...) {
				if accepts(g, text) {
					t.Errorf("accepted: %s", text)
				}
			}
			if tt.ecma {
				return
			}
			v := mustValidate(t, tt.schema)
			for _, text := range append(tt.valid, tt.left...) {
				if err := valid(v, text); err != nil {
					t.Errorf("the oracle refuses %s: %v", text, err)
				}
			}
			for _, text := range tt.invalid {
				if valid(v, text) == nil {
					t.Errorf("the oracle accepts %s", text)
				}
			}
			checkWalks(t, g, v, rand.New(rand.NewPCG(1, 2)), 60)
		})
	}
}

type valueCase struct {
	name, schema string
	valid        []string
	invalid      []string
	// left are valid values that the grammar does not have.
	left []string
	// ecma says that the pattern is one that the oracle, whose patterns are Go's,
	// does not know.
	ecma bool
}

func valueCases() []valueCase {
	var all []valueCase
	for _, list := range [][]valueCase{
		typeCases(), combinationCases(), objectCases(), nameCases(), arrayCases(), stringCases(), patternCases(), formatCases(), numberCases(),
	} {
		all = append(all, list...)
	}
	return all
}

func typeCases() []valueCase {
	return []valueCase{
		{
			name: "anything", schema: `true`,
			valid:   []string{`null`, `true`, `-1.5e3`, `"a\u00e9\ud83d\ude00\n"`, `[]`, `[1, [2,{"a": {}}]]`, "{\"a\": 1,\n  \"b\": [\n    2\n  ]\n}"},
			invalid: []string{`nul`, `01`, "\"\n\"", `[1,]`, `{"a":1,}`, `{a:1}`}, left: []string{`"\ud83d"`},
		},
		{name: "empty", schema: `{}`, valid: []string{`null`, `{"a": {}}`}, left: []string{"[  1]", "\n1", `1 `, `{"a" : 1}`}},
		{name: "annotations", schema: `{"title":"x","description":"y","default":3,"examples":[1],"$schema":"https://json-schema.org/draft/2020-12/schema",
			"$id":"https://example.org/a","$comment":"c","deprecated":true,"readOnly":true,"writeOnly":false,"x-other":{"not":1},"type":"null"}`,
			valid: []string{`null`}, invalid: []string{`3`}},
		{name: "null", schema: `{"type":"null"}`, valid: []string{`null`}, invalid: []string{`0`, `"null"`, `{}`}},
		{name: "boolean", schema: `{"type":"boolean"}`, valid: []string{`true`, `false`}, invalid: []string{`null`, `1`}},
		{name: "integer", schema: `{"type":"integer"}`, valid: []string{`0`, `-1`, `9007199254740993`}, invalid: []string{`1.5`, `"1"`, `01`, `--1`},
			left: []string{`1.0`, `1e2`, `123456789012345678`}},
		{name: "number", schema: `{"type":"number"}`, valid: []string{`0`, `-0.5`, `1e9`, `1.25E-3`}, invalid: []string{`.5`, `1.`, `+1`, `0x1`},
			left: []string{`1e1000`}},
		{name: "string", schema: `{"type":"string"}`, valid: []string{`""`, `"é\"\\\/"`, "\"\x7f\"", `"\u0000"`}, invalid: []string{`'a'`, `"a`, "\"\t\"", `"\x"`}},
		{name: "array", schema: `{"type":"array"}`, valid: []string{`[]`, `[1, "a", null]`}, invalid: []string{`{}`, `[`}},
		{name: "object", schema: `{"type":"object"}`, valid: []string{`{}`, `{"a":1}`, `{"b": {"c": []}}`}, invalid: []string{`[]`, `{1:2}`}},
		{name: "list of types", schema: `{"type":["string","null","integer"]}`, valid: []string{`"a"`, `null`, `4`}, invalid: []string{`true`, `4.5`, `{}`}},
		{name: "enum", schema: `{"enum":["a\"b\\\n",1,2.50,1e2,null,true,[1,{"b":2,"a":[]}],{}]}`,
			valid:   []string{`"a\"b\\\n"`, `1`, `2.50`, `100`, `null`, `true`, `[1, {"b": 2, "a": []}]`, `{}`},
			invalid: []string{`"a"`, `3`, `false`, `[1]`, `[1, {"b": 2, "a": [1]}]`}, left: []string{`2.5`, `[1,{"a":[],"b":2}]`, `"\u0061\"b\\\n"`}},
		{name: "const", schema: `{"const":{"a":[1,2]}}`, valid: []string{`{"a": [1, 2]}`, `{"a":[1,2]}`}, invalid: []string{`{"a":[2,1]}`, `{}`}},
		{name: "const integer", schema: `{"type":"integer","const":1.0}`, valid: []string{`1`}, invalid: []string{`2`}, left: []string{`1.0`}},
		{name: "enum beside others", schema: `{"type":"integer","minimum":2,"multipleOf":2,"enum":[1,2,3,4,"a",6,6.5]}`,
			valid: []string{`2`, `4`, `6`}, invalid: []string{`1`, `3`, `6.5`, `"a"`}},
		{name: "enum of objects beside others", schema: `{"enum":[{"a":1,"b":2},{"a":"x"},[1,1],[1,2]],"properties":{"a":{"type":"integer"}},"uniqueItems":true}`,
			valid: []string{`{"a": 1, "b": 2}`, `[1, 2]`}, invalid: []string{`{"a":"x"}`, `[1,1]`}},
		{name: "implied type", schema: `{"properties":{"a":{"minLength":1}}}`, valid: []string{`{}`, `{"a":"x"}`}, invalid: []string{`{"a":""}`},
			left: []string{`1`, `{"a":1}`}},
	}
}

func combinationCases() []valueCase {
	return []valueCase{
		{name: "reference", schema: `{"$ref":"#/$defs/a~1b~0c%25","$defs":{"a/b~c%":{"type":"integer"}}}`, valid: []string{`1`}, invalid: []string{`"a"`}},
		{name: "reference with siblings", schema: `{"$ref":"#/definitions/a","minimum":3,"description":"d","definitions":{"a":{"type":"integer","maximum":4}}}`,
			valid: []string{`3`, `4`}, invalid: []string{`2`, `5`}},
		{name: "reference by $id", schema: `{"$id":"https://example.org/list","type":"object","properties":{"next":{"$ref":"https://example.org/list"},
			"v":{"$ref":"https://example.org/list#/$defs/v"}},"$defs":{"v":{"type":"integer"}}}`,
			valid: []string{`{}`, `{"next": {"v": 1}, "v": 2}`}, invalid: []string{`{"next":1}`, `{"v":"x"}`}},
		{name: "tree", schema: `{"type":"object","properties":{"v":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#"}}},"required":["v"],
			"additionalProperties":false}`,
			valid: []string{`{"v": 1}`, `{"v":1,"children":[{"v":2,"children":[]},{"v":3}]}`}, invalid: []string{`{}`, `{"v":1,"children":[{}]}`}},
		{name: "mutual recursion", schema: `{"$ref":"#/$defs/a","$defs":{"a":{"type":"array","items":{"$ref":"#/$defs/b"}},
			"b":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}}`,
			valid: []string{`[]`, `[null, [[], null]]`}, invalid: []string{`[1]`, `null`}},
		{name: "anyOf", schema: `{"anyOf":[{"type":"string","maxLength":2},{"type":"integer"},{"const":true}]}`,
			valid: []string{`"ab"`, `5`, `true`}, invalid: []string{`"abc"`, `false`}},
		{name: "anyOf in a type", schema: `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"additionalProperties":false,
			"anyOf":[{"required":["a"]},{"required":["b"]}]}`,
			valid: []string{`{"a":1}`, `{"b":1}`, `{"a":1,"b":2}`}, invalid: []string{`{}`}},
		{name: "a false branch", schema: `{"anyOf":[false,{"type":"null"}]}`, valid: []string{`null`}, invalid: []string{`1`}},
		{name: "oneOf by type", schema: `{"oneOf":[{"type":"string"},{"type":"integer"},{"type":"array","items":{"type":"integer"}}]}`,
			valid: []string{`"a"`, `1`, `[1,2]`}, invalid: []string{`1.5`, `["a"]`}},
		{name: "oneOf by discriminator", schema: `{"oneOf":[
			{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}},"required":["kind","lives"],"additionalProperties":false},
			{"type":"object","properties":{"kind":{"const":"dog"},"good":{"type":"boolean"}},"required":["kind"],"additionalProperties":false}]}`,
			valid:   []string{`{"kind":"cat","lives":9}`, `{"kind":"dog"}`, `{"kind": "dog", "good": true}`},
			invalid: []string{`{"kind":"cat"}`, `{"kind":"dog","lives":9}`, `{"kind":"cow"}`, `{}`}},
		{name: "oneOf beside the type", schema: `{"type":"object","properties":{"kind":{"type":"string"}},"required":["kind"],
			"oneOf":[{"properties":{"kind":{"enum":["a","b"]}}},{"properties":{"kind":{"const":"c"}}}]}`,
			valid: []string{`{"kind":"a"}`, `{"kind":"c"}`}, invalid: []string{`{"kind":"d"}`, `{}`}},
		{name: "oneOf by range", schema: `{"type":"integer","oneOf":[{"maximum":3},{"minimum":10}]}`, valid: []string{`3`, `10`}, invalid: []string{`4`}},
		{name: "oneOf of literals", schema: `{"oneOf":[{"const":1},{"enum":[1,2]},{"const":3}]}`, valid: []string{`2`, `3`}, invalid: []string{`1`}},
		{name: "oneOf, recursive", schema: `{"oneOf":[{"type":"null"},{"type":"object","properties":{"kind":{"const":"n"},"next":{"$ref":"#"}},"required":["kind","next"]}]}`,
			valid: []string{`null`, `{"kind":"n","next":{"kind":"n","next":null}}`}, invalid: []string{`{"kind":"n"}`}},
		{name: "oneOf, the property required by discriminator", schema: `{"discriminator":{"propertyName":"k"},"oneOf":[
			{"type":"object","properties":{"k":{"const":"a","default":"a"}}},{"type":"object","properties":{"k":{"const":"b","default":"b"}}}]}`,
			valid: []string{`{"k":"a"}`, `{"k":"b"}`}, invalid: []string{`{"k":"c"}`, `{}`}},
		{name: "allOf", schema: `{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":1}},"required":["a"]},
			{"type":"object","properties":{"a":{"type":"number","maximum":3},"b":{"type":"string"}}}]}`,
			valid: []string{`{"a":1}`, `{"a":3,"b":"x"}`}, invalid: []string{`{"a":0}`, `{"a":4}`, `{"a":1.5}`, `{"b":"x"}`}},
		{name: "allOf with a closed one", schema: `{"allOf":[{"type":"object","properties":{"a":{},"c":{}},"additionalProperties":false},
			{"properties":{"b":{},"a":{"type":"null"}}}]}`,
			valid: []string{`{"a":null}`, `{"c":1}`, `{"a":null,"c":2}`}, invalid: []string{`{"b":1}`, `{"a":1}`}},
		{name: "allOf of anyOfs", schema: `{"allOf":[{"anyOf":[{"type":"string"},{"type":"integer"}]},{"anyOf":[{"type":"integer"},{"type":"null"}]}]}`,
			valid: []string{`1`}, invalid: []string{`"a"`, `null`}},
	}
}

func objectCases() []valueCase {
	return []valueCase{
		{name: "required and optional", schema: `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}},"required":["b"]}`,
			valid:   []string{`{"b":1}`, `{"a":1,"b":2}`, `{"b":1,"c":2}`, `{"a":1, "b":2, "c":3}`},
			invalid: []string{`{}`, `{"a":1}`, `{"b":1,}`, `{,"b":1}`}, left: []string{`{"b":1,"a":2}`, `{"b":1,"d":4}`}},
		{name: "all optional", schema: `{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}}}`,
			valid: []string{`{}`, `{"a":1}`, `{"b":1}`, `{"c":1}`, `{"a":1,"c":2}`, `{"a":1,"b":2,"c":3}`}, invalid: []string{`{"a":"x"}`, `{"a":1 "b":2}`}},
		{name: "declared order", schema: `{"type":"object","properties":{"zebra":{"const":1},"apple":{"const":2}},"required":["apple","zebra"]}`,
			valid: []string{`{"zebra":1,"apple":2}`}, invalid: []string{`{"zebra":1}`}, left: []string{`{"apple":2,"zebra":1}`}},
		{name: "names", schema: `{"type":"object","properties":{"":{"const":1},"a\"b\\c\n":{"const":2},"é":{"const":3}},"required":["","a\"b\\c\n","é"]}`,
			valid: []string{`{"":1,"a\"b\\c\n":2,"é":3}`}, invalid: []string{`{"":1}`}},
		{name: "required, not declared", schema: `{"type":"object","properties":{"a":{"type":"integer"}},"required":["z","a"],"additionalProperties":{"type":"boolean"}}`,
			valid: []string{`{"a":1,"z":true}`, `{"a":1,"z":false,"other":true}`}, invalid: []string{`{"a":1}`, `{"a":1,"z":1}`}},
		{name: "no others", schema: `{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}`,
			valid: []string{`{}`, `{"a":1}`}, invalid: []string{`{"b":1}`}},
		{name: "nothing", schema: `{"type":"object","additionalProperties":false}`, valid: []string{`{}`, `{ }`}, invalid: []string{`{"a":1}`}},
		{name: "others", schema: `{"type":"object","properties":{"ab":{"type":"integer"},"abc":{"type":"integer"},"x":{"type":"integer"}},
			"additionalProperties":{"type":"string"}}`,
			valid:   []string{`{"ab":1,"other":"y"}`, `{"a":"y"}`, `{"abcd":"y","abd":"","":"","xx":"","é":""}`, `{"\"":"","\\":""}`},
			invalid: []string{`{"ab":"y"}`, `{"abc":"y"}`, `{"a":1}`, `{"a\u0062":"y"}`, `{"\u0078":"y"}`}},
		{name: "others, and the empty name", schema: `{"type":"object","properties":{"":{"type":"integer"},"\"":{"type":"integer"}},"additionalProperties":{"type":"string"}}`,
			valid: []string{`{"":1,"\"":2,"a":"x"}`, `{"\"\"":"x"}`}, invalid: []string{`{"":"x"}`, `{"\"":"x"}`, `{"\u0022":"x"}`}},
		{name: "map", schema: `{"type":"object","additionalProperties":{"type":"integer"}}`, valid: []string{`{}`, `{"a":1,"b":2}`}, invalid: []string{`{"a":"x"}`}},
		{name: "others that cannot be", schema: `{"type":"object","properties":{"a":false,"b":{"type":"null"}},"additionalProperties":{"type":"integer"}}`,
			valid: []string{`{"b":null}`, `{"c":1}`}, invalid: []string{`{"a":1}`}},
		{name: "minProperties 1", schema: `{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"minProperties":1,"additionalProperties":false}`,
			valid: []string{`{"a":null}`, `{"b":null}`, `{"a":null,"b":null}`}, invalid: []string{`{}`}},
		{name: "counts", schema: `{"type":"object","properties":{"a":{},"b":{"const":1},"c":{},"d":{}},"required":["b"],"minProperties":2,"maxProperties":3,
			"additionalProperties":false}`,
			valid:   []string{`{"a":1,"b":1}`, `{"b":1,"d":2}`, `{"a":1,"b":1,"c":2}`, `{"b":1,"c":1,"d":2}`},
			invalid: []string{`{"b":1}`, `{"a":1,"c":2}`, `{"a":1,"b":1,"c":1,"d":1}`}},
		{name: "counts of others", schema: `{"type":"object","minProperties":1,"maxProperties":2,"additionalProperties":{"type":"null"}}`,
			valid: []string{`{"a":null}`, `{"a":null,"b":null}`}, invalid: []string{`{}`, `{"a":null,"b":null,"c":null}`}},
		{name: "counts of declared and others", schema: `{"type":"object","properties":{"a":{"type":"null"},"b":{"type":"null"}},"minProperties":2,"maxProperties":3,
			"additionalProperties":{"type":"null"}}`,
			valid:   []string{`{"a":null,"b":null}`, `{"a":null,"c":null}`, `{"b":null,"c":null}`, `{"a":null,"b":null,"c":null}`},
			invalid: []string{`{}`, `{"a":null}`, `{"c":null}`, `{"a":null,"b":null,"c":null,"d":null}`}},
		{name: "at most none", schema: `{"type":"object","properties":{"a":{}},"maxProperties":0}`, valid: []string{`{}`}, invalid: []string{`{"a":1}`}},
		{name: "others by count", schema: `{"type":"object","properties":{"a":{"type":"null"}},"minProperties":2}`,
			valid: []string{`{"a":null,"b":3}`}, invalid: []string{`{"a":null}`, `{"b":1}`}},
	}
}

func nameCases() []valueCase {
	return []valueCase{
		{name: "names of strings", schema: `{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"integer"}}`,
			valid: []string{`{}`, `{"a":1}`}, invalid: []string{`{"a":"x"}`}},
		{name: "names from a list", schema: `{"type":"object","propertyNames":{"enum":["a","b",1]},"additionalProperties":{"type":"integer"},"required":["b"]}`,
			valid: []string{`{"b":1}`, `{"b":1,"a":2}`}, invalid: []string{`{"a":1}`, `{"b":1,"c":2}`}},
		{name: "names with a pattern", schema: `{"type":"object","propertyNames":{"pattern":"^[a-z]{1,3}$"},"additionalProperties":{"type":"integer"},"minProperties":1}`,
			valid: []string{`{"a":1,"abc":2}`}, invalid: []string{`{}`, `{"abcd":1}`, `{"A":1}`}},
		{name: "names exclude a property", schema: `{"type":"object","properties":{"a":{},"bb":{}},"propertyNames":{"enum":["bb"]}}`,
			valid: []string{`{}`, `{"bb":1}`}, invalid: []string{`{"a":1}`}},
	}
}

func arrayCases() []valueCase {
	return []valueCase{
		{name: "items", schema: `{"type":"array","items":{"type":"integer"}}`, valid: []string{`[]`, `[1]`, "[\n  1,\n  2\n]"}, invalid: []string{`["a"]`, `[1 2]`}},
		{name: "count of items", schema: `{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}`,
			valid: []string{`[1,2]`, `[1,2,3]`}, invalid: []string{`[]`, `[1]`, `[1,2,3,4]`}},
		{name: "at most one", schema: `{"type":"array","items":{"type":"integer"},"maxItems":1,"uniqueItems":true}`, valid: []string{`[]`, `[1]`}, invalid: []string{`[1,2]`}},
		{name: "none", schema: `{"type":"array","maxItems":0}`, valid: []string{`[]`}, invalid: []string{`[1]`}},
		{name: "no item possible", schema: `{"type":"array","items":false}`, valid: []string{`[]`}, invalid: []string{`[1]`}},
		{name: "tuple", schema: `{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"minItems":2,"maxItems":2}`,
			valid: []string{`[1, "a"]`}, invalid: []string{`[1]`, `["a",1]`, `[1,"a",2]`}},
		{name: "tuple without counts", schema: `{"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}]}`,
			valid: []string{`[]`, `[1]`, `[1,"a"]`}, invalid: []string{`["a"]`}, left: []string{`[1,"a",null]`}},
		{name: "tuple and others", schema: `{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2}`,
			valid: []string{`[1,null]`, `[1,null,null]`}, invalid: []string{`[1]`, `[1,2]`, `[null,null]`}},
		{name: "tuple and others by count", schema: `{"type":"array","prefixItems":[{"type":"integer"}],"minItems":2}`,
			valid: []string{`[1,null]`, `[1,{},3]`}, invalid: []string{`[1]`}},
		{name: "an impossible item ends the tuple", schema: `{"type":"array","prefixItems":[{"type":"integer"},false],"items":{}}`,
			valid: []string{`[]`, `[1]`}, invalid: []string{`[1,2]`}},
		{name: "tuple of the old kind", schema: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"array","items":[{"type":"integer"}],
			"additionalItems":{"type":"null"}}`,
			valid: []string{`[]`, `[1]`, `[1,null]`}, invalid: []string{`[null]`, `[1,1]`}},
		{name: "arrays merged", schema: `{"allOf":[{"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"integer"}},{"items":{"minimum":3},"maxItems":2}]}`,
			valid: []string{`[3]`, `[3,4]`}, invalid: []string{`[2]`, `[3,2]`, `[3,3,3]`}},
	}
}

func stringCases() []valueCase {
	return []valueCase{
		{name: "lengths", schema: `{"type":"string","minLength":2,"maxLength":3}`,
			valid: []string{`"ab"`, `"éßa"`, `"\n\u00e9"`, `"\ud83d\ude00😀"`}, invalid: []string{`"a"`, `"abcd"`, `"\ud83d\ude00"`}},
		{name: "empty string", schema: `{"type":"string","maxLength":0}`, valid: []string{`""`}, invalid: []string{`"a"`}},
		{name: "long", schema: `{"type":"string","maxLength":10000}`, valid: []string{`"abc"`}, invalid: []string{`1`}},
	}
}

func patternCases() []valueCase {
	return []valueCase{
		{name: "pattern", schema: `{"type":"string","pattern":"^[A-Z]{2}-\\d+(\\.\\d)?$"}`,
			valid: []string{`"AB-1"`, `"AB-12.5"`}, invalid: []string{`"A-1"`, `"AB-"`, `"xAB-1"`, `"AB-1x"`}},
		{name: "pattern without anchors", schema: `{"type":"string","pattern":"b+"}`, valid: []string{`"b"`, `"abbc"`, `"\"b\""`}, invalid: []string{`""`, `"ac"`}},
		{name: "pattern with one anchor", schema: `{"type":"string","pattern":"^ab"}`, valid: []string{`"ab"`, `"abc"`}, invalid: []string{`"cab"`}},
		{name: "pattern with alternatives", schema: `{"type":"string","pattern":"^(?:red|green|x$)|^$"}`,
			valid: []string{`"red"`, `"green!"`, `"x"`, `""`}, invalid: []string{`"xx"`, `"blue"`}},
		{name: "pattern with escapes", ecma: true, schema: `{"type":"string","pattern":"^\\w\\W\\s\\S\\t\\/\\u00e9\\x41[\\]\\-\"\\\\\\b]$"}`,
			valid: []string{`"a! b\t/éA]"`, `"_-\nx\t/éA\\"`, `"a! b\t/éA\""`, `"a! b\t/éA\b"`}, invalid: []string{`"aa b\t/éA]"`, `"a! b\t/éAx"`},
			left: []string{`"\u0061! b\t/éA]"`}},
		{name: "pattern with control characters", schema: `{"type":"string","pattern":"^[\\x00-\\x1f]$"}`,
			valid: []string{`"\u0000"`, `"\u001f"`, `"\n"`, `"\u000b"`}, invalid: []string{`"a"`, `" "`}, left: []string{`"\u000a"`, `"\u001F"`}},
		{name: "pattern with a dot", schema: `{"type":"string","pattern":"^.$"}`, valid: []string{`"a"`, `"\""`, `"😀"`}, invalid: []string{`"\n"`, `""`, `"ab"`}},
		{name: "pattern with anything", ecma: true, schema: `{"type":"string","pattern":"^[\\s\\S]?[^]?$"}`, valid: []string{`""`, `"\n\n"`}, invalid: []string{`"abc"`}},
		{name: "pattern with a category", schema: `{"type":"string","pattern":"^\\p{Lu}[^\\p{L}\\s]$"}`, valid: []string{`"Ä1"`}, invalid: []string{`"ä1"`, `"A "`}},
		{name: "pattern with a pair", ecma: true, schema: `{"type":"string","pattern":"^\\u0041[b-d-]\\u{43}$"}`, valid: []string{`"AbC"`, `"A-C"`}, invalid: []string{`"AeC"`}},
		{name: "pattern and length", schema: `{"type":"string","pattern":"^[a-z][a-z0-9_]*$","minLength":2,"maxLength":4}`,
			valid: []string{`"ab"`, `"a_12"`}, invalid: []string{`"a"`, `"abcde"`, `"1a"`}},
		{name: "pattern of the length", schema: `{"type":"string","pattern":"^(?:[A-Z]{3}|\\d{3,9}|x)$","maxLength":4,"minLength":2}`,
			valid: []string{`"ABC"`, `"1234"`}, invalid: []string{`"12345"`, `"x"`}},
		{name: "pattern begins, and length", schema: `{"type":"string","pattern":"^ab","maxLength":4}`, valid: []string{`"ab"`, `"abcd"`}, invalid: []string{`"abcde"`}},
		{name: "the same pattern twice", schema: `{"allOf":[{"type":"string","pattern":"^a+$"},{"pattern":"^a+$"}]}`, valid: []string{`"aa"`}, invalid: []string{`"b"`}},
	}
}

func formatCases() []valueCase {
	f := func(name string) string { return `{"type":"string","format":"` + name + `"}` }
	return []valueCase{
		{name: "date", schema: f("date"),
			valid:   []string{`"2024-02-29"`, `"2000-02-29"`, `"2023-12-31"`, `"1999-04-30"`},
			invalid: []string{`"2023-02-29"`, `"1900-02-29"`, `"2024-02-30"`, `"2024-04-31"`, `"2024-13-01"`, `"2024-00-10"`, `"2024-1-1"`, `""`}},
		{name: "time", schema: f("time"), valid: []string{`"23:59:59Z"`, `"00:00:00.123+02:00"`}, invalid: []string{`"24:00:00Z"`, `"12:60:00Z"`, `"12:00:00"`, `"12:00Z"`},
			left: []string{`"23:59:60Z"`, `"12:00:00z"`}},
		{name: "date-time", schema: f("date-time"), valid: []string{`"2024-02-29T12:30:00Z"`, `"2024-01-01T00:00:00.5-11:30"`},
			invalid: []string{`"2024-02-30T12:30:00Z"`, `"2024-01-01 00:00:00Z"`, `"2024-01-01"`, `"2024-01-01T00:00:00+24:00"`}},
		{name: "duration", schema: f("duration"), valid: []string{`"P1D"`, `"PT5M"`, `"P1Y2M3DT4H5M6S"`, `"P4W"`}, invalid: []string{`"P"`, `"P1"`, `"PT"`, `"1D"`, `"P1S"`}},
		{name: "uuid", schema: f("uuid"), valid: []string{`"123e4567-e89b-12d3-a456-426614174000"`, `"123E4567-E89B-12D3-A456-426614174000"`},
			invalid: []string{`"123e4567e89b12d3a456426614174000"`, `"g23e4567-e89b-12d3-a456-426614174000"`}},
		{name: "email", schema: f("email"), valid: []string{`"a.b+c@example.org"`, `"x@a-b.co.uk"`}, invalid: []string{`"a"`, `"a@"`, `".a@b.org"`, `"a..b@c.org"`, `"a@-b.org"`},
			left: []string{`"\"a b\"@example.org"`, `"a@localhost"`}},
		{name: "hostname", schema: f("hostname"), valid: []string{`"example.org"`, `"a"`, `"x-1.y"`}, invalid: []string{`"-a"`, `"a..b"`, `"a_b"`, `""`}},
		{name: "ipv4", schema: f("ipv4"), valid: []string{`"0.0.0.0"`, `"255.249.199.99"`}, invalid: []string{`"256.1.1.1"`, `"01.1.1.1"`, `"1.1.1"`}},
		{name: "ipv6", schema: f("ipv6"), valid: []string{`"::"`, `"::1"`, `"2001:db8::ff00:42:8329"`, `"1:2:3:4:5:6:7:8"`, `"fe80::"`},
			invalid: []string{`"1::2::3"`, `"1:2:3"`, `"12345::"`, `"1:2:3:4:5:6:7:8:9"`}},
		{name: "uri", schema: f("uri"), valid: []string{`"https://example.org/a/b?c=d&e=%20#f"`, `"http://localhost:8080"`, `"mailto:a@b.org"`, `"urn:isbn:123"`},
			invalid: []string{`"example.org"`, `"/a"`, `"http://a b"`, `"1a://x"`}},
		{name: "format and length", schema: `{"type":"string","format":"date","minLength":10,"maxLength":10}`, valid: []string{`"2024-02-29"`}, invalid: []string{`"x"`}},
		{name: "format in an enum", schema: `{"enum":["2024-02-30","2024-02-29"],"format":"date"}`, valid: []string{`"2024-02-29"`}, invalid: []string{`"2024-02-30"`}},
	}
}

func numberCases() []valueCase {
	return []valueCase{
		{name: "range", schema: `{"type":"integer","minimum":-12,"maximum":105}`,
			valid: []string{`-12`, `-9`, `-1`, `0`, `9`, `10`, `99`, `100`, `105`}, invalid: []string{`-13`, `-20`, `106`, `110`, `200`, `1000`}},
		{name: "exclusive", schema: `{"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":100}`, valid: []string{`10`, `55`, `99`}, invalid: []string{`9`, `100`, `-10`}},
		{name: "only negative", schema: `{"type":"integer","minimum":-205,"maximum":-17}`, valid: []string{`-17`, `-99`, `-205`}, invalid: []string{`-16`, `-206`, `0`, `17`, `-1000`}},
		{name: "minimum", schema: `{"type":"integer","minimum":0}`, valid: []string{`0`, `1`, `9999999999999999`}, invalid: []string{`-1`}, left: []string{`99999999999999999`}},
		{name: "maximum", schema: `{"type":"integer","maximum":-5}`, valid: []string{`-5`, `-123456`}, invalid: []string{`-4`, `0`}},
		{name: "large", schema: `{"type":"integer","minimum":12345678901234567890}`, valid: []string{`12345678901234567890`, `22345678901234567890`}, invalid: []string{`12345678901234567889`}},
		{name: "fractions as bounds of integers", schema: `{"type":"integer","minimum":-1.5,"maximum":2.5}`, valid: []string{`-1`, `0`, `2`}, invalid: []string{`-2`, `3`}},
		{name: "one", schema: `{"type":"integer","minimum":7,"maximum":7}`, valid: []string{`7`}, invalid: []string{`6`, `77`}},
		{name: "int32", schema: `{"type":"integer","format":"int32","maximum":2147483647,"minimum":-2147483648}`, valid: []string{`2147483647`, `-2147483648`},
			invalid: []string{`2147483648`, `-2147483649`}},
		{name: "multiples of ten", schema: `{"type":"integer","multipleOf":100,"minimum":-250,"maximum":1200}`,
			valid: []string{`-200`, `0`, `100`, `1200`}, invalid: []string{`50`, `-300`, `1300`, `10`}},
		{name: "multiples", schema: `{"type":"integer","multipleOf":7,"minimum":-7,"maximum":30}`, valid: []string{`-7`, `0`, `28`}, invalid: []string{`1`, `35`}},
		{name: "multiples merged", schema: `{"type":"integer","multipleOf":4,"minimum":1,"maximum":30,"allOf":[{"multipleOf":6}]}`, valid: []string{`12`, `24`}, invalid: []string{`4`, `6`, `36`}},
		{name: "multiples of one", schema: `{"type":"number","multipleOf":1}`, valid: []string{`-3`, `12`}, invalid: []string{`1.5`}},
		{name: "cents", schema: `{"type":"number","multipleOf":0.01,"minimum":0}`, valid: []string{`0`, `0.5`, `12.34`}, invalid: []string{`0.001`, `-1`}},
		{name: "quarters", schema: `{"type":"number","multipleOf":0.25,"minimum":-0.5,"maximum":1}`, valid: []string{`-0.5`, `-0.25`, `0`, `0.75`, `1`}, invalid: []string{`0.3`, `1.25`},
			left: []string{`-0.50`}},
		{name: "decimals", schema: `{"type":"number","minimum":-1.25,"maximum":12.305}`,
			valid:   []string{`-1.25`, `-1.2`, `-1`, `-0.001`, `-0.999`, `0`, `0.5`, `11.999`, `12`, `12.3`, `12.305`, `12.3049`, `9`},
			invalid: []string{`-1.26`, `-1.2501`, `-2`, `12.31`, `12.3051`, `13`, `100`}, left: []string{`1e1`, `12.3050`}},
		{name: "decimals, exclusive", schema: `{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}`,
			valid: []string{`0.1`, `0.0001`, `0.999`, `0.010`}, invalid: []string{`0`, `1`, `0.0`, `1.0`, `-0.5`}},
		{name: "decimals, small range", schema: `{"type":"number","exclusiveMinimum":0.25,"maximum":0.2575}`,
			valid: []string{`0.2501`, `0.2575`, `0.257`}, invalid: []string{`0.25`, `0.250`, `0.258`, `0.2576`, `0.2`}},
		{name: "decimals, one value", schema: `{"type":"number","minimum":2.5,"maximum":2.5}`, valid: []string{`2.5`}, invalid: []string{`2.4`, `2.6`, `2`}},
		{name: "no integer within", schema: `{"type":"number","minimum":0.2,"maximum":0.8}`, valid: []string{`0.2`, `0.8`, `0.55`}, invalid: []string{`0`, `1`, `0.81`}},
		{name: "only a minimum", schema: `{"type":"number","minimum":3.5}`, valid: []string{`3.5`, `4`, `123456.789`}, invalid: []string{`3.4`, `-4`, `0`}},
		{name: "only an exclusive maximum", schema: `{"type":"number","exclusiveMaximum":-0.5}`, valid: []string{`-0.51`, `-100`}, invalid: []string{`-0.5`, `0.6`, `0`}},
	}
}
