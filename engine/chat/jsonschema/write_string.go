package jsonschema

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// string writes the rule of a string.
func (w *writer) string(t *textShape) (string, error) {
	high, err := limits(t.minLength, t.maxLength.or(unbounded))
	if err != nil {
		return "", err
	}
	low := t.minLength.or(0)
	switch len(t.patterns) {
	case 0:
		if low == 0 && high == unbounded {
			return w.primitive("string"), nil
		}
		if high == 0 {
			return `"\"\""`, nil
		}
		return `"\"" ` + w.primitive("char") + repeatSuffix(low, high) + ` "\""`, nil
	case 1:
		if p := t.patterns[0]; len(p.parts) == 1 {
			if e, ok := p.text.within(low, high); ok {
				return w.quoted(p, e)
			}
		}
	}
	return w.conditions(t, low, high)
}

// quoted writes a string that matches one expression.
func (w *writer) quoted(p *pattern, e *expression) (string, error) {
	if e.nothing() {
		return "", p.at.refuse("allows no value: no string of a length within the bounds matches")
	}
	text, err := w.expression(e)
	if err != nil {
		return "", p.at.refuse("%s", err)
	}
	return join(`"\""`, text) + ` "\""`, nil
}

// expression writes what stands between the quotes. Each character is written in
// one way, so that what a pattern excludes stays excluded.
func (w *writer) expression(e *expression) (string, error) {
	switch e.op {
	case opClass:
		return w.class(e.set), nil
	case opSequence:
		return w.sequence(e.subs)
	case opChoice:
		return w.choice(e.subs)
	default:
		return w.repeat(e)
	}
}

func (w *writer) choice(subs []*expression) (string, error) {
	var list []string
	for _, sub := range subs {
		if sub.nothing() {
			continue
		}
		text, err := w.expression(sub)
		if err != nil {
			return "", err
		}
		list = append(list, text)
	}
	return group(list...), nil
}

func (w *writer) repeat(e *expression) (string, error) {
	if e.low > maxRepeat {
		return "", fmt.Errorf("repeats more than %d times", maxRepeat)
	}
	if e.high == 0 || e.subs[0].nothing() {
		return "", nil
	}
	text, err := w.expression(e.subs[0])
	if err != nil || text == "" {
		return "", err
	}
	high := e.high
	if high != unbounded {
		high = min(high, maxRepeat)
	}
	if e.subs[0].op != opClass {
		text = "(" + text + ")"
	}
	if e.low == 1 && high == 1 {
		return text, nil
	}
	return text + repeatSuffix(e.low, high), nil
}

// sequence joins characters that stand alone into literals.
func (w *writer) sequence(subs []*expression) (string, error) {
	var terms []string
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			terms = append(terms, quote(literal.String()))
			literal.Reset()
		}
	}
	for _, sub := range subs {
		if sub.op == opClass && len(sub.set) == 2 && sub.set[0] == sub.set[1] {
			literal.WriteString(encodeRune(sub.set[0]))
			continue
		}
		flush()
		text, err := w.expression(sub)
		if err != nil {
			return "", err
		}
		if text != "" {
			terms = append(terms, text)
		}
	}
	flush()
	return strings.Join(terms, " "), nil
}

// encode writes a string in JSON, in the one way that patterns and names are
// written in.
func encode(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		b.WriteString(encodeRune(r))
	}
	b.WriteByte('"')
	return b.String()
}

// shortEscapes are the control characters with a letter of their own.
const shortEscapes = "\b\f\n\r\t"

