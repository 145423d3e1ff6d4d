package grammar

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// The largest grammars that Parse takes; larger ones are a *LimitError. Repeats
// cost the same whatever their bounds are.
const (
	// MaxSource is the most bytes of a grammar's text.
	MaxSource = 1 << 20
	// MaxRules is the most rules.
	MaxRules = 1 << 15
	// MaxRepeat is the greatest bound of a repeat.
	MaxRepeat = 1 << 24
	// MaxNesting is how deep parentheses may be nested, and how many repeats one
	// symbol may have.
	MaxNesting = 1000
	// MaxInstructions is the most steps of a compiled grammar, which takes at
	// most about 50 bytes for each.
	MaxInstructions = 1 << 20
)

// parser reads GBNF by recursive descent. Its methods panic with a *SyntaxError
// or a *LimitError, which parse catches.
type parser struct {
	src   string
	pos   int
	depth int
	rules []*rule
	names map[string]int
}

func parse(src string) (rules []*rule, root int, err error) {
	if len(src) > MaxSource {
		return nil, 0, &LimitError{What: "bytes", Limit: MaxSource}
	}
	p := &parser{src: src, names: map[string]int{}}
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *SyntaxError:
			err = e
		case *LimitError:
			err = e
		default:
			panic(e)
		}
	}()
	p.checkEncoding()
	for p.space(true); p.pos < len(src); p.space(true) {
		p.rule()
	}
	return p.rules, p.finish(), nil
}

func (p *parser) checkEncoding() {
	for i, r := range p.src {
		if r != utf8.RuneError {
			continue
		}
		if _, n := utf8.DecodeRuneInString(p.src[i:]); n == 1 {
			p.failAt(i, "no valid UTF-8")
		}
	}
}

// finish checks that what was used is defined.
func (p *parser) finish() (root int) {
	for _, r := range p.rules {
		if r.body == nil {
			p.failAt(r.at, fmt.Sprintf("rule %s is not defined", r.name))
		}
	}
	root, ok := p.names["root"]
	if !ok {
		p.fail("there is no rule named root")
	}
	return root
}

func (p *parser) fail(reason string) { p.failAt(p.pos, reason) }

func (p *parser) failAt(at int, reason string) { panic(syntaxErrorAt(p.src, at, reason)) }

func syntaxErrorAt(src string, at int, reason string) *SyntaxError {
	before := src[:at]
	// The part of the line before it may end in the middle of a character.
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return &SyntaxError{
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(line) + 1,
		Reason: reason,
	}
}

