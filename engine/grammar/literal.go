package grammar

import (
	"strconv"
	"unicode/utf8"
)

// literal reads "…".
func (p *parser) literal() *expr {
	open := p.pos
	p.pos++
	var text []byte
	for p.peek() != '"' {
		if p.pos == len(p.src) {
			p.failAt(open, `" is never closed`)
		}
		at := p.pos
		r := p.char()
		if isSurrogate(r) {
			p.failAt(at, "a surrogate is no character")
		}
		text = utf8.AppendRune(text, r)
	}
	p.pos++
	if len(text) == 0 {
		return &expr{kind: exprSeq}
	}
	return &expr{kind: exprText, text: string(text)}
}

// class reads […] or [^…]. A - first or last stands for itself.
func (p *parser) class() *expr {
	open := p.pos
	p.pos++
	negate := p.peek() == '^'
	if negate {
		p.pos++
	}
	var ranges []runeRange
	for p.peek() != ']' {
		if p.pos == len(p.src) {
			p.failAt(open, "[ is never closed")
		}
		ranges = append(ranges, p.classRange())
	}
	p.pos++
	set := normalize(ranges, negate)
	if len(ranges) == 0 || len(set) == 0 {
		p.failAt(open, "no character is in this class")
	}
	return &expr{kind: exprSet, set: set}
}

func (p *parser) classRange() runeRange {
	at := p.pos
	lo := p.char()
	if p.peek() != '-' || p.pos+1 >= len(p.src) || p.src[p.pos+1] == ']' {
		return runeRange{lo, lo}
	}
	p.pos++
	hi := p.char()
	if hi < lo {
		p.failAt(at, "the range ends before it begins")
	}
	return runeRange{lo, hi}
}

// char reads a character or an escape for one.
func (p *parser) char() rune {
	r, n := utf8.DecodeRuneInString(p.src[p.pos:])
	if r != '\\' {
		p.pos += n
		return r
	}
	at := p.pos
	p.pos += 2
	if p.pos > len(p.src) {
		p.failAt(at, "unfinished escape")
	}
	switch c := p.src[p.pos-1]; c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case '\\', '"', '[', ']', '-', '^':
		return rune(c)
	case 'x':
		return p.hex(at, 2)
	case 'u':
		return p.hex(at, 4)
	case 'U':
		return p.hex(at, 8)
	default:
		p.failAt(at, "unknown escape")
		return 0
	}
}

// hex reads exactly that many hexadecimal digits of the escape at that place.
func (p *parser) hex(at, digits int) rune {
	end := p.pos + digits
	if end > len(p.src) {
		p.failAt(at, "unfinished escape")
	}
	// ParseUint takes no signs, and underscores only with base 0.
	v, err := strconv.ParseUint(p.src[p.pos:end], 16, 32)
	if err != nil {
		p.failAt(at, "this escape needs "+strconv.Itoa(digits)+" hexadecimal digits")
	}
	if v > utf8.MaxRune {
		p.failAt(at, "beyond the last character, U+10FFFF")
	}
	p.pos = end
	return rune(v)
}
