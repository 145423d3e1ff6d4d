package sim

import (
	"strings"
	"unicode/utf8"

	"github.com/semantic-worker/semantic/engine"
)

// The first tokens: 256 bytes, then the special ones.
const (
	tokenStart engine.Token = 256 + iota
	tokenEnd
	tokenEndOfText
	firstWord
)

const (
	textStart     = "<|im_start|>"
	textEnd       = "<|im_end|>"
	textEndOfText = "<|endoftext|>"
)

// role is what a token is spoken as.
type role struct {
	// word is an index into words; -1 for tokens that are only read.
	word int
	// part is which piece of the word it is.
	part int
}

// spoken are the tokens that say a word.
type spoken struct {
	// bare begins an answer, spaced a word within it.
	bare, spaced engine.Token
	rest         []engine.Token
}

// vocabulary is immutable.
type vocabulary struct {
	pieces  [][]byte
	roles   []role
	spoken  []spoken
	reading map[string]engine.Token
	longest int
}

func newVocabulary() *vocabulary {
	v := &vocabulary{reading: map[string]engine.Token{}}
	for b := range 256 {
		v.add([]byte{byte(b)}, role{word: -1})
	}
	for range firstWord - tokenStart {
		v.add(nil, role{word: -1})
	}
	all := words()
	for _, word := range all {
		for _, form := range []string{word, " " + word} {
			v.reading[form] = v.add([]byte(form), role{word: -1})
			v.longest = max(v.longest, len(form))
		}
	}
	for i, word := range all {
		head, tail := split(word)
		s := spoken{bare: v.add([]byte(head), role{word: i}), spaced: v.add([]byte(" "+head), role{word: i})}
		if tail != "" {
			s.rest = append(s.rest, v.add([]byte(tail), role{word: i, part: 1}))
		}
		v.spoken = append(v.spoken, s)
	}
	return v
}

// split cuts a word into its pieces: within the first rune of several bytes, or
// in the middle where it is long.
func split(word string) (head, tail string) {
	for i, r := range word {
		if r >= utf8.RuneSelf {
			return word[:i+1], word[i+1:]
		}
	}
	if len(word) > 6 {
		return word[:len(word)/2], word[len(word)/2:]
	}
	return word, ""
}

func (v *vocabulary) add(piece []byte, r role) engine.Token {
	v.pieces = append(v.pieces, piece)
	v.roles = append(v.roles, r)
	return engine.Token(len(v.pieces) - 1)
}

// Size implements engine.Vocabulary.
func (v *vocabulary) Size() int { return len(v.pieces) }

// Tokenize takes the longest token that is read, at each place.
func (v *vocabulary) Tokenize(text string, special bool) ([]engine.Token, error) {
	var tokens []engine.Token
	for text != "" {
		token, n := v.longestPrefix(text, special)
		tokens = append(tokens, token)
		text = text[n:]
	}
	return tokens, nil
}

func (v *vocabulary) longestPrefix(text string, special bool) (engine.Token, int) {
	if special && text[0] == '<' {
		for i, name := range []string{textStart, textEnd, textEndOfText} {
			if strings.HasPrefix(text, name) {
				return tokenStart + engine.Token(i), len(name)
			}
		}
	}
	for n := min(v.longest, len(text)); n > 1; n-- {
		if token, ok := v.reading[text[:n]]; ok {
			return token, n
		}
	}
	return engine.Token(text[0]), 1
}

// AppendPiece implements engine.Vocabulary.
func (v *vocabulary) AppendPiece(dst []byte, token engine.Token, special bool) []byte {
	switch {
	case token < 0 || int(token) >= len(v.pieces):
		return dst
	case special && token >= tokenStart && token <= tokenEndOfText:
		return append(dst, [...]string{textStart, textEnd, textEndOfText}[token-tokenStart]...)
	}
	return append(dst, v.pieces[token]...)
}

// EndOfGeneration implements engine.Vocabulary.
func (v *vocabulary) EndOfGeneration(token engine.Token) bool {
	return token == tokenEnd || token == tokenEndOfText
}
