package engine

import (
	"errors"

	"github.com/semantic-worker/semantic/engine/grammar"
)

// ErrDeadEnd is a grammar that wants a text which no token of the vocabulary
// continues.
var ErrDeadEnd = errors.New("engine: the grammar allows no token of the vocabulary")

// constraint keeps a sequence's text to a grammar. A nil constraint allows
// everything. Where it stands is a function of the tokens so far.
type constraint struct {
	vocabulary Vocabulary
	special    bool
	matcher    *grammar.Matcher
	trie       *grammar.Trie
	// triggers, until one was seen (active), leave everything free; at is the
	// place in them.
	triggers *stopSet
	at       int32
	active   bool
	piece    []byte
}

func newConstraint(v Vocabulary, r *Request, trie func(special bool) *grammar.Trie) *constraint {
	if r.Grammar == nil {
		return nil
	}
	return &constraint{
		vocabulary: v, special: r.Special, matcher: r.Grammar.Matcher(), trie: trie(r.Special),
		triggers: newStopSet(r.GrammarAfter), active: len(r.GrammarAfter) == 0,
	}
}

// newTrie arranges a vocabulary for grammars. Ends of generation have no text.
func newTrie(v Vocabulary, special bool) *grammar.Trie {
	return grammar.NewTrie(v.Size(), func(dst []byte, token int32) []byte {
		if v.EndOfGeneration(token) {
			return dst
		}
		return v.AppendPiece(dst, token, special)
	})
}

// allows reports whether a token may come next.
func (c *constraint) allows(token Token) bool {
	if c == nil {
		return true
	}
	c.piece = c.vocabulary.AppendPiece(c.piece[:0], token, c.special)
	if c.active {
		return len(c.piece) > 0 && c.matcher.Allows(c.piece)
	}
	rest, _, seen := c.behind(c.piece)
	return !seen || c.matcher.Allows(rest)
}

// behind returns what of a piece follows a trigger that ends in it, or the place
// that the triggers are at behind it.
func (c *constraint) behind(piece []byte) (rest []byte, at int32, seen bool) {
	at = c.at
	for i, b := range piece {
		if at = c.triggers.step(at, b); c.triggers.nodes[at].match > 0 {
			return piece[i+1:], 0, true
		}
	}
	return nil, at, false
}

// accept takes a token in, which the constraint must allow: it returns false
// where it does not.
func (c *constraint) accept(token Token) bool {
	if c == nil {
		return true
	}
	c.piece = c.vocabulary.AppendPiece(c.piece[:0], token, c.special)
	if c.active {
		return c.matcher.Accept(c.piece)
	}
	var rest []byte
	rest, c.at, c.active = c.behind(c.piece)
	return c.matcher.Accept(rest)
}

// mayEnd reports whether the text may end here, finished whether it must.
func (c *constraint) mayEnd() bool   { return c == nil || !c.active || c.matcher.Complete() }
func (c *constraint) finished() bool { return c != nil && c.active && c.matcher.Finished() }
