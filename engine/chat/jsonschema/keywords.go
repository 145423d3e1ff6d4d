package jsonschema

import "math/big"

// Use is what becomes of a keyword.
type Use string

const (
	// Kept keywords hold for every answer.
	Kept Use = "kept"
	// Ignored keywords are annotations: they change no answer, as in JSON Schema.
	Ignored Use = "annotation"
	// Refused keywords make the schema an [Error].
	Refused Use = "refused"
)

// Keyword is a row of the table of keywords.
type Keyword struct {
	Name string
	Use  Use
	// Note says what of the keyword is kept, or why it is refused.
	Note string
}

// Keywords lists every keyword of JSON Schema, in the order of the
// documentation. Any other is refused, but for names that begin with "x-",
// which are annotations.
func Keywords() []Keyword {
	var list []Keyword
	for _, k := range keywordTable() {
		list = append(list, k.Keyword)
	}
	return list
}

// keyword is a row with its parser; none where there is nothing to parse.
type keyword struct {
	Keyword
	// implies are the types that a schema without type means by this keyword.
	implies typeSet
	parse   func(p *parser, s *schema, v *value) error
}

// keywordTable is made anew for each schema, because its parsers call it.
func keywordTable() []keyword {
	kept := func(name, note string, implies typeSet, parse func(*parser, *schema, *value) error) keyword {
		return keyword{Keyword{name, Kept, note}, implies, parse}
	}
	table := []keyword{
		kept("type", "All types, and lists of them.", 0, parseTypes),
		kept("enum", "Any JSON values.", 0, parseEnum),
		kept("const", "Any JSON value.", 0, parseConst),
		kept("$ref", "Pointers within the schema, also recursive; keywords beside it hold too.", 0, parseRef),
		kept("$defs", "Found through $ref.", 0, nil),
		kept("definitions", "Found through $ref.", 0, nil),
		kept("allOf", "Merged.", 0, parseAllOf),
		kept("anyOf", "", 0, parseUnion(false)),
		kept("oneOf", "Where the branches exclude each other: by type, const, enum, ranges, or a required property (a discriminator).",
			0, parseUnion(true)),
		kept("discriminator", "Of OpenAPI: its propertyName is required.", 0, parseDiscriminator),
		kept("properties", "Written in declared order.", typeObject, parseProperties),
		kept("required", "", typeObject, parseRequired),
		kept("additionalProperties",
			"If absent, an object with declared properties has no others. Others come last, with names that are not declared.",
			typeObject, parseChild(func(s *schema) **schema { return &s.additional })),
		kept("propertyNames", "Strings without limits, enum and const; with a pattern, a length or a format where no property is declared.",
			typeObject, parseChild(func(s *schema) **schema { return &s.propertyNames })),
		kept("minProperties", "Where declared properties can reach it; of others at most one is counted.",
			typeObject, parseCount(func(s *schema) **count { return &s.minProps })),
		kept("maxProperties", "", typeObject, parseCount(func(s *schema) **count { return &s.maxPro })),
		kept("items", "If absent, prefixItems are all the items. A list of schemas means prefixItems, as before 2020-12.", typeArray, parseItems),
		kept("additionalItems", "Beside a list in items.", 0, parseAdditionalItems),
		kept("prefixItems", "", typeArray, parsePrefix),
		kept("minItems", "", typeArray, parseCount(func(s *schema) **count { return &s.minItems })),
		kept("maxItems", "", typeArray, parseCount(func(s *schema) **count { return &s.maxItems })),
		kept("uniqueItems", "false; true where there is at most one item, and beside enum or const.", typeArray, parseUnique),
		kept("minLength", "In code points.", typeString, parseCount(func(s *schema) **count { return &s.minLength })),
		kept("maxLength", "In code points.", typeString, parseCount(func(s *schema) **count { return &s.maxLength })),
		kept("pattern", "Literals, classes, groups, alternatives, quantifiers, ^ and $ at the ends, look-ahead right behind ^. Not: look-around "+
			"elsewhere, back references, \\b. Beside lengths, a format and other patterns where all of it has at most 3,000 cases.",
			typeString, parsePattern),
		kept("format", "Strings: date-time, date, time, duration, uuid, email, hostname, ipv4, ipv6, uri. Integers: int32, int64. "+
			"float, double and password change nothing. Any other is refused.", 0, parseFormat),
		kept("minimum", "", typeNumber, parseBound(false, false)),
		kept("maximum", "", typeNumber, parseBound(true, false)),
		kept("exclusiveMinimum", "A number, as since draft 6.", typeNumber, parseBound(false, true)),
		kept("exclusiveMaximum", "A number, as since draft 6.", typeNumber, parseBound(true, true)),
		kept("multipleOf", "Powers of ten; any other where the range has at most 1,000 multiples.", typeNumber, parseMultiple),
	}
	for _, name := range []string{
		"title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$schema", "$comment",
		"$anchor", "$vocabulary", "contentEncoding", "contentMediaType", "contentSchema", "externalDocs", "xml",
	} {
		table = append(table, keyword{Keyword: Keyword{Name: name, Use: Ignored}})
	}
	table = append(table, keyword{
		Keyword: Keyword{"$id", Ignored, "Refused below the root, where it changes what $ref means."},
		parse:   parseID,
	})
	refused := []Keyword{
		{Name: "not", Note: "what is not allowed cannot be told by a grammar"},
		{Name: "if", Note: "write anyOf instead"},
		{Name: "then", Note: "write anyOf instead"},
		{Name: "else", Note: "write anyOf instead"},
		{Name: "dependentRequired", Note: "write anyOf instead"},
		{Name: "dependentSchemas", Note: "write anyOf instead"},
		{Name: "dependencies", Note: "write anyOf instead"},
		{Name: "patternProperties", Note: "write additionalProperties, with propertyNames for the pattern"},
		{Name: "unevaluatedProperties", Note: "write additionalProperties"},
		{Name: "unevaluatedItems", Note: "write items"},
		{Name: "contains", Note: "write prefixItems"},
		{Name: "minContains", Note: "write prefixItems"},
		{Name: "maxContains", Note: "write prefixItems"},
		{Name: "$dynamicRef", Note: "write $ref"},
		{Name: "$dynamicAnchor", Note: "write $ref"},
		{Name: "$recursiveRef", Note: "write $ref"},
		{Name: "$recursiveAnchor", Note: "write $ref"},
		{Name: "nullable", Note: "write \"null\" into type"},
	}
	for _, k := range refused {
		k.Use = Refused
		table = append(table, keyword{Keyword: k})
	}
	return table
}