// peek is the next byte, 0 at the end: no syntax has a NUL.
func (p *parser) peek() byte {
	if p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

// space skips blanks and comments.
func (p *parser) space(newlines bool) {
	for ; p.pos < len(p.src); p.pos++ {
		switch p.src[p.pos] {
		case ' ', '\t':
		case '\n', '\r':
			if !newlines {
				return
			}
		case '#':
			for p.pos+1 < len(p.src) && p.src[p.pos+1] != '\n' && p.src[p.pos+1] != '\r' {
				p.pos++
			}
		default:
			return
		}
	}
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func (p *parser) name() string {
	start := p.pos
	for isNameByte(p.peek()) {
		p.pos++
	}
	if p.pos == start {
		p.fail("a rule's name is missing here")
	}
	return p.src[start:p.pos]
}

// named is the index of a rule, defined or not yet.
func (p *parser) named(name string, at int) int {
	if i, ok := p.names[name]; ok {
		return i
	}
	if len(p.rules) == MaxRules {
		panic(&LimitError{What: "rules", Limit: MaxRules})
	}
	p.names[name] = len(p.rules)
	p.rules = append(p.rules, &rule{name: name, at: at})
	return len(p.rules) - 1
}

func (p *parser) rule() {
	at := p.pos
	name := p.name()
	p.space(false)
	if !strings.HasPrefix(p.src[p.pos:], "::=") {
		p.fail("::= is missing here")
	}
	p.pos += len("::=")
	r := p.rules[p.named(name, at)]
	if r.body != nil {
		p.failAt(at, fmt.Sprintf("rule %s is defined twice", name))
	}
	p.space(true)
	r.at, r.body = at, p.alternates(false)
	if p.pos < len(p.src) && p.peek() != '\n' && p.peek() != '\r' {
		p.unexpected()
	}
}

func (p *parser) unexpected() {
	switch p.peek() {
	case '<', '!':
		p.fail("tokens (<name>, <[id]>) are not supported, only characters")
	case '*', '+', '?', '{':
		p.fail("there is nothing to repeat here")
	default:
		r, _ := utf8.DecodeRuneInString(p.src[p.pos:])
		p.fail(fmt.Sprintf("unexpected %q", r))
	}
}

// alternates reads sequences separated by |; nested ones may span lines.
func (p *parser) alternates(nested bool) *expr {
	first := p.sequence(nested)
	if p.peek() != '|' {
		return first
	}
	alt := &expr{kind: exprAlt, subs: []*expr{first}}
	for p.peek() == '|' {
		p.pos++
		p.space(true)
		alt.subs = append(alt.subs, p.sequence(nested))
	}
	return alt
}

func (p *parser) sequence(nested bool) *expr {
	seq := &expr{kind: exprSeq}
	for {
		item := p.item()
		if item == nil {
			break
		}
		p.space(nested)
		seq.subs = append(seq.subs, p.repeated(item, nested))
	}
	if len(seq.subs) == 1 {
		return seq.subs[0]
	}
	return seq
}

// repeated reads the repeats behind an item.
func (p *parser) repeated(item *expr, nested bool) *expr {
	for n := 0; ; n++ {
		least, most, ok := p.repeat(nested)
		if !ok {
			return item
		}
		if n == MaxNesting {
			panic(&LimitError{What: "repeats of one symbol", Limit: MaxNesting})
		}
		item = newRepeat(item, least, most)
		p.space(nested)
	}
}

// item reads one symbol; nil if none begins here.
func (p *parser) item() *expr {
	switch c := p.peek(); {
	case c == '"':
		return p.literal()
	case c == '[':
		return p.class()
	case c == '.':
		p.pos++
		return &expr{kind: exprSet, set: normalize(nil, true)}
	case c == '(':
		return p.group()
	case isNameByte(c):
		at := p.pos
		return &expr{kind: exprRef, rule: p.named(p.name(), at)}
	default:
		return nil
	}
}

func (p *parser) group() *expr {
	open := p.pos
	if p.depth++; p.depth > MaxNesting {
		panic(&LimitError{What: "nested parentheses", Limit: MaxNesting})
	}
	p.pos++
	p.space(true)
	body := p.alternates(true)
	if p.pos == len(p.src) {
		p.failAt(open, "( is never closed")
	}
	if p.peek() != ')' {
		p.unexpected()
	}
	p.pos++
	p.depth--
	return body
}

// repeat reads one of * + ? {m} {m,} {m,n}.
func (p *parser) repeat(nested bool) (least, most int, ok bool) {
	switch p.peek() {
	case '*':
		least, most = 0, unbounded
	case '+':
		least, most = 1, unbounded
	case '?':
		least, most = 0, 1
	case '{':
		least, most = p.bounds(nested)
	default:
		return 0, 0, false
	}
	p.pos++
	return least, most, true
}

// bounds reads up to the closing brace.
func (p *parser) bounds(nested bool) (least, most int) {
	p.pos++
	p.space(nested)
	least = p.number(nested)
	most = least
	if p.peek() == ',' {
		p.pos++
		p.space(nested)
		most = unbounded
		if p.peek() != '}' {
			at := p.pos
			if most = p.number(nested); most < least {
				p.failAt(at, "the second bound is less than the first")
			}
		}
	}
	if p.peek() != '}' {
		p.fail("} is missing here")
	}
	return least, most
}

func (p *parser) number(nested bool) int {
	start, n := p.pos, 0
	for ; p.peek() >= '0' && p.peek() <= '9'; p.pos++ {
		if n = 10*n + int(p.peek()-'0'); n > MaxRepeat {
			panic(&LimitError{What: "repeats", Limit: MaxRepeat})
		}
	}
	if p.pos == start {
		p.fail("a number is missing here")
	}
	p.space(nested)
	return n
}
