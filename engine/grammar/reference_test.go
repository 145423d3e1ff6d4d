package grammar

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Here is the slow and simple matcher that the fast one is compared with: it walks
// a syntax tree of its own, which is also written out as GBNF.

// refNode is a node of the tree.
type refNode interface {
	// gbnf is the node as the operand of a repeat.
	gbnf() string
	// ends returns where matches that begin at a byte of the text may end.
	// It calls more when something behind the text could continue it.
	ends(r *refRun, at int) map[int]bool
}

type refGrammar struct {
	rules []refNode
}

func (g *refGrammar) gbnf() string {
	var b strings.Builder
	for i, body := range g.rules {
		fmt.Fprintf(&b, "%s ::= %s\n", refName(i), body.gbnf())
	}
	return b.String()
}

func refName(i int) string {
	if i == 0 {
		return "root"
	}
	return fmt.Sprintf("r-%d", i)
}

// match says whether a text is a whole sentence, and whether it begins one.
func (g *refGrammar) match(text string) (complete, prefix bool) {
	r := &refRun{g: g, text: text, known: map[refKey]map[int]bool{}}
	complete = r.ends(g.rules[0], 0)[len(text)]
	return complete, complete || r.more
}

type refRun struct {
	g    *refGrammar
	text string
	more bool
	// left says that a rule was asked for again where it was being asked for.
	left  bool
	known map[refKey]map[int]bool
}

// refAsked is known of what is still being asked for.
var refAsked = map[int]bool{-1: true}

// leftRecursive says whether some rule is.
func (g *refGrammar) leftRecursive() bool {
	return slices.ContainsFunc(g.rules, func(n refNode) bool {
		r := &refRun{g: g, known: map[refKey]map[int]bool{}}
		r.ends(n, 0)
		return r.left
	})
}

type refKey struct {
	node refNode
	at   int
}

func (r *refRun) ends(n refNode, at int) map[int]bool {
	key := refKey{n, at}
	if known, ok := r.known[key]; ok {
		r.left = r.left || known[-1]
		return known
	}
	r.known[key] = refAsked
	ends := n.ends(r, at)
	r.known[key] = ends
	return ends
}

type refText struct{ text string }

func (t *refText) gbnf() string {
	var b strings.Builder
	for _, c := range t.text {
		switch c {
		case 'é':
			b.WriteString(`\xE9`)
		case '漢':
			b.WriteString(`\u6f22`)
		case '😁':
			b.WriteString(`\U0001F601`)
		default:
			b.WriteRune(c)
		}
	}
	return `"` + b.String() + `"`
}

func (t *refText) ends(r *refRun, at int) map[int]bool {
	rest := r.text[at:]
	switch {
	case strings.HasPrefix(rest, t.text):
		return map[int]bool{at + len(t.text): true}
	case strings.HasPrefix(t.text, rest):
		r.more = true
	}
	return nil
}

type refSet struct {
	ranges []runeRange
	negate bool
}

func (s *refSet) gbnf() string {
	if s.negate && len(s.ranges) == 0 {
		return "."
	}
	var b strings.Builder
	b.WriteString("[")
	if s.negate {
		b.WriteString("^")
	}
	for _, r := range s.ranges {
		fmt.Fprintf(&b, `\U%08X-\U%08x`, r.lo, r.hi)
	}
	return b.String() + "]"
}

func (s *refSet) has(c rune) bool {
	if isSurrogate(c) {
		return false
	}
	in := slices.ContainsFunc(s.ranges, func(r runeRange) bool { return r.lo <= c && c <= r.hi })
	return in != s.negate
}

func (s *refSet) ends(r *refRun, at int) map[int]bool {
	rest := r.text[at:]
	if utf8.FullRuneInString(rest) {
		c, n := utf8.DecodeRuneInString(rest)
		if (c != utf8.RuneError || n == 3) && s.has(c) {
			return map[int]bool{at + n: true}
		}
		return nil
	}
	// Some character with this beginning?
	first, last := charactersFrom(rest)
	for c := first; c <= last && !r.more; c++ {
		r.more = s.has(c) && strings.HasPrefix(string(c), rest)
	}
	return nil
}

// charactersFrom is a range with all characters that have this proper beginning.
func charactersFrom(beginning string) (first, last rune) {
	if beginning == "" {
		return 0, utf8.MaxRune
	}
	length, value := 2, rune(beginning[0]&0x1F)
	if beginning[0] >= 0xE0 {
		length, value = 3, rune(beginning[0]&0x0F)
	}
	if beginning[0] >= 0xF0 {
		length, value = 4, rune(beginning[0]&0x07)
	}
	for _, c := range []byte(beginning[1:]) {
		value = value<<6 | rune(c&0x3F)
	}
	shift := 6 * (length - len(beginning))
	return value << shift, (value+1)<<shift - 1
}