func parseTypes(_ *parser, s *schema, v *value) error {
	names := []*value{v}
	if v.kind == kindArray {
		names = v.items
	}
	for _, name := range names {
		t, ok := typeNamed(name.text)
		if name.kind != kindString || !ok {
			return name.refuse("must be null, boolean, integer, number, string, array or object")
		}
		s.types |= t
	}
	if s.types == 0 {
		return v.refuse("must have at least one type")
	}
	s.hasTypes = true
	return nil
}

func parseEnum(_ *parser, s *schema, v *value) error {
	if v.kind != kindArray || len(v.items) == 0 {
		return v.refuse("must be a list of at least one value")
	}
	s.enums = append(s.enums, newEnumeration(v, v.items))
	return nil
}

func parseConst(_ *parser, s *schema, v *value) error {
	s.enums = append(s.enums, newEnumeration(v, []*value{v}))
	return nil
}

func parseID(p *parser, s *schema, v *value) error {
	if s.at != p.root {
		return v.refuse("cannot be kept below the root: write $defs and pointers")
	}
	return nil
}

func parseRef(p *parser, s *schema, v *value) error {
	target, err := p.resolve(v)
	if err != nil {
		return err
	}
	s.ref, err = p.schema(target)
	return err
}

func parseAllOf(p *parser, s *schema, v *value) (err error) {
	s.allOf, err = p.schemas(v)
	return err
}

func parseUnion(exactlyOne bool) func(*parser, *schema, *value) error {
	return func(p *parser, s *schema, v *value) error {
		branches, err := p.schemas(v)
		if err != nil {
			return err
		}
		s.unions = append(s.unions, &union{at: v, branches: branches, exactlyOne: exactlyOne})
		return nil
	}
}

