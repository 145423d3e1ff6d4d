package strictjson

import (
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a document. They bound what a hostile document can cost: its
// nesting costs stack, and `[0,0,0…` costs forty times its length in memory.
const (
	MaxDepth  = 64
	MaxValues = 500_000
)

// Parse reads one JSON document (RFC 8259) and nothing after it. Its errors
// are all [*Error].
func Parse(data []byte) (Value, error) {
	// Strings of the result are parts of one copy.
	p := &parser{data: string(data)}
	v, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	p.space()
	if p.pos < len(p.data) {
		return Value{}, p.malformed("text after the end of the document")
	}
	return v, nil
}

type parser struct {
	data   string
	pos    int
	values int
}

// value reads the value that begins at the next byte that is no space.
func (p *parser) value(depth int) (Value, *Error) {
	if p.values++; p.values > MaxValues {
		return Value{}, fault(TooLarge, fmt.Sprintf("is one value too many: a document holds at most %d", MaxValues))
	}
	p.space()
	switch c := p.peek(); {
	case c == '{' || c == '[':
		if depth >= MaxDepth {
			return Value{}, fault(TooLarge, fmt.Sprintf("is nested deeper than %d levels", MaxDepth))
		}
		p.pos++
		if c == '{' {
			return p.object(depth + 1)
		}
		return p.array(depth + 1)
	case c == '"':
		s, err := p.string()
		return Value{Kind: String, Text: s}, err
	case c == '-' || '0' <= c && c <= '9':
		return p.number()
	case p.literal("null"):
		return Value{}, nil
	case p.literal("true"):
		return Value{Kind: Bool, Text: "true"}, nil
	case p.literal("false"):
		return Value{Kind: Bool, Text: "false"}, nil
	}
	return Value{}, p.malformed("a value is expected")
}

// object reads members up to and with the closing brace.
func (p *parser) object(depth int) (Value, *Error) {
	v := Value{Kind: Object}
	var seen map[string]bool // only for big objects; small ones are scanned
	if p.space(); p.accept('}') {
		return v, nil
	}
	for {
		if p.space(); p.peek() != '"' {
			return Value{}, p.malformed("a field name in double quotes is expected")
		}
		name, err := p.string()
		if err != nil {
			return Value{}, err
		}
		repeated := seen[name]
		if seen == nil {
			_, repeated = v.Get(name)
		}
		if repeated {
			return Value{}, fault(Malformed, "is there twice").in(name)
		}
		if p.space(); !p.accept(':') {
			return Value{}, p.malformed("a colon is expected").in(name)
		}
		member, err := p.value(depth)
		if err != nil {
			return Value{}, err.in(name)
		}
		if v.Members == nil {
			v.Members = make([]Member, 0, usual)
		}
		v.Members = append(v.Members, Member{Name: name, Value: member})
		seen = index(seen, v.Members)
		p.space()
		if p.accept('}') {
			return v, nil
		}
		if !p.accept(',') {
			return Value{}, p.malformed("a comma or } is expected")
		}
	}
}

const (
	// scanned is the size up to which looking through an object beats a map.
	scanned = 32
	// usual is the room made for an object's members.
	usual = 6
)

// index keeps the set of names of an object that outgrew scanning.
func index(seen map[string]bool, members []Member) map[string]bool {
	switch {
	case len(members) < scanned:
		return nil
	case seen == nil:
		seen = make(map[string]bool, 2*scanned)
		for _, m := range members {
			seen[m.Name] = true
		}
	default:
		seen[members[len(members)-1].Name] = true
	}
	return seen
}

// array reads elements up to and with the closing bracket.
func (p *parser) array(depth int) (Value, *Error) {
	v := Value{Kind: Array}
	if p.space(); p.accept(']') {
		return v, nil
	}
	for {
		item, err := p.value(depth)
		if err != nil {
			return Value{}, err.item(len(v.Items))
		}
		v.Items = append(v.Items, item)
		p.space()
		if p.accept(']') {
			return v, nil
		}
		if !p.accept(',') {
			return Value{}, p.malformed("a comma or ] is expected")
		}
	}
}

// number reads a number by RFC 8259's grammar; its literal is kept.
func (p *parser) number() (Value, *Error) {
	start := p.pos
	p.accept('-')
	ok := p.accept('0') || p.digits()
	if ok && p.accept('.') {
		ok = p.digits()
	}
	if ok && (p.accept('e') || p.accept('E')) {
		_ = p.accept('+') || p.accept('-')
		ok = p.digits()
	}
	if !ok {
		return Value{}, p.malformed("a digit is expected")
	}
	return Value{Kind: Number, Text: p.data[start:p.pos]}, nil
}

func (p *parser) digits() bool {
	start := p.pos
	for c := p.peek(); '0' <= c && c <= '9'; c = p.peek() {
		p.pos++
	}
	return p.pos > start
}

// string reads a string from its opening quote on.
func (p *parser) string() (string, *Error) {
	p.pos++
	start := p.pos
	for p.pos < len(p.data) {
		switch c := p.data[p.pos]; {
		case c == '"':
			text := p.data[start:p.pos]
			if !utf8.ValidString(text) {
				return "", p.malformed("the string is not valid UTF-8")
			}
			p.pos++
			return text, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.malformed("a control character in a string must be escaped")
		default:
			p.pos++
		}
	}
	return "", p.malformed("the string does not end")
}

// escaped goes on with a string, begun at start, at its first backslash.
func (p *parser) escaped(start int) (string, *Error) {
	text := append([]byte(nil), p.data[start:p.pos]...)
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case c == '"':
			if !utf8.Valid(text) {
				return "", p.malformed("the string is not valid UTF-8")
			}
			p.pos++
			return string(text), nil
		case c == '\\':
			r, ok := p.escape()
			if !ok {
				return "", p.malformed("an escape in a string is not valid")
			}
			text = utf8.AppendRune(text, r)
		case c < ' ':
			return "", p.malformed("a control character in a string must be escaped")
		default:
			text = append(text, c)
			p.pos++
		}
	}
	return "", p.malformed("the string does not end")
}

