package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// blockKey names the contents of a full block: the model, all tokens before it
// and its own. A tier that keeps blocks beyond their sequences has to put the KV
// type into the root as well.
type blockKey [sha256.Size]byte

// rootKey is the parent of every first block.
func rootKey(fingerprint string) blockKey { return sha256.Sum256([]byte(fingerprint)) }

// next is the key of the block that has these tokens and follows k's.
func (k blockKey) next(tokens []Token) blockKey {
	var data [sha256.Size + 4*blockCells]byte
	b := append(data[:0], k[:]...)
	for _, token := range tokens {
		b = binary.LittleEndian.AppendUint32(b, uint32(token))
	}
	return sha256.Sum256(b)
}

// name makes the keys of the first n full blocks of a sequence's tokens.
func (s *Sequence) name(n int) {
	for i := len(s.keys); i < n; i++ {
		parent := s.engine.root
		if i > 0 {
			parent = s.keys[i-1]
		}
		s.keys = append(s.keys, parent.next(s.tokens[i*blockCells:(i+1)*blockCells]))
	}
}

// prefixIndex finds the sequences in whose cells a full block is.
type prefixIndex map[blockKey][]*Sequence

// add names the full blocks that became resident since the last call.
func (x prefixIndex) add(s *Sequence) {
	full := s.resident / blockCells
	s.name(full)
	for ; s.indexed < full; s.indexed++ {
		key := s.keys[s.indexed]
		x[key] = append(x[key], s)
	}
}

func (x prefixIndex) remove(s *Sequence) {
	for _, key := range s.keys[:s.indexed] {
		left := slices.DeleteFunc(x[key], func(o *Sequence) bool { return o == s })
		if len(left) == 0 {
			delete(x, key)
			continue
		}
		x[key] = left
	}
	s.indexed = 0
}

// find returns how many tokens of the prompt are in the longest chain of full
// blocks, and who has it; nobody where there is none.
func (x prefixIndex) find(s *Sequence) (tokens int, sequences []*Sequence) {
	for i, key := range s.keys[:len(s.request.Prompt)/blockCells] {
		found := x[key]
		if len(found) == 0 {
			break
		}
		tokens, sequences = (i+1)*blockCells, found
	}
	return tokens, sequences
}

// source returns the sequence whose resident cells have the most of what s must
// read, and how many of its positions s can share; nil, 0 if nobody has any.
func (e *Engine) source(s *Sequence) (src *Sequence, cells int) {
	from, candidates := e.loop.index.find(s)
	if from == 0 {
		candidates = e.loop.running
	}
	for _, c := range candidates {
		common := from + commonPrefix(s.request.Prompt[from:], c.tokens[from:max(c.resident, from)])
		if n := e.shareable(s, c.resident, common); n > cells {
			src, cells = c, n
		}
	}
	return src, cells
}

// leader returns a sequence that is reading its prompt and will have more to
// share than cells, and at how many resident positions it has it.
func (e *Engine) leader(s *Sequence, cells int) (leader *Sequence, at int) {
	if e.info.Memory == MemoryWhole {
		return nil, 0
	}
	at = cells
	for _, c := range e.loop.running {
		if c.resident >= len(c.request.Prompt) {
			continue
		}
		common := commonPrefix(s.request.Prompt, c.request.Prompt)
		if n := e.shareable(s, common, common); n > at {
			leader, at = c, n
		}
	}
	return leader, at
}

// shareable is how many positions s takes over from a sequence with so many
// resident ones, of which so many are equal: all but the last of its prompt,
// which must be read to know what follows, or a multiple of the quantum, so that
// its cuts stay where they are. A memory that cannot be cut is shared whole.
func (e *Engine) shareable(s *Sequence, resident, common int) int {
	most := len(s.request.Prompt) - 1
	switch {
	case e.info.Memory == MemoryWhole && (common < resident || resident > most):
		return 0
	case e.info.Memory == MemoryWhole:
		return resident
	case common >= most:
		return most
	}
	return common / quantum * quantum
}

func commonPrefix(a, b []Token) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