func parseProperties(p *parser, s *schema, v *value) error {
	if v.kind != kindObject {
		return v.refuse("must be an object of schemas")
	}
	s.byName = map[string]*schema{}
	for i, name := range v.names {
		child, err := p.schema(v.items[i])
		if err != nil {
			return err
		}
		s.properties = append(s.properties, property{name, child})
		s.byName[name] = child
	}
	return nil
}

func parseRequired(_ *parser, s *schema, v *value) error {
	if v.kind != kindArray {
		return v.refuse("must be a list of names")
	}
	for _, name := range v.items {
		if name.kind != kindString {
			return name.refuse("must be a string")
		}
	}
	s.required = append(s.required, v.items...)
	return nil
}

// parseDiscriminator makes the property required by which branches differ, as
// OpenAPI demands: some writers of schemas leave that out where it has a default.
func parseDiscriminator(_ *parser, s *schema, v *value) error {
	if name := v.member("propertyName"); name != nil && name.kind == kindString {
		s.required = append(s.required, name)
	}
	return nil
}

func parseChild(field func(*schema) **schema) func(*parser, *schema, *value) error {
	return func(p *parser, s *schema, v *value) (err error) {
		*field(s), err = p.schema(v)
		return err
	}
}

func parseCount(field func(*schema) **count) func(*parser, *schema, *value) error {
	return func(_ *parser, s *schema, v *value) error {
		n, err := v.size()
		if err != nil {
			return err
		}
		*field(s) = &count{at: v, n: n}
		return nil
	}
}

func parsePrefix(p *parser, s *schema, v *value) (err error) {
	if list := s.at.member("items"); list != nil && list.kind == kindArray {
		return v.refuse("cannot stand beside a list in items")
	}
	s.prefix, err = p.schemas(v)
	return err
}

func parseItems(p *parser, s *schema, v *value) (err error) {
	if v.kind != kindArray {
		s.items, err = p.schema(v)
		return err
	}
	if len(v.items) > 0 {
		s.prefix, err = p.schemas(v)
	}
	return err
}

func parseAdditionalItems(p *parser, s *schema, v *value) (err error) {
	if list := s.at.member("items"); list == nil || list.kind != kindArray {
		return nil // it means nothing without a list
	}
	s.items, err = p.schema(v)
	return err
}

func parseUnique(_ *parser, s *schema, v *value) error {
	if v.kind != kindBool {
		return v.refuse("must be true or false")
	}
	if v.truth {
		s.uniqueItems = v
	}
	return nil
}

func parseBound(upper, open bool) func(*parser, *schema, *value) error {
	return func(_ *parser, s *schema, v *value) error {
		r, err := v.rational()
		if err != nil {
			return err
		}
		s.bounds = append(s.bounds, bound{at: v, value: r, upper: upper, open: open})
		return nil
	}
}

func parseMultiple(_ *parser, s *schema, v *value) error {
	r, err := v.rational()
	if err != nil {
		return err
	}
	if r.Sign() <= 0 {
		return v.refuse("must be greater than 0")
	}
	s.multipleOf = &multiple{at: v, of: r}
	return nil
}

func parsePattern(_ *parser, s *schema, v *value) (err error) {
	if v.kind != kindString {
		return v.refuse("must be a string")
	}
	s.pattern, err = newPattern(v, v.text)
	return err
}

func parseFormat(_ *parser, s *schema, v *value) (err error) {
	if v.kind != kindString {
		return v.refuse("must be a string")
	}
	switch v.text {
	case "int32", "int64":
		bits := uint(31)
		if v.text == "int64" {
			bits = 63
		}
		limit := new(big.Int).Lsh(big.NewInt(1), bits)
		s.bounds = append(s.bounds,
			bound{at: v, value: new(big.Rat).SetInt(new(big.Int).Neg(limit))},
			bound{at: v, value: new(big.Rat).SetInt(limit), upper: true, open: true})
		return nil
	case "float", "double", "password":
		return nil
	}
	source, ok := formatPattern(v.text)
	if !ok {
		return v.refuse("%q is no format that is known here", v.text)
	}
	s.implied |= typeString
	s.format, err = newPattern(v, source)
	return err
}
