package jsonschema

import (
	"errors"
	"iter"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// newPattern parses a pattern of ECMA 262.
func newPattern(at *value, source string) (*pattern, error) {
	ahead, rest, err := cutAhead(source)
	if err != nil {
		return nil, at.refuse("%s", err)
	}
	p := &pattern{at: at, source: source}
	for _, a := range append([]lookahead{{source: rest}}, ahead...) {
		part, err := newPart(a.source)
		if err != nil {
			return nil, at.refuse("%s", err)
		}
		part.not = a.not
		p.parts = append(p.parts, part)
	}
	p.text = p.parts[0].text
	return p, nil
}

func newPart(source string) (patternPart, error) {
	translated, err := translate(source)
	if err != nil {
		return patternPart{}, err
	}
	parsed, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		return patternPart{}, patternReason(err)
	}
	text, err := convert(parsed, edge, edge)
	if err != nil {
		return patternPart{}, err
	}
	return patternPart{condition: condition{text: text}, regex: translated}, nil
}

func patternReason(err error) error {
	reason := err.Error()
	if known := new(syntax.Error); errors.As(err, &known) {
		reason = string(known.Code)
	}
	return errors.New("is no pattern that is known here: " + reason)
}

// matches is for the few strings of enum and const: it compiles the pattern.
func (p *pattern) matches(text string) bool {
	for _, part := range p.parts {
		// What was parsed compiles; if not, the string is left out.
		if found, err := regexp.MatchString(part.regex, text); err != nil || found == part.not {
			return false
		}
	}
	return true
}

// lookahead is what must, or must not, be found at the beginning of the string.
type lookahead struct {
	source string
	not    bool
}

// cutAhead takes the groups (?=...) and (?!...) off that stand right behind ^:
// there, and only there, they say something of the whole string.
func cutAhead(source string) (list []lookahead, rest string, err error) {
	rest, ok := strings.CutPrefix(source, "^")
	if !ok {
		return nil, source, nil
	}
	for strings.HasPrefix(rest, "(?=") || strings.HasPrefix(rest, "(?!") {
		end := 0
		for n, depth := range structure(rest) {
			if depth == 0 {
				end = n
				break
			}
		}
		if end == 0 {
			return nil, "", errors.New("has a group without an end")
		}
		list = append(list, lookahead{source: "^(?:" + rest[3:end] + ")", not: rest[2] == '!'})
		rest = rest[end+1:]
	}
	if len(list) == 0 {
		return nil, source, nil
	}
	for n, depth := range structure(rest) {
		if depth == 0 && rest[n] == '|' {
			return nil, "", errors.New("looks around in one of several alternatives, which no grammar can")
		}
	}
	return list, "^" + rest, nil
}

// structure yields the places of parentheses and bars, with the depth of groups
// behind them. Classes and escapes are passed over.
func structure(source string) iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		depth := 0
		for i := 0; i < len(source); i++ {
			switch source[i] {
			case '\\':
				i++
				continue
			case '[':
				end := classEnd(source[i:])
				if end < 0 {
					return
				}
				i += end
				continue
			case '(':
				depth++
			case ')':
				depth--
			case '|':
			default:
				continue
			}
			if !yield(i, depth) {
				return
			}
		}
	}
}

// side says what is beside a part of a pattern.
type side uint8

const (
	// edge: the part is at the end of the pattern; without an anchor, any text may be
	// between it and the end of the string.
	edge side = iota
	// anchored: the part is at the end of the string.
	anchored
	// inner: another part is there.
	inner
)

var errAnchor = errors.New("has ^ or $ elsewhere than at its ends")

// convert makes an expression for whole strings of a pattern that is searched in
// them: text before and after it is added where it is not anchored.
func convert(re *syntax.Regexp, left, right side) (*expression, error) {
	switch re.Op {
	case syntax.OpBeginText:
		if left == inner {
			return nil, errAnchor
		}
		return pad(sequence(), anchored, right), nil
	case syntax.OpEndText:
		if right == inner {
			return nil, errAnchor
		}
		return pad(sequence(), left, anchored), nil
	case syntax.OpCapture:
		return convert(re.Sub[0], left, right)
	case syntax.OpAlternate:
		parts := make([]*expression, len(re.Sub))
		for i, sub := range re.Sub {
			var err error
			if parts[i], err = convert(sub, left, right); err != nil {
				return nil, err
			}
		}
		return choice(parts...), nil
	case syntax.OpConcat:
		return convertConcat(re.Sub, left, right)
	default:
		e, err := convertPlain(re)
		if err != nil {
			return nil, err
		}
		return pad(e, left, right), nil
	}
}

func convertConcat(subs []*syntax.Regexp, left, right side) (*expression, error) {
	for len(subs) > 0 && subs[0].Op == syntax.OpBeginText && left != inner {
		left, subs = anchored, subs[1:]
	}
	for len(subs) > 0 && subs[len(subs)-1].Op == syntax.OpEndText && right != inner {
		right, subs = anchored, subs[:len(subs)-1]
	}
	if len(subs) == 0 {
		return pad(sequence(), left, right), nil
	}
	parts := make([]*expression, len(subs))
	for i, sub := range subs {
		l, r := inner, inner
		if i == 0 {
			l = left
		}
		if i == len(subs)-1 {
			r = right
		}
		var err error
		if parts[i], err = convert(sub, l, r); err != nil {
			return nil, err
		}
	}
	return sequence(parts...), nil
}

// pad adds any text where the end of the pattern is not that of the string.
func pad(e *expression, left, right side) *expression {
	parts := []*expression{e}
	if left == edge {
		parts = append([]*expression{anyText()}, parts...)
	}
	if right == edge {
		parts = append(parts, anyText())
	}
	return sequence(parts...)
}

func anyText() *expression {
	return repeat(class(runeSet{0, utf8.MaxRune}), 0, unbounded)
}

// convertPlain converts what can have no anchors.
func convertPlain(re *syntax.Regexp) (*expression, error) {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return sequence(), nil
	case syntax.OpNoMatch:
		return choice(), nil
	case syntax.OpLiteral:
		parts := make([]*expression, len(re.Rune))
		for i, r := range re.Rune {
			parts[i] = class(runeSet{r, r})
		}
		return sequence(parts...), nil
	case syntax.OpCharClass:
		return class(runeSet(re.Rune)), nil
	case syntax.OpStar:
		return convertRepeat(re, 0, unbounded)
	case syntax.OpPlus:
		return convertRepeat(re, 1, unbounded)
	case syntax.OpQuest:
		return convertRepeat(re, 0, 1)
	case syntax.OpRepeat:
		high := re.Max
		if high < 0 {
			high = unbounded
		}
		return convertRepeat(re, re.Min, high)
	default:
		return nil, errors.New("has a part that no grammar can keep: " + re.String())
	}
}

func convertRepeat(re *syntax.Regexp, low, high int) (*expression, error) {
	e, err := convert(re.Sub[0], inner, inner)
	if err != nil {
		return nil, err
	}
	return repeat(e, low, high), nil
}
