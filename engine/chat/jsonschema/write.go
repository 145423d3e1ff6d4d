package jsonschema

import (
	"slices"
	"strconv"
	"strings"
)

// maxRepeat bounds the repeats of the grammar. A maximum above it becomes it,
// which is stricter; a minimum above it is refused.
const maxRepeat = 20_000

// deepest bounds nested parentheses.
const deepest = 100

// writer writes rules. Each is made once, when it is first asked for.
type writer struct {
	prefix string
	out    strings.Builder
	rules  int
	// names are the rules that were asked for: by node, or by text of the rule.
	nodes map[*node]string
	texts map[string]string
	// named counts the names that are numbered.
	named int
	queue []*node
}

func newWriter(prefix string) *writer {
	return &writer{prefix: prefix, nodes: map[*node]string{}, texts: map[string]string{}}
}

// write makes the rules of a node and of all that it needs. The node's own rule
// comes first and is called name.
func (w *writer) write(root *node, name string) (string, error) {
	w.nodes[root] = w.prefix + name
	w.queue = append(w.queue, root)
	for len(w.queue) > 0 {
		n := w.queue[0]
		w.queue = w.queue[1:]
		alternatives, err := w.alternatives(n)
		if err != nil {
			return "", err
		}
		w.rule(w.nodes[n], strings.Join(alternatives, " | "))
		if w.rules > maxRules {
			return "", &LimitError{Limit: "rules", Max: maxRules}
		}
		if w.out.Len() > maxGrammarBytes {
			return "", &LimitError{Limit: "bytes of grammar", Max: maxGrammarBytes}
		}
	}
	return w.out.String(), nil
}

func (w *writer) rule(name, text string) {
	w.rules++
	w.out.WriteString(name + " ::= " + text + "\n")
}

// node is the name of a node's rule.
func (w *writer) node(n *node) string {
	if len(n.shapes) == 1 {
		if kind := n.shapes[0].kind(); kind != "" {
			return w.primitive(kind)
		}
	}
	name, ok := w.nodes[n]
	if !ok {
		name = w.fresh("n")
		w.nodes[n] = name
		w.queue = append(w.queue, n)
	}
	return name
}

// fresh is a name that no other rule has.
func (w *writer) fresh(kind string) string {
	w.named++
	return w.prefix + kind + strconv.Itoa(w.named)
}

// text is the name of a rule with the text; equal texts are one rule.
func (w *writer) text(kind, text string) string {
	name, ok := w.texts[text]
	if !ok {
		name = w.fresh(kind)
		w.texts[text] = name
		w.rule(name, text)
	}
	return name
}

// primitive is the name of a rule of plain JSON.
func (w *writer) primitive(kind string) string {
	name := w.prefix + kind
	if _, ok := w.texts[kind]; ok {
		return name
	}
	w.texts[kind] = name
	w.rule(name, w.primitiveText(kind))
	return name
}

// primitiveText is JSON, with a limit to everything that could go on for ever
// without getting on: white space, and the digits of numbers. 16 digits are what
// a double keeps.
func (w *writer) primitiveText(kind string) string {
	switch kind {
	case "ws":
		return `(" " | "\n" (" "{1,20} | "\t"{1,8})?)?`
	case "char":
		return `[^"\\\x00-\x1F] | "\\" (["\\/bfnrt] | "u" ` + w.primitive("unit") + `)`
	case "unit": // a surrogate is followed by its other half
		return `[0-9A-CE-Fa-ce-f] [0-9A-Fa-f]{3} | [Dd] [0-7] [0-9A-Fa-f]{2}` +
			` | [Dd] [89ABab] [0-9A-Fa-f]{2} "\\u" [Dd] [C-Fc-f] [0-9A-Fa-f]{2}`
	case "string":
		return `"\"" ` + w.primitive("char") + `* "\""`
	case "integer":
		return `"0" | "-"? [1-9] [0-9]{0,15}`
	case "number":
		return `"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,16})? ([eE] [+-]? [0-9]{1,2})?`
	case "array":
		value, ws := w.primitive("value"), w.primitive("ws")
		return `"[" ` + ws + ` (` + value + ` ("," ` + ws + ` ` + value + `)* ` + ws + `)? "]"`
	case "object":
		ws := w.primitive("ws")
		m := w.primitive("string") + ` ":" ` + ws + ` ` + w.primitive("value")
		return `"{" ` + ws + ` (` + m + ` ("," ` + ws + ` ` + m + `)* ` + ws + `)? "}"`
	default:
		return w.primitive("object") + " | " + w.primitive("array") + " | " + w.primitive("string") + " | " + w.primitive("number") +
			` | "true" | "false" | "null"`
	}
}

