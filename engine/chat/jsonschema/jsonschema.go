package jsonschema

import "fmt"

// Grammar is a whole grammar, with the rule root, of the values that a schema
// allows. The error is an [*Error] or a [*LimitError].
func Grammar(schema []byte) (string, error) {
	rules, _, err := compile(schema, "", "", "root")
	return rules, err
}

// Rules are the rules of such a grammar, to be put into a larger one: all names
// begin with prefix, and root is the rule of the whole value. The prefix may have
// letters, digits and hyphens and must not be empty.
func Rules(schema []byte, prefix string) (rules, root string, err error) {
	return RulesAt(schema, "", prefix)
}

// RulesAt are the rules of the schema that a JSON pointer leads to, within the
// document that its references mean.
func RulesAt(document []byte, pointer, prefix string) (rules, root string, err error) {
	if !validPrefix(prefix) {
		return "", "", fmt.Errorf("jsonschema: %q is no prefix of rules", prefix)
	}
	return compile(document, pointer, prefix, "root")
}

// ObjectGrammar is a whole grammar of any JSON object.
func ObjectGrammar() string {
	w := newWriter("")
	w.rule("root", "object")
	w.primitive("object")
	return w.out.String()
}

func validPrefix(prefix string) bool {
	for _, r := range prefix {
		if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return prefix != ""
}

func compile(schema []byte, pointer, prefix, name string) (rules, root string, err error) {
	doc, err := decode(schema)
	if err != nil {
		return "", "", err
	}
	p := newParser(doc)
	place := doc.find(pointer)
	if place == nil {
		return "", "", doc.refuse("has nothing at %q", pointer)
	}
	top, err := p.schema(place)
	if err != nil {
		return "", "", err
	}
	n, err := newCompiler(p).build(top)
	if err != nil {
		return "", "", err
	}
	w := newWriter(prefix)
	rules, err = w.write(n, name)
	return rules, prefix + name, err
}
