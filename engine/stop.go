package engine

import "slices"

// stopSet finds the first stop string in a text: an Aho-Corasick automaton,
// which looks at each byte once however many strings there are. It is immutable.
//
// The match that ends first wins; of several that end at the same byte the
// longest, so that no part of any of them is shown.
type stopSet struct {
	nodes []stopNode
}

// stopNode is a prefix of at least one stop string.
type stopNode struct {
	next []stopEdge
	// fail is the node of the longest proper suffix that is a prefix too.
	fail int32
	// depth is the prefix's length.
	depth int
	// match is the length of the longest stop string that ends here; 0 if none.
	match int
}

type stopEdge struct {
	b  byte
	to int32
}

func newStopSet(stops []string) *stopSet {
	if len(stops) == 0 {
		return nil
	}
	set := &stopSet{nodes: make([]stopNode, 1)}
	for _, stop := range stops {
		at := int32(0)
		for i := range len(stop) {
			to := set.child(at, stop[i])
			if to < 0 {
				to = int32(len(set.nodes))
				set.nodes = append(set.nodes, stopNode{depth: i + 1})
				set.nodes[at].next = append(set.nodes[at].next, stopEdge{stop[i], to})
			}
			at = to
		}
		set.nodes[at].match = len(stop)
	}
	set.link()
	return set
}

// link sets the suffix links, shorter prefixes first.
func (set *stopSet) link() {
	queue := []int32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, edge := range set.nodes[at].next {
			if at != 0 {
				set.nodes[edge.to].fail = set.step(set.nodes[at].fail, edge.b)
			}
			node := &set.nodes[edge.to]
			node.match = max(node.match, set.nodes[node.fail].match)
			queue = append(queue, edge.to)
		}
	}
}

func (set *stopSet) child(at int32, b byte) int32 {
	edges := set.nodes[at].next
	if i := slices.IndexFunc(edges, func(e stopEdge) bool { return e.b == b }); i >= 0 {
		return edges[i].to
	}
	return -1
}

// step follows one byte.
func (set *stopSet) step(at int32, b byte) int32 {
	for {
		if to := set.child(at, b); to >= 0 {
			return to
		}
		if at == 0 {
			return 0
		}
		at = set.nodes[at].fail
	}
}

// stopMatcher runs one text through a stopSet and holds back what may be the
// beginning of a stop string.
type stopMatcher struct {
	set  *stopSet
	at   int32
	held []byte
}

// push appends to dst what of held back text and b can be shown now. When a
// stop string ends within b, matched is true, and nothing of the stop string or
// behind it is in dst.
func (m *stopMatcher) push(dst, b []byte) (_ []byte, matched bool) {
	if m.set == nil {
		return append(dst, b...), false
	}
	for i, c := range b {
		m.at = m.set.step(m.at, c)
		if n := m.set.nodes[m.at].match; n > 0 {
			m.held = append(m.held, b[:i+1]...)
			dst = append(dst, m.held[:len(m.held)-n]...)
			m.held = m.held[:0]
			return dst, true
		}
	}
	m.held = append(m.held, b...)
	free := len(m.held) - m.set.nodes[m.at].depth
	dst = append(dst, m.held[:free]...)
	m.held = m.held[:copy(m.held, m.held[free:])]
	return dst, false
}

// flush appends what is held back: no stop string will follow.
func (m *stopMatcher) flush(dst []byte) []byte {
	dst = append(dst, m.held...)
	m.held, m.at = m.held[:0], 0
	return dst
}