// kind is the rule of plain JSON that a shape is, if it is one.
func (n *nodeShape) kind() string {
	switch {
	case n.finite:
	case n.anything():
		return "value"
	case n.types == typeString && n.plain(typeString):
		return "string"
	case n.types == typeInteger && n.plain(typeNumber):
		return "integer"
	case n.types == typeNumber && n.plain(typeNumber):
		return "number"
	case n.types == typeArray && n.plain(typeArray):
		return "array"
	case n.types == typeObject && n.plain(typeObject):
		return "object"
	}
	return ""
}

// anything says that all JSON values are allowed.
func (n *nodeShape) anything() bool {
	return n.types == anyType && n.plain(typeNumber) && n.plain(typeString) && n.plain(typeArray) && n.plain(typeObject)
}

func (w *writer) alternatives(n *node) ([]string, error) {
	var list []string
	seen := map[string]bool{}
	for _, s := range n.shapes {
		if !s.productive() {
			continue
		}
		texts, err := w.shape(s)
		if err != nil {
			return nil, err
		}
		for _, text := range texts {
			if !seen[text] {
				seen[text] = true
				list = append(list, text)
			}
		}
	}
	return list, nil
}

// shape lists the alternatives of a shape, one or more for each type.
func (w *writer) shape(s *nodeShape) ([]string, error) {
	var list []string
	if s.finite {
		for _, v := range s.literals {
			list = append(list, w.literal(v))
		}
		return list, nil
	}
	if s.anything() {
		return []string{w.primitive("value")}, nil
	}
	if s.types&typeObject != 0 && s.objectProductive() {
		text, err := w.object(s)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	if s.types&typeArray != 0 && s.array.min.or(0) <= s.mostItems() {
		text, err := w.array(s)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	scalars, err := w.scalars(s)
	return append(list, scalars...), err
}

func (w *writer) scalars(s *nodeShape) ([]string, error) {
	var list []string
	if s.types&typeString != 0 {
		text, err := w.string(&s.text)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	if s.types&typeNumber != 0 {
		text, err := w.number(&s.number, s.types)
		if err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	if s.types&typeBool != 0 {
		list = append(list, `"true"`, `"false"`)
	}
	if s.types&typeNull != 0 {
		list = append(list, `"null"`)
	}
	return list, nil
}

// literal is the text of one value. White space may be in it as elsewhere.
func (w *writer) literal(v *value) string {
	switch v.kind {
	case kindNull:
		return `"null"`
	case kindBool:
		return quote(strconv.FormatBool(v.truth))
	case kindNumber:
		return quote(canonicalNumber(v))
	case kindString:
		return quote(encode(v.text))
	case kindArray, kindObject:
	}
	open, end := `"["`, `"]"`
	if v.kind == kindObject {
		open, end = `"{"`, `"}"`
	}
	ws := w.primitive("ws")
	terms := []string{open, ws}
	for i, item := range v.items {
		if i > 0 {
			terms = append(terms, `","`, ws)
		}
		if v.kind == kindObject {
			terms = append(terms, quote(encode(v.names[i])+":"), ws)
		}
		terms = append(terms, w.literal(item))
	}
	if len(v.items) > 0 {
		terms = append(terms, ws)
	}
	return strings.Join(append(terms, end), " ")
}

// canonicalNumber writes an integer as one, whatever way it was written in.
func canonicalNumber(v *value) string {
	if r, err := v.rational(); err == nil && r.IsInt() && len(r.Num().String()) <= 40 {
		return r.Num().String()
	}
	return v.text
}

// quote writes text as a literal of the grammar. The text has no control
// characters: JSON has none.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// group makes one term of alternatives. An empty one makes it optional; of none
// it is nothing.
func group(alternatives ...string) string {
	list := slices.DeleteFunc(slices.Clone(alternatives), func(a string) bool { return a == "" })
	switch {
	case len(list) == 0:
		return ""
	case len(list) < len(alternatives):
		return "(" + strings.Join(list, " | ") + ")?"
	case len(list) == 1:
		return list[0]
	default:
		return "(" + strings.Join(list, " | ") + ")"
	}
}

// repeatSuffix writes the suffix of a repeat, low ≤ high.
func repeatSuffix(low, high int) string {
	switch {
	case high == unbounded && low == 0:
		return "*"
	case high == unbounded && low == 1:
		return "+"
	case high == unbounded:
		return "{" + strconv.Itoa(low) + ",}"
	case low == 0 && high == 1:
		return "?"
	case low == high:
		return "{" + strconv.Itoa(low) + "}"
	default:
		return "{" + strconv.Itoa(low) + "," + strconv.Itoa(high) + "}"
	}
}

// limits checks the bounds of a repeat: see maxRepeat.
func limits(low *count, high int) (int, error) {
	if low.or(0) > maxRepeat {
		return 0, low.at.refuse("cannot be kept above %d", maxRepeat)
	}
	if high != unbounded {
		high = min(high, maxRepeat)
	}
	return high, nil
}
