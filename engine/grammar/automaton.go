package grammar

import (
	"cmp"
	"slices"
)

// automaton is the part of a grammar's automaton that texts have visited so far.
// It is a pushdown automaton made deterministic: a state is everywhere that the
// text so far may be in the grammar. States are interned, so that a step that was
// taken once is a look-up from then on.
//
// A place is an instruction together with a node, which stands for all that may
// follow where the rule around the instruction returns: a set of edges, each an
// instruction to go on at and the node of the rule around that. Nodes are
// immutable and interned bottom-up, so equal continuations are one node, however
// the text came there. A state has at most one place for an instruction (two
// places are one with the edges of both), so that ambiguity cannot multiply them.
//
// Everything is an index into a slice without pointers: growing costs no
// allocation per state, and nothing is there for the garbage collector to follow.
type automaton struct {
	prog *program

	states []state
	places []place
	// steps has, for each state and class of bytes, the state behind: unknown,
	// or the negative of a heavy one.
	steps []int32
	nodes []span
	edges []edge

	stateIndex, nodeIndex index

	// limit is the size at which it is begun anew.
	limit int
	masks masks
	alike representatives
	work  scratch
}

// States that every automaton has.
const (
	// stateUnknown marks a step that was not taken yet.
	stateUnknown int32 = iota
	// stateDead is behind what the grammar refuses, stateLost behind what could
	// not be followed. They have no places.
	stateDead
	stateLost
	stateStart
)

// nodeBottom is the node of the root rule, the first one. It is its own parent.
const nodeBottom int32 = 0

type span struct{ lo, hi int32 }

type state struct {
	span
	// complete: the text may end here.
	complete bool
	// weight is how many edges its places return by.
	weight int32
}

type place struct{ pc, node int32 }

// edge is one way to go on behind a rule or a round of a loop. During a step, a
// negative parent is a node that is still being built: ^entry.
type edge struct {
	// pc is where to go on in parent; negative is a loop: ^index.
	pc int32
	// count is how many rounds of the loop were begun before this one.
	count  int32
	parent int32
}

const (
	// maxWork bounds a single step, in edges followed: a step of the grammars of
	// real life follows a few.
	maxWork = 1 << 17
	// heavyWeight is above what states of such grammars weigh; see Mask.
	heavyWeight = 64
	// renewBytes is how much an automaton may take before it is begun anew from
	// the states in use; more if those alone take much of it.
	renewBytes = 8 << 20
)

func newAutomaton(prog *program, limit int) *automaton {
	a := &automaton{prog: prog, limit: limit}
	a.work.pending = make([]pending, len(prog.entries))
	a.internNode([]edge{{pc: pcAccept, parent: nodeBottom}})
	for range stateStart {
		a.states = append(a.states, state{})
		a.steps = append(a.steps, make([]int32, len(prog.sample))...)
	}
	a.begin()
	a.enter(prog.root, edge{pc: pcReturn, parent: nodeBottom})
	if prog.nullable[prog.root] {
		a.push(pcAccept, nodeBottom)
	}
	a.close()
	return a
}

// size is how many bytes the automaton's contents take.
func (a *automaton) size() int {
	return 20*len(a.states) + 8*len(a.places) + 4*len(a.steps) + 12*len(a.nodes) + 16*len(a.edges)
}

func (a *automaton) full() bool { return a.size() > a.limit }

// step is the state behind one more byte; at least stateStart if there is one.
func (a *automaton) step(from int32, b byte) int32 {
	class := int32(a.prog.classOf[b])
	at := int(from)*len(a.prog.sample) + int(class)
	to := a.steps[at]
	if to == stateUnknown {
		to = a.take(from, a.prog.sample[class])
		a.steps[at] = to
	}
	if to < 0 {
		return -to
	}
	return to
}

// take computes a step.
func (a *automaton) take(from int32, b byte) int32 {
	a.begin()
	s := a.states[from]
	for _, p := range a.places[s.lo:s.hi] {
		i := &a.prog.instructions[p.pc]
		for _, arrow := range a.prog.arrows[i.lo:i.hi] {
			if b <= arrow.hi {
				if b >= arrow.lo {
					a.push(arrow.next, p.node)
				}
				break
			}
		}
	}
	if len(a.work.todo) == 0 {
		return stateDead
	}
	return a.close()
}

