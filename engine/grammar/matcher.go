package grammar

import "sync"

// Grammar is a compiled grammar. It is safe for concurrent use, as are matchers of
// the same grammar: they share what was found out about it.
type Grammar struct {
	prog *program
	// limit is the size in bytes at which seen is begun anew.
	limit int

	// mu guards seen and everything in it.
	mu   sync.Mutex
	seen *automaton
}

// Parse compiles a grammar. The error is a *SyntaxError, a *LimitError or
// ErrAmbiguous.
func Parse(gbnf string) (*Grammar, error) {
	rules, root, err := parse(gbnf)
	if err != nil {
		return nil, err
	}
	nullable, err := checkEmptiness(gbnf, rules)
	if err != nil {
		return nil, err
	}
	if err := checkEndings(gbnf, rules); err != nil {
		return nil, err
	}
	prog, err := compile(rules, root, nullable)
	if err != nil {
		return nil, err
	}
	seen := newAutomaton(prog, renewBytes)
	if len(seen.states) <= int(stateStart) {
		return nil, ErrAmbiguous
	}
	return &Grammar{prog: prog, limit: renewBytes, seen: seen}, nil
}

// Matcher is how far one text has come in a grammar. Its methods must not be
// called at the same time.
type Matcher struct {
	grammar *Grammar
	// in is the automaton of which state is one.
	in    *automaton
	state int32
	// complete and finished are what the methods return.
	complete, finished bool
	err                error
}

// Matcher begins an empty text.
func (g *Grammar) Matcher() *Matcher {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &Matcher{grammar: g, in: g.seen}
	m.move(stateStart)
	return m
}

// Clone is another matcher of the same text so far.
func (m *Matcher) Clone() *Matcher {
	c := *m
	return &c
}

// Accept adds to the text. If the grammar does not allow that, it returns false
// and changes nothing.
func (m *Matcher) Accept(text []byte) bool {
	m.grammar.mu.Lock()
	defer m.grammar.mu.Unlock()
	to := m.walk(text)
	if to < stateStart {
		return false
	}
	m.move(to)
	return true
}

// Allows reports whether Accept would return true.
func (m *Matcher) Allows(text []byte) bool {
	m.grammar.mu.Lock()
	defer m.grammar.mu.Unlock()
	return m.walk(text) >= stateStart
}

// Complete reports whether the text so far is a whole sentence of the grammar.
func (m *Matcher) Complete() bool { return m.complete }

// Finished reports whether the text is complete and nothing may follow.
func (m *Matcher) Finished() bool { return m.finished }

// Err is ErrAmbiguous if a text was refused only because there were too many ways
// to read it.
func (m *Matcher) Err() error { return m.err }

// AllowedBytes is the set of bytes that may come next, a bit for each: byte b is
// allowed if bit b%64 of word b/64 is set.
func (m *Matcher) AllowedBytes() [4]uint64 {
	m.grammar.mu.Lock()
	defer m.grammar.mu.Unlock()
	m.renew()
	return m.in.bytes(m.state)
}

// walk is the state behind a text, less than stateStart if there is none. The
// matcher stays where it is, but maybe in a newer automaton.
func (m *Matcher) walk(text []byte) int32 {
	m.renew()
	state := m.state
	for _, b := range text {
		if m.in.full() {
			// The matcher's own state comes along to stay valid.
			old := m.in
			m.grammar.seen = newAutomaton(m.grammar.prog, m.grammar.limit)
			m.renew()
			state = m.in.adopt(old, state)
		}
		if state = m.in.step(state, b); state < stateStart {
			m.lost(state)
			break
		}
	}
	return state
}

func (m *Matcher) lost(state int32) {
	if state == stateLost {
		m.err = ErrAmbiguous
	}
}

// renew brings the matcher into the grammar's current automaton, a new one if that
// has grown too large.
func (m *Matcher) renew() {
	if m.grammar.seen.full() {
		m.grammar.seen = newAutomaton(m.grammar.prog, m.grammar.limit)
	}
	if m.in != m.grammar.seen {
		m.state = m.grammar.seen.adopt(m.in, m.state)
		m.in = m.grammar.seen
	}
}

func (m *Matcher) move(to int32) {
	m.state = to
	s := m.in.states[to]
	m.complete = s.complete
	m.finished = s.complete && s.lo == s.hi
}
