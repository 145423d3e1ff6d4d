package grammar

const (
	// maskWork bounds the weight of the heavy states that one Mask may visit.
	maskWork = 1 << 21
	// keptMasks is how many masks an automaton remembers.
	keptMasks = 64
)

// masks remembers masks of states, in a ring.
type masks struct {
	index map[maskKey]int
	ring  []mask
	next  int
	// path is the states along the current path of a walk.
	path []int32
	// visited are the heavy states of the current walk.
	visited map[int32]bool
}

type maskKey struct {
	trie  *Trie
	state int32
}

type mask struct {
	key  maskKey
	bits []uint64
	// lost says that tokens are missing because of ErrAmbiguous.
	lost bool
}

// Mask sets the bits of the tokens that may come next, and clears all others:
// token t is bit t%64 of word t/64. allowed has at least [Trie.Words] words.
//
// Where a grammar is so ambiguous that this would take long, tokens that would
// be allowed may be missing, always the same; see [Matcher.Err].
func (m *Matcher) Mask(t *Trie, allowed []uint64) {
	m.grammar.mu.Lock()
	defer m.grammar.mu.Unlock()
	m.renew()
	if m.in.mask(t, m.state, allowed) {
		m.err = ErrAmbiguous
	}
}

// mask is Mask for a state; it reports whether tokens are missing.
func (a *automaton) mask(t *Trie, state int32, allowed []uint64) (lost bool) {
	allowed = allowed[:max(t.Words(), len(allowed))]
	state = a.representative(state, int32(t.depth))
	key := maskKey{t, state}
	if i, ok := a.masks.index[key]; ok {
		n := copy(allowed, a.masks.ring[i].bits)
		clear(allowed[n:])
		return a.masks.ring[i].lost
	}
	clear(allowed)
	lost = a.mark(t, state, allowed)
	a.masks.keep(key, allowed[:t.Words()], lost)
	return lost
}

// keep remembers a mask instead of the oldest one.
func (k *masks) keep(key maskKey, bits []uint64, lost bool) {
	if k.index == nil {
		k.index = map[maskKey]int{}
	}
	if len(k.ring) < keptMasks {
		k.ring = append(k.ring, mask{})
		k.next = len(k.ring) - 1
	}
	entry := &k.ring[k.next]
	delete(k.index, entry.key)
	*entry = mask{key: key, bits: append(entry.bits[:0], bits...), lost: lost}
	k.index[key] = k.next
	k.next = (k.next + 1) % keptMasks
}

// mark walks the trie, leaving out what continues a refused beginning, and not
// looking at what continues a beginning that leads back to where it began, by
// bytes that all lead back.
func (a *automaton) mark(t *Trie, from int32, allowed []uint64) (lost bool) {
	if len(a.masks.path) <= t.depth {
		a.masks.path = make([]int32, t.depth+1)
	}
	clear(a.masks.visited)
	back := a.kindsBack(from)
	path, nodes, classOf := a.masks.path, t.nodes, &a.prog.classOf
	classes, steps := int32(len(a.prog.sample)), a.steps
	path[0] = from
	left := maskWork
	for i := 0; i < len(nodes)-1; {
		n := &nodes[i]
		depth := n.depth()
		state := path[depth-1]
		to := steps[state*classes+int32(classOf[byte(n.at)])]
		if to < stateStart {
			if to == stateUnknown || to < 0 {
				to, left = a.slowStep(state, byte(n.at), left)
				steps = a.steps
			}
			if to < stateStart {
				lost = lost || to == stateLost
				i = int(n.end)
				continue
			}
		}
		if to == from && t.below[i]&^back == 0 {
			for _, token := range t.order[n.rank:nodes[n.end].rank] {
				allowed[token>>6] |= 1 << (token & 63)
			}
			i = int(n.end)
			continue
		}
		path[depth] = to
		if n.at&hasToken != 0 {
			token := t.order[n.rank]
			allowed[token>>6] |= 1 << (token & 63)
		}
		i++
	}
	return lost
}

// kindsBack is the kinds of bytes that all lead from a state back to it.
func (a *automaton) kindsBack(state int32) byteKinds {
	back := ^byteKinds(0)
	for b := range 256 {
		if kind := kindOf(byte(b)); back&kind != 0 && a.step(state, byte(b)) != state {
			back &^= kind
		}
	}
	return back
}

// slowStep is a step that is not just looked up: a new one, or one to a heavy
// state, which is lost if too many were visited.
func (a *automaton) slowStep(from int32, b byte, left int) (to int32, rest int) {
	to = a.step(from, b)
	weight := int(a.states[to].weight)
	if weight <= heavyWeight || a.masks.visited[to] {
		return to, left
	}
	if left -= weight; left < 0 {
		return stateLost, left
	}
	if a.masks.visited == nil {
		a.masks.visited = map[int32]bool{}
	}
	a.masks.visited[to] = true
	return to, left
}