// bytes is the set of bytes that a state allows.
func (a *automaton) bytes(of int32) (set [4]uint64) {
	s := a.states[of]
	for _, p := range a.places[s.lo:s.hi] {
		i := &a.prog.instructions[p.pc]
		for _, arrow := range a.prog.arrows[i.lo:i.hi] {
			for b := int(arrow.lo); b <= int(arrow.hi); b++ {
				set[b>>6] |= 1 << (b & 63)
			}
		}
	}
	return set
}

// internState is the state with these places and no others.
func (a *automaton) internState(places []place, complete bool) int32 {
	h := hashSeed
	if complete {
		h++
	}
	for _, p := range places {
		h = mix(mix(h, p.pc), p.node)
	}
	id := a.stateIndex.find(h, func(id int32) bool {
		s := a.states[id]
		return s.complete == complete && slices.Equal(a.places[s.lo:s.hi], places)
	})
	if id >= 0 {
		return id
	}
	id = int32(len(a.states))
	s := state{span: span{int32(len(a.places)), int32(len(a.places) + len(places))}, complete: complete}
	for _, p := range places {
		s.weight += a.nodes[p.node].hi - a.nodes[p.node].lo
	}
	a.places = append(a.places, places...)
	a.states = append(a.states, s)
	a.steps = appendZeros(a.steps, len(a.prog.sample))
	a.stateIndex.add(h, id)
	return id
}

// internNode is the node with these edges and no others. It sorts them, and drops
// those that allow nothing that another one does not allow.
func (a *automaton) internNode(edges []edge) int32 {
	edges = a.reduce(edges)
	h := hashSeed
	for _, e := range edges {
		h = mix(mix(mix(h, e.pc), e.count), e.parent)
	}
	id := a.nodeIndex.find(h, func(id int32) bool {
		n := a.nodes[id]
		return slices.Equal(a.edges[n.lo:n.hi], edges)
	})
	if id >= 0 {
		return id
	}
	id = int32(len(a.nodes))
	a.nodes = append(a.nodes, span{int32(len(a.edges)), int32(len(a.edges) + len(edges))})
	a.edges = append(a.edges, edges...)
	a.nodeIndex.add(h, id)
	return id
}

func compareEdges(x, y edge) int {
	return cmp.Or(cmp.Compare(x.pc, y.pc), cmp.Compare(x.parent, y.parent), cmp.Compare(x.count, y.count))
}

func (a *automaton) reduce(edges []edge) []edge {
	if len(edges) < 2 {
		return edges
	}
	slices.SortFunc(edges, compareEdges)
	kept := edges[:1]
	for _, e := range edges[1:] {
		last := kept[len(kept)-1]
		if e == last {
			continue
		}
		// Of the rounds of a loop that may be the last one, the earliest allows
		// all that the others do.
		if e.pc < 0 && e.pc == last.pc && e.parent == last.parent && last.count+1 >= a.prog.loops[^e.pc].min {
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// adopt is the state of this automaton that is the same as that of another one of
// the same program.
func (a *automaton) adopt(from *automaton, id int32) int32 {
	s := from.states[id]
	here := map[int32]int32{nodeBottom: nodeBottom}
	var edges []edge
	for _, n := range from.reachable(from.places[s.lo:s.hi]) {
		edges = edges[:0]
		for _, e := range from.edges[from.nodes[n].lo:from.nodes[n].hi] {
			e.parent = here[e.parent]
			edges = append(edges, e)
		}
		here[n] = a.internNode(edges)
	}
	places := slices.Clone(from.places[s.lo:s.hi])
	for i := range places {
		places[i].node = here[places[i].node]
	}
	id = a.internState(places, s.complete)
	a.limit = max(a.limit, 2*a.size())
	return id
}

// reachable is the nodes that places may return to, without the bottom; each
// comes behind its parents, because nodes are numbered that way.
func (a *automaton) reachable(places []place) []int32 {
	seen := map[int32]bool{nodeBottom: true}
	var found []int32
	visit := func(n int32) {
		if !seen[n] {
			seen[n] = true
			found = append(found, n)
		}
	}
	for _, p := range places {
		visit(p.node)
	}
	for done := 0; done < len(found); {
		n := a.nodes[found[done]]
		done++
		for _, e := range a.edges[n.lo:n.hi] {
			visit(e.parent)
		}
	}
	slices.Sort(found)
	return found
}
