package grammar

import "slices"

// representatives remembers what nodes are equal to for a while.
type representatives struct {
	// depth is that while, in bytes.
	depth int32
	// of has the node's representative, for the nodes looked at so far; others
	// are 0, which only the bottom is.
	of []int32
	// todo are the nodes to look at.
	todo []int32
}

// representative is a state that allows the same texts of up to depth bytes, and
// the same one for many: a round of a loop is like any other that is as far from
// the bounds. So the thousands of states in a counted string share their masks.
func (a *automaton) representative(id, depth int32) int32 {
	if len(a.prog.loops) == 0 {
		return id
	}
	r := &a.alike
	if r.depth != depth {
		r.depth, r.of = depth, r.of[:0]
	}
	s := a.states[id]
	a.findAlike(a.places[s.lo:s.hi])
	places := a.work.out[:0]
	for _, p := range a.places[s.lo:s.hi] {
		places = append(places, place{p.pc, r.of[p.node]})
	}
	a.work.out = places
	return a.internState(places, s.complete)
}

// findAlike finds the representatives of all nodes that places may return to.
func (a *automaton) findAlike(places []place) {
	r := &a.alike
	r.of = appendZeros(r.of, len(a.nodes)-len(r.of))
	r.todo = r.todo[:0]
	visit := func(n int32) {
		if n != nodeBottom && r.of[n] == 0 {
			r.of[n] = n
			r.todo = append(r.todo, n)
		}
	}
	for _, p := range places {
		visit(p.node)
	}
	for done := 0; done < len(r.todo); {
		n := a.nodes[r.todo[done]]
		done++
		for _, e := range a.edges[n.lo:n.hi] {
			visit(e.parent)
		}
	}
	// A node's parents have smaller numbers.
	slices.Sort(r.todo)
	for _, n := range r.todo {
		r.of[n] = a.alikeNode(n)
	}
}

func (a *automaton) alikeNode(n int32) int32 {
	edges := a.work.edges[:0]
	changed := false
	for _, e := range a.edges[a.nodes[n].lo:a.nodes[n].hi] {
		same := e
		same.parent = a.alike.of[e.parent]
		if e.pc < 0 {
			same.count = a.prog.loops[^e.pc].alike(e.count, a.alike.depth)
		}
		changed = changed || same != e
		edges = append(edges, same)
	}
	a.work.edges = edges
	if !changed {
		return n
	}
	return a.internNode(edges)
}

// alike is the least number of rounds begun from which on the next depth bytes,
// and so as many rounds, meet the bounds in the same way.
func (l *loop) alike(count, depth int32) int32 {
	// Far from the end of the loop?
	if l.max != unbounded && l.max-count <= depth {
		return count
	}
	switch {
	case count+1 >= l.min:
		return max(l.min-1, 0)
	case l.min-count > depth:
		return 0
	default:
		return count
	}
}
