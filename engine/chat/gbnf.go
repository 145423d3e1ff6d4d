package chat

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// rules collects the rules of a grammar. Names are numbered, so that no two
// parts of a grammar meet in one.
type rules struct {
	text strings.Builder
	n    int
}

// add adds a rule and returns its name.
func (r *rules) add(kind, body string) string {
	r.n++
	name := fmt.Sprintf("%s-%d", kind, r.n)
	r.text.WriteString(name + " ::= " + body + "\n")
	return name
}

// prefix returns the beginning of rule names that nothing else begins with.
func (r *rules) prefix(kind string) string {
	r.n++
	return fmt.Sprintf("%s-%d-", kind, r.n)
}

// whole returns the grammar whose root is the expression.
func (r *rules) whole(root string) string {
	return "root ::= " + root + "\n" + r.text.String()
}

// space between the tokens of JSON: little, because a model that may write
// blanks for ever does.
const space = `[ \n]{0,4}`

// more is how many more calls there can be behind the first: an answer has an
// end, also where a small model is in love with a call.
const more = "{0,15}"

// literal quotes text.
func literal(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\x%02X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// group puts an alternation into parentheses.
func group(alternatives []string) string {
	if len(alternatives) == 1 {
		return alternatives[0]
	}
	return "(" + strings.Join(alternatives, " | ") + ")"
}

// text is an expression for any text in which none of the markers occurs. They
// begin with the same character, which occurs nowhere else in them: so each
// stretch from one such character to the next is judged by itself.
func text(markers ...string) string {
	if len(markers) == 0 {
		return anything
	}
	first, size := utf8.DecodeRuneInString(markers[0])
	var tails []string
	for _, marker := range markers {
		tails = append(tails, marker[size:])
	}
	rest := class(true, first) + "*"
	return rest + " (" + literal(string(first)) + " " + unlike(rest, []rune{first}, tails) + ")*"
}

const anything = `[^\x00]*`

// unlike is an expression for text that begins with none of the prefixes: once
// it differs from them all by a character (none of without), rest follows.
func unlike(rest string, without []rune, prefixes []string) string {
	var firsts []rune
	for _, prefix := range prefixes {
		if c, _ := utf8.DecodeRuneInString(prefix); !slices.Contains(firsts, c) {
			firsts = append(firsts, c)
		}
	}
	alternatives := []string{class(true, append(slices.Clone(firsts), without...)...) + " " + rest}
	for _, c := range firsts {
		var tails []string
		whole := false
		for _, prefix := range prefixes {
			if tail, ok := strings.CutPrefix(prefix, string(c)); ok {
				tails = append(tails, tail)
				whole = whole || tail == ""
			}
		}
		if !whole {
			alternatives = append(alternatives, literal(string(c))+" "+unlike(rest, without, tails))
		}
	}
	return "(" + strings.Join(alternatives, " | ") + ")?"
}

// class is a character class of the characters, or of all others.
func class(not bool, characters ...rune) string {
	var b strings.Builder
	b.WriteByte('[')
	if not {
		b.WriteByte('^')
	}
	for _, c := range characters {
		switch {
		case strings.ContainsRune(`\]^-[`, c):
			fmt.Fprintf(&b, `\x%02X`, c)
		case c < ' ':
			fmt.Fprintf(&b, `\x%02X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte(']')
	return b.String()
}

// embed adds the rules of a whole grammar under new names, and returns the name
// of its root. The grammar has been parsed before: what is wrong here is so
// there.
func (r *rules) embed(gbnf string) string {
	prefix := r.prefix("answer")
	var out strings.Builder
	for i := 0; i < len(gbnf); {
		n := tokenLength(gbnf[i:])
		token := gbnf[i : i+n]
		if isNameByte(token[0]) {
			out.WriteString(prefix)
		}
		out.WriteString(token)
		i += n
	}
	r.text.WriteString(strings.TrimRight(out.String(), "\n") + "\n")
	return prefix + "root"
}

// tokenLength is the length of the string, class, comment, bounds or name that
// begins a piece of GBNF; 1 for any other character.
func tokenLength(s string) int {
	closing := byte(0)
	switch s[0] {
	case '"':
		closing = '"'
	case '[':
		closing = ']'
	case '#':
		closing = '\n'
	case '{':
		closing = '}'
	}
	i := 1
	switch {
	case closing != 0:
		for i < len(s) && s[i] != closing {
			if s[i] == '\\' && closing != '\n' {
				i++
			}
			i++
		}
		return min(i+1, len(s))
	case isNameByte(s[0]):
		for i < len(s) && isNameByte(s[i]) {
			i++
		}
	}
	return i
}

func isNameByte(c byte) bool { return isLetter(c) || c == '-' || c >= '0' && c <= '9' }

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}