// escape reads one escape, or the two of a surrogate pair.
func (p *parser) escape() (rune, bool) {
	p.pos++
	c := p.peek()
	p.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		r, ok := p.hex()
		if !ok || !utf16.IsSurrogate(r) {
			return r, ok
		}
		// encoding/json makes a lone surrogate U+FFFD: another text than was sent.
		if !p.accept('\\') || !p.accept('u') {
			return 0, false
		}
		low, ok := p.hex()
		r = utf16.DecodeRune(r, low)
		return r, ok && r != utf8.RuneError
	}
	return 0, false
}

func (p *parser) hex() (rune, bool) {
	if len(p.data)-p.pos < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(p.data[p.pos:p.pos+4], 16, 16)
	p.pos += 4
	return rune(n), err == nil
}

func (p *parser) space() {
	for p.pos < len(p.data) {
		switch p.data[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// peek is the next byte, 0 at the end (which no rule of JSON accepts).
func (p *parser) peek() byte {
	if p.pos < len(p.data) {
		return p.data[p.pos]
	}
	return 0
}

func (p *parser) accept(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.pos++
	return true
}

func (p *parser) literal(word string) bool {
	if len(p.data)-p.pos < len(word) || p.data[p.pos:p.pos+len(word)] != word {
		return false
	}
	p.pos += len(word)
	return true
}

// malformed tells the place in bytes too: a path alone does not find a comma.
func (p *parser) malformed(what string) *Error {
	if p.pos >= len(p.data) {
		what += ", but the document ends"
	}
	return fault(Malformed, fmt.Sprintf("not valid JSON at byte %d: %s", p.pos, what))
}
