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
	piece      []byte
}

func newConstraint(v Vocabulary, r *Request, trie func(special bool) *grammar.Trie) *constraint {
	if r.Grammar == nil {
		return nil
	}
	return &constraint{vocabulary: v, special: r.Special, matcher: r.Grammar.Matcher(), trie: trie(r.Special)}
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
	return len(c.piece) > 0 && c.matcher.Allows(c.piece)
}

// accept takes a token in, which the constraint must allow: it returns false
// where it does not.
func (c *constraint) accept(token Token) bool {
	if c == nil {
		return true
	}
	c.piece = c.vocabulary.AppendPiece(c.piece[:0], token, c.special)
	return c.matcher.Accept(c.piece)
}

// mayEnd reports whether the text may end here, finished whether it must.
func (c *constraint) mayEnd() bool   { return c == nil || c.matcher.Complete() }
func (c *constraint) finished() bool { return c != nil && c.matcher.Finished() }
