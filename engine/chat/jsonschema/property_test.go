package jsonschema_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/semantic-worker/semantic/engine/chat/jsonschema"
	"github.com/semantic-worker/semantic/engine/grammar"
)

// TestWalksAreValid is the promise of the package: whatever a model chooses
// within the grammar of a schema is valid by it.
func TestWalksAreValid(t *testing.T) {
	kept, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		schema := genDocument(t)
		v := mustValidate(t, schema)
		all++
		text, err := jsonschema.Grammar([]byte(schema))
		if err != nil {
			checkRefusal(t, schema, err)
			return
		}
		kept++
		g, err := grammar.Parse(text)
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, schema, text)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		checkWalks(t, g, v, r, 12)
	})
	t.Logf("%d of %d random schemas were kept", kept, all)
	if kept*2 < all {
		t.Errorf("%d of %d random schemas were kept; the others prove nothing", kept, all)
	}
}

// checkRefusal wants a typed error whose path is in the schema.
func checkRefusal(t fataler, schema string, err error) {
	t.Helper()
	if limit := new(jsonschema.LimitError); errors.As(err, &limit) {
		return
	}
	refused := new(jsonschema.Error)
	if !errors.As(err, &refused) {
		t.Fatalf("%T: %v", err, err)
	}
	doc, decodeErr := decodeAny(schema)
	if decodeErr != nil {
		t.Fatalf("%v", decodeErr)
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(refused.Path, "/"), "/") {
		if refused.Path == "" {
			return
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch at := doc.(type) {
		case map[string]any:
			if _, ok := at[step]; !ok {
				t.Fatalf("%v: the path is not in %s", err, schema)
			}
			doc = at[step]
		case []any:
			i, indexErr := strconv.Atoi(step)
			if indexErr != nil || i >= len(at) {
				t.Fatalf("%v: the path is not in %s", err, schema)
			}
			doc = at[i]
		default:
			t.Fatalf("%v: the path is not in %s", err, schema)
		}
	}
}

// genDocument is a schema with definitions that may refer to each other.
func genDocument(t *rapid.T) string {
	return object(
		member("$defs", object(member("a", genSchema(t, 2)), member("b/c", genSchema(t, 2)))),
		member("allOf", "["+genSchema(t, 3)+"]"),
	)
}

func member(name, value string) string { return strconv.Quote(name) + ":" + value }

func object(members ...string) string { return "{" + strings.Join(members, ",") + "}" }

func genSchema(t *rapid.T, depth int) string {
	kinds := []string{"integer", "number", "string", "pattern", "format", "enum", "plain", "list"}
	if depth > 0 {
		kinds = append(kinds, "object", "object", "map", "array", "tuple", "anyOf", "oneOf", "allOf", "ref", "beside", "discriminated")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "integer":
		return object(append([]string{`"type":"integer"`}, genRange(t, rapid.Map(rapid.IntRange(-300, 300), strconv.Itoa))...)...)
	case "number":
		return object(append([]string{`"type":"number"`}, genRange(t, genDecimal())...)...)
	case "string":
		return object(append([]string{`"type":"string"`}, genCounts(t, "Length", 6)...)...)
	case "pattern":
		p := rapid.SampledFrom([]string{
			`^[a-z]+$`, `b`, `^a|b$`, `^\\d{2,4}(-\\w+)?$`, `\\s`, `^[^\"x]*$`, `^.{2}$`, `^(ab|c){1,3}$`, `^\\S+@\\S+$`, `^[\\x00-\\x20]?$`, `^é*$`,
		}).Draw(t, "pattern")
		return object(append([]string{`"type":"string"`, member("pattern", `"`+p+`"`)}, genCounts(t, "Length", 8)...)...)
	case "format":
		f := rapid.SampledFrom([]string{
			"date-time", "date", "time", "duration", "uuid", "email", "hostname", "ipv4", "ipv6", "uri",
		}).Draw(t, "format")
		return object(`"type":"string"`, member("format", strconv.Quote(f)))
	case "enum":
		return object(member("enum", "["+strings.Join(rapid.SliceOfNDistinct(genLiteral(), 1, 4, rapid.ID).Draw(t, "enum"), ",")+"]"))
	case "list":
		return object(member("type", `["`+strings.Join(rapid.SliceOfNDistinct(genType(), 1, 3, rapid.ID).Draw(t, "types"), `","`)+`"]`))
	case "plain":
		return rapid.SampledFrom([]string{
			`true`, `{}`, `{"type":"null"}`, `{"type":"boolean"}`, `false`, `{"description":"x","maxLength":3}`,
		}).Draw(t, "plain")
	case "object":
		return genObject(t, depth)
	case "map":
		return genMap(t, depth)
	case "array":
		return object(append([]string{`"type":"array"`, member("items", genSchema(t, depth-1))}, genCounts(t, "Items", 3)...)...)
	case "tuple":
		return genTuple(t, depth)
	case "anyOf", "allOf":
		return object(member(rapid.SampledFrom([]string{"anyOf", "allOf"}).Draw(t, "of"), genSchemas(t, depth)))
	case "oneOf":
		return object(member("oneOf", genSchemas(t, depth)))
	case "ref":
		return object(genRef(t))
	case "beside":
		return object(genRef(t), member("anyOf", genSchemas(t, depth)))
	default:
		return genDiscriminated(t, depth)
	}
}

func genRef(t *rapid.T) string {
	return member("$ref", strconv.Quote(rapid.SampledFrom([]string{"#/$defs/a", "#/$defs/b~1c"}).Draw(t, "ref")))
}

func genSchemas(t *rapid.T, depth int) string {
	list := []string{genSchema(t, depth-1)}
	for range rapid.IntRange(0, 2).Draw(t, "more") {
		list = append(list, genSchema(t, depth-1))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func genType() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{"null", "boolean", "integer", "number", "string", "array", "object"})
}

func genLiteral() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		`null`, `true`, `0`, `1`, `1.5`, `2e1`, `-7`, `""`, `"a"`, `"x\"\\\n"`, `"é"`, `[]`, `[1,"a"]`, `{}`, `{"a":1}`, `{"kind":"k1","b":[]}`,
	})
}