func encodeRune(r rune) string {
	switch i := strings.IndexRune(shortEscapes, r); {
	case r == '"' || r == '\\':
		return `\` + string(r)
	case i >= 0:
		return `\` + "bfnrt"[i:i+1]
	case r < ' ':
		return fmt.Sprintf(`\u%04x`, r)
	default:
		return string(r)
	}
}

// class writes a term for one character of a set: as it is, or escaped. A class
// that is long to write is a rule.
func (w *writer) class(set runeSet) string {
	var list []string
	if plain := set.within(' ', utf8.MaxRune).minus([]rune{'"', '\\'}); len(plain) > 0 {
		list = append(list, classText(plain))
	}
	var letters []string
	for i, r := range `"\` + shortEscapes {
		if set.has(r) {
			letters = append(letters, []string{`"`, `\\`, "b", "f", "n", "r", "t"}[i])
		}
	}
	if len(letters) > 0 {
		list = append(list, `"\\" [`+strings.Join(letters, "")+`]`)
	}
	control := set.within(0, ' '-1).minus([]rune(shortEscapes))
	for _, high := range []rune{0, 1} {
		var digits runeSet
		for _, r := range control.within(high<<4, high<<4|15) {
			digits = append(digits, rune("0123456789abcdef"[r&15]))
		}
		if len(digits) > 0 {
			list = append(list, fmt.Sprintf(`"\\u00%d" %s`, high, classText(splitDigits(digits))))
		}
	}
	if len(list) == 1 && strings.HasPrefix(list[0], "[") && len(list[0]) < 24 {
		return list[0]
	}
	return w.text("c", strings.Join(list, " | "))
}

// splitDigits cuts ranges of hexadecimal digits between 9 and a, where the
// digits are not neighbours.
func splitDigits(set runeSet) runeSet {
	var out runeSet
	for i := 0; i < len(set); i += 2 {
		if first, last := set[i], set[i+1]; first <= '9' && last >= 'a' {
			out = append(out, first, '9', 'a', last)
		} else {
			out = append(out, first, last)
		}
	}
	return out
}

func classText(set runeSet) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; i < len(set); i += 2 {
		b.WriteString(classRune(set[i]))
		if set[i] != set[i+1] {
			b.WriteString("-" + classRune(set[i+1]))
		}
	}
	b.WriteByte(']')
	return b.String()
}

func classRune(r rune) string {
	switch {
	case r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		return string(r)
	case r < 0x80:
		return fmt.Sprintf(`\x%02X`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04X`, r)
	default:
		return fmt.Sprintf(`\U%08X`, r)
	}
}

// nameExcept writes a name that is none of those given. Where a name could be
// written in two ways, one of them would slip through: so there is only one.
func (w *writer) nameExcept(names []string) string {
	if len(names) == 0 {
		return w.primitive("string")
	}
	sorted := slices.Sorted(slices.Values(names))
	return `"\"" ` + w.textExcept(slices.Compact(sorted), w.class(nameChars()), 1) + ` "\""`
}

// nameChars are the characters of names: all but control characters without an
// escape of a letter.
func nameChars() runeSet {
	return runeSet{'\b', '\n', '\f', '\r', ' ', 0xd7ff, 0xe000, utf8.MaxRune}
}

// textExcept writes text that is none of the names, which are sorted. It may be
// empty unless "" is one of them. It goes deeper by one character at a time; from
// time to time what is left becomes a rule, so that no grammar is nested too deep.
func (w *writer) textExcept(names []string, anyChar string, depth int) string {
	mayEnd := true
	var first []rune
	rest := map[rune][]string{}
	for _, name := range names {
		if name == "" {
			mayEnd = false
			continue
		}
		r, size := utf8.DecodeRuneInString(name)
		if len(rest[r]) == 0 {
			first = append(first, r)
		}
		rest[r] = append(rest[r], name[size:])
	}
	list := []string{w.class(nameChars().minus(slices.Clone(first))) + " " + anyChar + "*"}
	for _, r := range first {
		list = append(list, quote(encodeRune(r))+" "+w.textExcept(rest[r], anyChar, depth+1))
	}
	text := "(" + strings.Join(list, " | ") + ")"
	if mayEnd {
		text += "?"
	}
	if depth%deepest == 0 {
		return w.text("x", text)
	}
	return text
}
