package jsonschema

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// newPattern parses a pattern of ECMA 262.
func newPattern(at *value, source string) (*pattern, error) {
	translated, err := translate(source)
	if err != nil {
		return nil, at.refuse("%s", err)
	}
	compiled, err := regexp.Compile(translated)
	if err != nil {
		return nil, at.refuse("is no pattern that is known here: %s", patternReason(err))
	}
	parsed, err := syntax.Parse(translated, syntax.Perl)
	if err != nil {
		return nil, at.refuse("is no pattern that is known here: %s", patternReason(err))
	}
	text, err := convert(parsed, edge, edge)
	if err != nil {
		return nil, at.refuse("%s", err)
	}
	return &pattern{at: at, source: translated, regex: compiled, text: text}, nil
}

func patternReason(err error) string {
	if known := new(syntax.Error); errors.As(err, &known) {
		return string(known.Code)
	}
	return err.Error()
}

func (p *pattern) matches(text string) bool { return p.regex.MatchString(text) }

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