type refRule struct{ rule int }

func (n *refRule) gbnf() string                        { return refName(n.rule) }
func (n *refRule) ends(r *refRun, at int) map[int]bool { return r.ends(r.g.rules[n.rule], at) }

type refSeq struct{ subs []refNode }

func (n *refSeq) gbnf() string { return refJoin(n.subs, " ") }

func (n *refSeq) ends(r *refRun, at int) map[int]bool {
	now := map[int]bool{at: true}
	for _, sub := range n.subs {
		now = r.after(now, sub)
	}
	return now
}

// after is where a node may end that begins at one of these places.
func (r *refRun) after(starts map[int]bool, n refNode) map[int]bool {
	out := map[int]bool{}
	for start := range starts {
		if start < 0 {
			continue
		}
		for end := range r.ends(n, start) {
			out[end] = true
		}
	}
	return out
}

type refAlt struct{ subs []refNode }

func (n *refAlt) gbnf() string { return refJoin(n.subs, " | ") }

func (n *refAlt) ends(r *refRun, at int) map[int]bool {
	out := map[int]bool{}
	for _, sub := range n.subs {
		for end := range r.ends(sub, at) {
			out[end] = true
		}
	}
	return out
}

func refJoin(subs []refNode, between string) string {
	parts := make([]string, len(subs))
	for i, sub := range subs {
		parts[i] = sub.gbnf()
	}
	return "(" + strings.Join(parts, between) + ")"
}

type refRepeat struct {
	sub      refNode
	min, max int
}

func (n *refRepeat) gbnf() string {
	b := "(" + n.sub.gbnf() + ")"
	switch {
	case n.min == 0 && n.max == 1:
		return b + "?"
	case n.min == 0 && n.max == unbounded:
		return b + "*"
	case n.min == 1 && n.max == unbounded:
		return b + "+"
	case n.max == unbounded:
		return b + fmt.Sprintf("{%d,}", n.min)
	case n.min == n.max:
		return b + fmt.Sprintf("{%d}", n.min)
	default:
		return b + fmt.Sprintf("{%d,%d}", n.min, n.max)
	}
}

func (n *refRepeat) ends(r *refRun, at int) map[int]bool {
	out := map[int]bool{}
	now := map[int]bool{at: true}
	// More rounds than bytes and n.min are of no use.
	for round := 0; round <= n.min+len(r.text) && len(now) > 0; round++ {
		if round >= n.min {
			for end := range now {
				out[end] = true
			}
		}
		if round == n.max {
			break
		}
		now = r.after(now, n.sub)
	}
	return out
}

// The characters of random grammars: few, so that grammars are ambiguous, and of
// every length in UTF-8.
var refRunes = []rune{'a', 'b', 'é', '漢', '😁'}

func drawNode(t *rapid.T, rules, depth int) refNode {
	kinds := 6
	if depth == 0 {
		kinds = 3
	}
	subs := func() []refNode {
		out := make([]refNode, rapid.IntRange(0, 3).Draw(t, "subs"))
		for i := range out {
			out[i] = drawNode(t, rules, depth-1)
		}
		return out
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return &refText{rapid.StringOfN(rapid.SampledFrom(refRunes), 0, 3, -1).Draw(t, "text")}
	case 1:
		return drawSet(t)
	case 2:
		return &refRule{rapid.IntRange(0, rules-1).Draw(t, "rule")}
	case 3:
		return &refSeq{subs()}
	case 4:
		if s := subs(); len(s) > 0 {
			return &refAlt{s}
		}
		return &refSeq{}
	default:
		n := &refRepeat{sub: drawNode(t, rules, depth-1), min: rapid.SampledFrom([]int{0, 1, 2, 3, 12}).Draw(t, "min"), max: unbounded}
		if rapid.Bool().Draw(t, "bounded") {
			n.max = n.min + rapid.SampledFrom([]int{0, 1, 2, 3, 20}).Draw(t, "more")
		}
		return n
	}
}

func drawSet(t *rapid.T) *refSet {
	s := &refSet{negate: rapid.Bool().Draw(t, "negate")}
	for range rapid.IntRange(1, 3).Draw(t, "ranges") {
		lo := rapid.SampledFrom(refRunes).Draw(t, "lo")
		s.ranges = append(s.ranges, runeRange{lo, lo + rapid.SampledFrom([]rune{0, 0, 1, 70, 5000}).Draw(t, "span")})
	}
	return s
}

func drawGrammar(t *rapid.T) *refGrammar {
	g := &refGrammar{rules: make([]refNode, rapid.IntRange(1, 4).Draw(t, "rules"))}
	for i := range g.rules {
		g.rules[i] = drawNode(t, len(g.rules), 3)
	}
	return g
}