func genDecimal() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		digits := rapid.IntRange(0, 3).Draw(t, "digits")
		return strconv.FormatFloat(float64(rapid.IntRange(-3000, 3000).Draw(t, "n"))/100, 'f', digits, 64)
	})
}

func genRange(t *rapid.T, number *rapid.Generator[string]) []string {
	var list []string
	for _, name := range []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"} {
		if rapid.IntRange(0, 3).Draw(t, "has") == 0 {
			list = append(list, member(name, number.Draw(t, name)))
		}
	}
	if rapid.IntRange(0, 5).Draw(t, "has") == 0 {
		list = append(list, member("multipleOf", rapid.SampledFrom([]string{"1", "10", "0.01", "7", "0.25"}).Draw(t, "multipleOf")))
	}
	return list
}

func genCounts(t *rapid.T, of string, most int) []string {
	var list []string
	for _, name := range []string{"min", "max"} {
		if rapid.Bool().Draw(t, "has") {
			list = append(list, member(name+of, strconv.Itoa(rapid.IntRange(0, most).Draw(t, name))))
		}
	}
	return list
}

func genNames(t *rapid.T) []string {
	names := rapid.SampledFrom([]string{"a", "ab", "b", "kind", "", `q"`, "é\n"})
	return rapid.SliceOfNDistinct(names, 0, 4, rapid.ID).Draw(t, "names")
}

func genObject(t *rapid.T, depth int) string {
	var properties, required []string
	for _, name := range genNames(t) {
		properties = append(properties, member(name, genSchema(t, depth-1)))
		if rapid.Bool().Draw(t, "required") {
			required = append(required, strconv.Quote(name))
		}
	}
	list := []string{`"type":"object"`, member("properties", object(properties...)), member("required", "["+strings.Join(required, ",")+"]")}
	switch rapid.IntRange(0, 3).Draw(t, "others") {
	case 0:
		list = append(list, `"additionalProperties":false`)
	case 1:
		list = append(list, member("additionalProperties", genSchema(t, depth-1)))
	}
	if rapid.IntRange(0, 3).Draw(t, "counted") == 0 {
		list = append(list, genCounts(t, "Properties", 4)...)
	}
	return object(list...)
}

func genMap(t *rapid.T, depth int) string {
	names := rapid.SampledFrom([]string{
		`{"type":"string"}`, `{"enum":["a","b","kind"]}`, `{"pattern":"^[ab]+$"}`, `{"maxLength":2}`,
	}).Draw(t, "names")
	list := []string{`"type":"object"`, member("additionalProperties", genSchema(t, depth-1)), member("propertyNames", names)}
	return object(append(list, genCounts(t, "Properties", 3)...)...)
}

func genTuple(t *rapid.T, depth int) string {
	list := []string{`"type":"array"`, member("prefixItems", genSchemas(t, depth))}
	if rapid.Bool().Draw(t, "more") {
		list = append(list, member("items", genSchema(t, depth-1)))
	}
	return object(append(list, genCounts(t, "Items", 4)...)...)
}

// genDiscriminated is a oneOf whose branches mostly exclude each other.
func genDiscriminated(t *rapid.T, depth int) string {
	var list []string
	for i := range rapid.IntRange(1, 3).Draw(t, "branches") {
		kind := fmt.Sprintf(`{"const":"k%d"}`, i)
		list = append(list, object(`"type":"object"`,
			member("properties", object(member("kind", kind), member("v", genSchema(t, depth-1)))), `"required":["kind"]`))
	}
	return object(member("oneOf", "["+strings.Join(list, ",")+"]"))
}
