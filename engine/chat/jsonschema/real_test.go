package jsonschema_test

import (
	"math/rand/v2"
	"testing"
)

// TestRealLife are schemas as the tools that people use write them.
func TestRealLife(t *testing.T) {
	for _, tt := range []struct{ name, schema, valid, invalid string }{
		{
			name: "OpenAI, strict: steps of a solution",
			schema: `{"type":"object","properties":{"steps":{"type":"array","items":{"$ref":"#/$defs/step"}},"final_answer":{"type":"string"}},
				"$defs":{"step":{"type":"object","properties":{"explanation":{"type":"string"},"output":{"type":"string"}},
				"required":["explanation","output"],"additionalProperties":false}},"required":["steps","final_answer"],"additionalProperties":false}`,
			valid:   `{"steps":[{"explanation":"8x = -30","output":"x = -3.75"}],"final_answer":"-3.75"}`,
			invalid: `{"steps":[{"explanation":"8x = -30"}],"final_answer":"-3.75"}`,
		},
		{
			name: "OpenAI, strict: a user interface that nests",
			schema: `{"type":"object","properties":{"type":{"type":"string","enum":["div","button"]},"label":{"type":["string","null"]},
				"children":{"type":"array","items":{"$ref":"#"}},"attributes":{"type":"array","items":{"type":"object","properties":
				{"name":{"type":"string"},"value":{"type":"string"}},"additionalProperties":false,"required":["name","value"]}}},
				"required":["type","label","children","attributes"],"additionalProperties":false}`,
			valid:   `{"type":"div","label":null,"children":[{"type":"button","label":"OK","children":[],"attributes":[]}],"attributes":[{"name":"id","value":"a"}]}`,
			invalid: `{"type":"span","label":null,"children":[],"attributes":[]}`,
		},
		{
			name: "Pydantic 2: optional fields, an enum, a nested model",
			schema: `{"$defs":{"Color":{"enum":["red","green"],"title":"Color","type":"string"},"Address":{"properties":{"street":{"title":"Street","type":"string"},
				"zip":{"anyOf":[{"pattern":"^\\d{5}$","type":"string"},{"type":"null"}],"default":null,"title":"Zip"}},"required":["street"],"title":"Address","type":"object"}},
				"properties":{"name":{"maxLength":40,"minLength":1,"title":"Name","type":"string"},"age":{"exclusiveMinimum":0,"maximum":150,"title":"Age","type":"integer"},
				"born":{"format":"date-time","title":"Born","type":"string"},"color":{"$ref":"#/$defs/Color","default":"red"},
				"homes":{"items":{"$ref":"#/$defs/Address"},"maxItems":3,"title":"Homes","type":"array"},
				"pair":{"maxItems":2,"minItems":2,"prefixItems":[{"type":"integer"},{"type":"string"}],"title":"Pair","type":"array"},
				"scores":{"additionalProperties":{"type":"number"},"title":"Scores","type":"object"}},
				"required":["name","age","born","homes","pair"],"title":"Person","type":"object"}`,
			valid: `{"name":"Ada","age":36,"born":"1815-12-10T00:00:00Z","color":"green","homes":[{"street":"x","zip":"12345"}],"pair":[1,"a"],` +
				`"scores":{"x":1.5}}`,
			invalid: `{"name":"","age":36,"born":"1815-12-10T00:00:00Z","homes":[],"pair":[1,"a"]}`,
		},
		{
			name: "Pydantic 2: a union by discriminator",
			schema: `{"$defs":{"Cat":{"properties":{"kind":{"const":"cat","default":"cat","title":"Kind","type":"string"},"lives":{"title":"Lives","type":"integer"}},
				"required":["lives"],"title":"Cat","type":"object"},"Dog":{"properties":{"kind":{"const":"dog","default":"dog","title":"Kind","type":"string"},
				"friend":{"anyOf":[{"$ref":"#/$defs/Pet"},{"type":"null"}],"default":null}},"title":"Dog","type":"object"},
				"Pet":{"discriminator":{"mapping":{"cat":"#/$defs/Cat","dog":"#/$defs/Dog"},"propertyName":"kind"},"oneOf":[{"$ref":"#/$defs/Cat"},{"$ref":"#/$defs/Dog"}]}},
				"properties":{"pet":{"$ref":"#/$defs/Pet"}},"required":["pet"],"title":"Owner","type":"object"}`,
			valid:   `{"pet":{"kind":"dog","friend":{"kind":"cat","lives":9}}}`,
			invalid: `{"pet":{"kind":"cat"}}`,
		},
		{
			name: "LangChain: a tool's arguments",
			schema: `{"title":"search","description":"Look things up.","type":"object","properties":{"query":{"title":"Query","description":"What to look for","type":"string"},
				"limit":{"title":"Limit","default":10,"type":"integer","minimum":1,"maximum":50},"sites":{"title":"Sites","type":"array","items":{"type":"string","format":"uri"}}},
				"required":["query"]}`,
			valid:   `{"query":"cats","limit":5,"sites":["https://example.org/"]}`,
			invalid: `{"query":"cats","limit":51}`,
		},
		{
			name: "zod 4: records, unions, literals, tuples",
			schema: `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{"id":{"type":"string","format":"uuid",
				"pattern":"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},"tags":{"type":"object","propertyNames":{"type":"string"},
				"additionalProperties":{"type":"string"}},"state":{"anyOf":[{"type":"string","const":"open"},{"type":"string","const":"closed"},{"type":"null"}]},
				"count":{"type":"integer","minimum":-9007199254740991,"maximum":9007199254740991},"price":{"type":"number","exclusiveMinimum":0,"multipleOf":0.01}},
				"required":["tags","state","count","price"],"additionalProperties":false}`,
			invalid: `{"tags":{"a":"b"},"state":"lost","count":1,"price":2.5}`,
		},
		{
			name: "zod 3: references by path",
			schema: `{"$ref":"#/definitions/T","definitions":{"T":{"type":"object","properties":{"a":{"type":"object","properties":{"x":{"type":"number"}},
				"required":["x"],"additionalProperties":false},"b":{"$ref":"#/definitions/T/properties/a"}},"required":["a","b"],"additionalProperties":false}},
				"$schema":"http://json-schema.org/draft-07/schema#"}`,
			valid:   `{"a":{"x":1},"b":{"x":-2.5}}`,
			invalid: `{"a":{"x":1},"b":{"y":1}}`,
		},
		{
			name: "an extraction by hand",
			schema: `{"type":"object","properties":{"invoice":{"type":"string","pattern":"^INV-\\d{4,8}$"},"date":{"type":"string","format":"date"},
				"lines":{"type":"array","minItems":1,"items":{"type":"object","properties":{"sku":{"type":"string","pattern":"^[A-Z0-9-]+$","maxLength":12},
				"count":{"type":"integer","minimum":1},"price":{"type":"number","minimum":0}},"required":["sku","count","price"],"additionalProperties":false}},
				"currency":{"enum":["EUR","USD"]},"paid":{"type":"boolean"}},"required":["invoice","date","lines","currency"],"additionalProperties":false}`,
			valid:   `{"invoice":"INV-12345","date":"2024-02-29","lines":[{"sku":"A-1","count":2,"price":9.99}],"currency":"EUR"}`,
			invalid: `{"invoice":"INV-1","date":"2024-02-29","lines":[],"currency":"EUR"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.valid == "" { // pattern beside format is refused, with its path
				wantRefused(t, tt.schema, "/properties/id/format", "format")
				return
			}
			v, g := mustValidate(t, tt.schema), mustParse(t, tt.schema)
			if err := valid(v, tt.valid); err != nil || !accepts(g, tt.valid) {
				t.Errorf("refused (oracle: %v): %s", err, tt.valid)
			}
			if valid(v, tt.invalid) == nil || accepts(g, tt.invalid) {
				t.Errorf("accepted: %s", tt.invalid)
			}
			checkWalks(t, g, v, rand.New(rand.NewPCG(3, 4)), 100)
		})
	}
}
