package jsonschema

import (
	"slices"
	"unicode/utf8"
)

// unbounded is the upper end of a repeat, or of a length, that has none.
const unbounded = int(^uint(0) >> 1)

// expression is a regular expression over code points, for whole strings.
type expression struct {
	op   operator
	set  runeSet       // of opClass
	subs []*expression // of opSequence, opChoice; one of opRepeat
	low  int           // of opRepeat
	high int
}

type operator uint8

const (
	opClass operator = iota
	opSequence
	opChoice
	opRepeat
)

// class is one code point of a set. Surrogates are none.
func class(set runeSet) *expression {
	return &expression{op: opClass, set: append(set.within(0, 0xd7ff), set.within(0xe000, utf8.MaxRune)...)}
}

// sequence joins expressions; of none it is the empty string.
func sequence(parts ...*expression) *expression {
	e := &expression{op: opSequence}
	for _, p := range parts {
		if p.op == opSequence {
			e.subs = append(e.subs, p.subs...)
		} else {
			e.subs = append(e.subs, p)
		}
	}
	if len(e.subs) == 1 {
		return e.subs[0]
	}
	return e
}

// choice is any of the expressions; of none it matches nothing.
func choice(parts ...*expression) *expression {
	if len(parts) == 1 {
		return parts[0]
	}
	return &expression{op: opChoice, subs: parts}
}

func repeat(e *expression, low, high int) *expression {
	return &expression{op: opRepeat, subs: []*expression{e}, low: low, high: high}
}

// length is the least and the greatest count of code points. An expression that
// matches nothing has a least that is above its greatest.
func (e *expression) length() (low, high int) {
	switch e.op {
	case opClass:
		if len(e.set) == 0 {
			return 1, 0
		}
		return 1, 1
	case opSequence:
		for _, sub := range e.subs {
			l, h := sub.length()
			if l > h {
				return 1, 0
			}
			low, high = plus(low, l), plus(high, h)
		}
		return low, high
	case opChoice:
		low, high = unbounded, 0
		for _, sub := range e.subs {
			if l, h := sub.length(); l <= h {
				low, high = min(low, l), max(high, h)
			}
		}
		return low, high
	default:
		l, h := e.subs[0].length()
		if l > h {
			if e.low == 0 {
				return 0, 0
			}
			return 1, 0
		}
		return times(l, e.low), times(h, e.high)
	}
}

func plus(a, b int) int {
	if a > unbounded-b {
		return unbounded
	}
	return a + b
}

func times(a, b int) int {
	if a == 0 || b == 0 {
		return 0
	}
	if a > unbounded/b {
		return unbounded
	}
	return a * b
}

// within cuts an expression to strings of a length from low to high. It is false
// where that is not a simple change of a bound: where more than one part varies.
func (e *expression) within(low, high int) (*expression, bool) {
	l, h := e.length()
	switch {
	case l > h || l > high || h < low:
		return choice(), true
	case l >= low && h <= high:
		return e, true
	}
	switch e.op {
	case opChoice:
		parts := make([]*expression, len(e.subs))
		for i, sub := range e.subs {
			var ok bool
			if parts[i], ok = sub.within(low, high); !ok {
				return nil, false
			}
		}
		return choice(parts...), true
	case opSequence:
		return e.sequenceWithin(low, high)
	case opRepeat:
		width, same := e.subs[0].length()
		if width != same || width == 0 {
			return nil, false
		}
		low = (low + width - 1) / width
		if high != unbounded {
			high /= width
		}
		low, high = max(e.low, low), min(e.high, high)
		if low > high {
			return choice(), true
		}
		return repeat(e.subs[0], low, high), true
	default:
		return e, true
	}
}

func (e *expression) sequenceWithin(low, high int) (*expression, bool) {
	varying, fixed := -1, 0
	for i, sub := range e.subs {
		l, h := sub.length()
		switch {
		case l == h:
			fixed += l
		case varying >= 0:
			return nil, false
		default:
			varying = i
		}
	}
	if high != unbounded {
		high -= fixed
	}
	part, ok := e.subs[varying].within(max(0, low-fixed), high)
	if !ok {
		return nil, false
	}
	subs := slices.Clone(e.subs)
	subs[varying] = part
	return sequence(subs...), true
}

// nothing says that no string matches.
func (e *expression) nothing() bool {
	low, high := e.length()
	return low > high
}

// runeSet is a set of code points: pairs of first and last, ascending.
type runeSet []rune

// normal sorts the pairs of a set and joins neighbours.
func (s runeSet) normal() runeSet {
	var pairs [][2]rune
	for i := 0; i < len(s); i += 2 {
		pairs = append(pairs, [2]rune{s[i], s[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]rune) int { return int(a[0] - b[0]) })
	var out runeSet
	for _, p := range pairs {
		if n := len(out); n > 0 && out[n-1]+1 == p[0] {
			out[n-1] = p[1]
		} else {
			out = append(out, p[0], p[1])
		}
	}
	return out
}

// minus removes single code points.
func (s runeSet) minus(points []rune) runeSet {
	slices.Sort(points)
	var out runeSet
	for i := 0; i < len(s); i += 2 {
		first, last := s[i], s[i+1]
		for _, p := range points {
			if p < first || p > last {
				continue
			}
			if p > first {
				out = append(out, first, p-1)
			}
			first = p + 1
		}
		if first <= last {
			out = append(out, first, last)
		}
	}
	return out
}

// within is the part between two code points.
func (s runeSet) within(first, last rune) runeSet {
	var out runeSet
	for i := 0; i < len(s); i += 2 {
		if a, b := max(first, s[i]), min(last, s[i+1]); a <= b {
			out = append(out, a, b)
		}
	}
	return out
}

func (s runeSet) has(r rune) bool {
	for i := 0; i < len(s); i += 2 {
		if s[i] <= r && r <= s[i+1] {
			return true
		}
	}
	return false
}
