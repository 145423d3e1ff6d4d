package grammar

import "slices"

// scratch is what a single step works with.
type scratch struct {
	// todo are the places reached so far without taking a byte; seen tells
	// which are among them. A negative node is one being built: ^entry.
	todo []place
	seen placeSet
	// pending are the nodes being built, by entry; entered says which are.
	pending []pending
	entered []int32
	// out are the places that take a byte.
	out      []place
	complete bool
	// left is how much work may still be done.
	left int
	// edges and joined are those of a node about to be interned.
	edges, joined []edge
}

// pending is the node of a rule or loop body that was entered in this step: from
// everywhere at once, since what it matches does not depend on that.
type pending struct {
	open bool
	// edges with pc == pcReturn stand for all edges of their parent: where
	// nothing but the return is left to do, the frame is not kept.
	edges []edge
	// node is known once all of this step was seen.
	node int32
}

const nodeUnbuilt int32 = -1

func (a *automaton) begin() {
	w := &a.work
	for _, e := range w.entered {
		w.pending[e].open = false
	}
	w.todo, w.entered, w.out, w.complete = w.todo[:0], w.entered[:0], w.out[:0], false
	w.left = maxWork
	w.seen.clear()
}

func (a *automaton) push(pc, node int32) {
	w := &a.work
	w.left--
	p := place{pc, node}
	if w.seen.add(p) {
		w.todo = append(w.todo, p)
	}
}

// enter begins a rule or loop body that is to return by an edge.
func (a *automaton) enter(entry int32, by edge) {
	w := &a.work
	w.left--
	p := &w.pending[entry]
	if !p.open {
		p.open, p.edges, p.node = true, p.edges[:0], nodeUnbuilt
		w.entered = append(w.entered, entry)
		a.push(a.prog.entries[entry], ^entry)
	}
	p.edges = append(p.edges, by)
}

// close follows all that takes no byte, and returns the state that this makes.
func (a *automaton) close() int32 {
	w := &a.work
	for done := 0; done < len(w.todo); {
		a.follow(w.todo[done])
		done++
		if w.left < 0 {
			return stateLost
		}
	}
	slices.SortFunc(w.out, func(x, y place) int { return int(x.pc) - int(y.pc) })
	places := w.out[:0]
	for i := 0; i < len(w.out); {
		n := i + 1
		for n < len(w.out) && w.out[n].pc == w.out[i].pc {
			n++
		}
		node := a.union(w.out[i:n])
		places = append(places, place{w.out[i].pc, node})
		i = n
	}
	if w.left < 0 {
		return stateLost
	}
	id := a.internState(places, w.complete)
	if a.states[id].weight > heavyWeight {
		return -id
	}
	return id
}

func (a *automaton) follow(p place) {
	i := &a.prog.instructions[p.pc]
	switch i.op {
	case opByte:
		a.work.out = append(a.work.out, p)
	case opFork:
		for _, pc := range a.prog.targets[i.lo:i.hi] {
			a.push(pc, p.node)
		}
	case opCall:
		a.enter(i.arg, edge{pc: i.next, parent: p.node})
		if a.prog.nullable[i.arg] {
			a.push(i.next, p.node)
		}
	case opLoop:
		l := &a.prog.loops[i.arg]
		a.enter(l.entry, edge{pc: ^i.arg, parent: p.node})
		if l.min == 0 {
			a.push(l.next, p.node)
		}
	case opReturn:
		// Who entered in this very step and returns already has matched the
		// empty text: opCall and opLoop have seen to that.
		if p.node >= 0 {
			a.returnFrom(p.node)
		}
	case opAccept:
		a.work.complete = true
	}
}

func (a *automaton) returnFrom(node int32) {
	n := a.nodes[node]
	for _, e := range a.edges[n.lo:n.hi] {
		if e.pc >= 0 {
			a.push(e.pc, e.parent)
			continue
		}
		l := &a.prog.loops[^e.pc]
		rounds := e.count + 1
		if rounds >= l.min {
			a.push(l.next, e.parent)
		}
		switch {
		case l.max == unbounded:
			e.count = min(rounds, max(l.min-1, 0))
		case rounds < l.max:
			e.count = rounds
		default:
			continue
		}
		a.enter(l.entry, e)
	}
}

// union is the node that returns to wherever one of the places' nodes does.
func (a *automaton) union(places []place) int32 {
	first := a.built(places[0].node)
	if len(places) == 1 {
		return first
	}
	joined := a.work.joined[:0]
	for _, p := range places {
		n := a.nodes[a.built(p.node)]
		joined = append(joined, a.edges[n.lo:n.hi]...)
	}
	a.work.left -= len(joined)
	a.work.joined = joined
	return a.internNode(joined)
}

// built is the node itself for one that is being built. Those that it needs are
// built before; they never need it, because no rule is left-recursive.
func (a *automaton) built(node int32) int32 {
	if node >= 0 {
		return node
	}
	if a.work.left < 0 {
		return nodeBottom // never used: the state is lost
	}
	p := &a.work.pending[^node]
	if p.node != nodeUnbuilt {
		return p.node
	}
	for i := range p.edges {
		p.edges[i].parent = a.built(p.edges[i].parent)
	}
	// From here on nothing else is built until this one is.
	edges := a.work.edges[:0]
	for _, e := range p.edges {
		if e.pc != pcReturn {
			edges = append(edges, e)
			continue
		}
		n := a.nodes[e.parent]
		edges = append(edges, a.edges[n.lo:n.hi]...)
	}
	a.work.left -= len(edges)
	a.work.edges = edges
	p.node = a.internNode(edges)
	return p.node
}

// placeSet is a set that is cleared by a single addition.
type placeSet struct {
	slots []placeSlot
	used  int
	round uint32
}

type placeSlot struct {
	place
	// round is the one in which the slot was taken.
	round uint32
}

func (s *placeSet) clear() {
	s.used = 0
	s.round++
	if s.round == 0 {
		clear(s.slots)
		s.round = 1
	}
}

// add reports whether the place is new.
func (s *placeSet) add(p place) bool {
	if 2*(s.used+1) > len(s.slots) {
		s.grow()
	}
	mask := uint32(len(s.slots) - 1)
	i := mix(mix(hashSeed, p.pc), p.node) & mask
	for s.slots[i].round == s.round {
		if s.slots[i].place == p {
			return false
		}
		i = (i + 1) & mask
	}
	s.slots[i] = placeSlot{p, s.round}
	s.used++
	return true
}

func (s *placeSet) grow() {
	old := s.slots
	s.slots = make([]placeSlot, max(64, 2*len(old)))
	s.used = 0
	for _, slot := range old {
		if slot.round == s.round {
			s.add(slot.place)
		}
	}
}
