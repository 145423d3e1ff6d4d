package jsonschema

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxPositions = 20_000 // of the automaton of one expression
	maxStates    = 3_000  // of the automaton of all of them
	maxWork      = 10_000_000
)

// condition is an expression that a string must match, or must not.
type condition struct {
	text *expression
	not  bool
}

// nfa is the automaton of one condition. Each state has one set of characters
// that lead to the next, or leads to others at once.
type nfa struct {
	condition
	sets   []runeSet
	next   []int
	jumps  [][]int
	accept int
	// seen has the number of the last closure that a state was in.
	seen    []int
	closure int
	// work counts the states that were looked at.
	work int
}

// newNFA builds the automaton; false if it is too large.
func newNFA(c condition) (*nfa, bool) {
	n := &nfa{condition: c}
	start := n.add()
	end, ok := n.build(c.text, start)
	n.accept = end
	return n, ok
}

func (n *nfa) add() int {
	n.sets, n.next, n.jumps = append(n.sets, nil), append(n.next, 0), append(n.jumps, nil)
	return len(n.sets) - 1
}

// build adds an expression behind a state, and returns the state behind it.
func (n *nfa) build(e *expression, from int) (to int, ok bool) {
	if len(n.sets) > maxPositions {
		return 0, false
	}
	switch e.op {
	case opClass:
		to = n.add()
		at := n.add()
		n.jumps[from] = append(n.jumps[from], at)
		n.sets[at], n.next[at] = e.set, to
		return to, true
	case opSequence:
		for _, sub := range e.subs {
			if from, ok = n.build(sub, from); !ok {
				return 0, false
			}
		}
		return from, true
	case opChoice:
		to = n.add()
		for _, sub := range e.subs {
			end, ok := n.build(sub, from)
			if !ok {
				return 0, false
			}
			n.jumps[end] = append(n.jumps[end], to)
		}
		return to, true
	default:
		return n.buildRepeat(e, from)
	}
}

func (n *nfa) buildRepeat(e *expression, from int) (to int, ok bool) {
	for range e.low {
		if from, ok = n.build(e.subs[0], from); !ok {
			return 0, false
		}
	}
	to = n.add()
	n.jumps[from] = append(n.jumps[from], to)
	if e.high == unbounded {
		end, ok := n.build(e.subs[0], to)
		if !ok {
			return 0, false
		}
		n.jumps[end] = append(n.jumps[end], to)
		return to, true
	}
	for range e.high - e.low {
		fresh := n.add() // so that what follows cannot lead back
		n.jumps[from] = append(n.jumps[from], fresh)
		if from, ok = n.build(e.subs[0], fresh); !ok {
			return 0, false
		}
		n.jumps[from] = append(n.jumps[from], to)
	}
	return to, true
}

// close adds the states that are reached without a character, and sorts.
func (n *nfa) close(states []int) []int {
	if n.seen == nil {
		n.seen = make([]int, len(n.sets))
	}
	n.closure++
	var out []int
	for len(states) > 0 {
		n.work++
		s := states[len(states)-1]
		states = states[:len(states)-1]
		if n.seen[s] != n.closure {
			n.seen[s] = n.closure
			out = append(out, s)
			states = append(states, n.jumps[s]...)
		}
	}
	slices.Sort(out)
	return out
}

func (n *nfa) step(states []int, r rune) []int {
	var out []int
	for _, s := range states {
		if n.sets[s].has(r) {
			out = append(out, n.next[s])
		}
	}
	n.work += len(states)
	return n.close(out)
}

// dfa is the automaton of strings that fulfil all conditions and have a length
// within bounds.
type dfa struct {
	// classes are the sets of characters that all conditions treat alike.
	classes []runeSet
	// to are the next states by class; -1 where there is none.
	to     [][]int
	accept []bool
}

// newDFA builds the automaton, with the start as state 0 and without states that
// lead nowhere. It is false if it is too large; without a state, nothing matches.
func newDFA(conditions []condition, low, high int) (*dfa, bool) {
	var parts []*nfa
	for _, c := range conditions {
		n, ok := newNFA(c)
		if !ok {
			return nil, false
		}
		parts = append(parts, n)
	}
	d := &dfa{classes: alphabet(parts)}
	b := &dfaBuilder{dfa: d, parts: parts, low: low, high: high, ids: map[string]int{}}
	if !b.build() {
		return nil, false
	}
	d.prune()
	d.minimize()
	return d, true
}

// alphabet cuts the code points at all ends of the sets, and joins the pieces
// that are in the same sets.
func alphabet(parts []*nfa) []runeSet {
	cuts := []rune{0, 0xd800, 0xe000, utf8.MaxRune + 1}
	var sets []runeSet
	for _, n := range parts {
		for _, set := range n.sets {
			if len(set) > 0 && !slices.ContainsFunc(sets, func(o runeSet) bool { return slices.Equal(o, set) }) {
				sets = append(sets, set)
				for i := 0; i < len(set); i += 2 {
					cuts = append(cuts, set[i], set[i+1]+1)
				}
			}
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	byKey := map[string]int{}
	var classes []runeSet
	for i, first := range cuts[:len(cuts)-1] {
		if first == 0xd800 {
			continue // surrogates
		}
		key := make([]byte, len(sets))
		for j, set := range sets {
			key[j] = '0'
			if set.has(first) {
				key[j] = '1'
			}
		}
		c, ok := byKey[string(key)]
		if !ok {
			c = len(classes)
			byKey[string(key)] = c
			classes = append(classes, nil)
		}
		classes[c] = append(classes[c], first, cuts[i+1]-1)
	}
	return classes
}

type dfaBuilder struct {
	*dfa
	parts     []*nfa
	low, high int
	ids       map[string]int
	states    []dfaState
}

type dfaState struct {
	sets   [][]int
	length int
}

// id finds or adds a state; -1 for one from which nothing can match.
func (b *dfaBuilder) id(s dfaState) int {
	var key strings.Builder
	key.WriteString(strconv.Itoa(s.length))
	accept := s.length >= b.low
	for i, set := range s.sets {
		if len(set) == 0 && !b.parts[i].not {
			return -1
		}
		key.WriteByte('|')
		for _, n := range set {
			key.WriteString(strconv.Itoa(n) + ",")
		}
		accept = accept && slices.Contains(set, b.parts[i].accept) != b.parts[i].not
	}
	id, ok := b.ids[key.String()]
	if !ok {
		id = len(b.states)
		b.ids[key.String()] = id
		b.states = append(b.states, s)
		b.accept = append(b.accept, accept)
	}
	return id
}

func (b *dfaBuilder) build() bool {
	start := dfaState{}
	for _, n := range b.parts {
		start.sets = append(start.sets, n.close([]int{0}))
	}
	b.id(start)
	for i := 0; i < len(b.states); i++ { //nolint:intrange // states are added while it runs
		if i >= maxStates || b.work() > maxWork {
			return false
		}
		b.to = append(b.to, b.follow(b.states[i]))
	}
	return true
}

func (b *dfaBuilder) work() int {
	work := 0
	for _, n := range b.parts {
		work += n.work
	}
	return work
}

func (b *dfaBuilder) follow(s dfaState) []int {
	to := make([]int, len(b.classes))
	length := s.length
	if length < b.low || b.high != unbounded {
		length++
	}
	for c, class := range b.classes {
		to[c] = -1
		if length > b.high {
			continue
		}
		next := dfaState{length: length}
		for i, n := range b.parts {
			next.sets = append(next.sets, n.step(s.sets[i], class[0]))
		}
		to[c] = b.id(next)
	}
	return to
}

// prune removes the ways to states from which no end is reached.
func (d *dfa) prune() {
	alive := slices.Clone(d.accept)
	for changed := true; changed; {
		changed = false
		for s := range slices.Backward(d.to) {
			if !alive[s] && slices.ContainsFunc(d.to[s], func(t int) bool { return t >= 0 && alive[t] }) {
				alive[s], changed = true, true
			}
		}
	}
	if len(alive) == 0 || !alive[0] {
		d.to, d.accept = nil, nil
		return
	}
	for _, to := range d.to {
		for c, t := range to {
			if t >= 0 && !alive[t] {
				to[c] = -1
			}
		}
	}
}

// minimize joins states of which the same strings lead to an end: by refining
// the partition into states that are ends and states that are not.
func (d *dfa) minimize() {
	if len(d.to) == 0 {
		return
	}
	part := make([]int, len(d.to))
	for s, accept := range d.accept {
		if accept {
			part[s] = 1
		}
	}
	for count := 0; ; {
		ids := map[string]int{}
		fresh := make([]int, len(d.to))
		for s, to := range d.to {
			key := binary.AppendVarint(nil, int64(part[s]))
			for _, t := range to {
				if t >= 0 {
					t = part[t]
				}
				key = binary.AppendVarint(key, int64(t))
			}
			id, ok := ids[string(key)]
			if !ok {
				id = len(ids)
				ids[string(key)] = id
			}
			fresh[s] = id
		}
		part = fresh
		if len(ids) == count {
			d.join(part, count)
			return
		}
		count = len(ids)
	}
}

// join keeps one state of each part. Parts are numbered by their first state,
// so that the start stays state 0.
func (d *dfa) join(part []int, count int) {
	to, accept := make([][]int, count), make([]bool, count)
	for s, g := range part {
		if to[g] != nil {
			continue
		}
		to[g], accept[g] = slices.Clone(d.to[s]), d.accept[s]
		for c, t := range to[g] {
			if t >= 0 {
				to[g][c] = part[t]
			}
		}
	}
	d.to, d.accept = to, accept
}
