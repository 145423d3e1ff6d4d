package sim

import (
	"encoding/binary"
	"strings"

	"github.com/semantic-worker/semantic/engine"
)

// DefaultWords is how many words an answer has unless Options.Words or the
// prompt ("words=N" somewhere in it) say otherwise.
const DefaultWords = 64

// maxAsked bounds what a prompt may ask for.
const maxAsked = 1_000_000

// asking is how a prompt asks for a number of words.
const asking = "words="

// state is all that the model knows after a sequence's tokens.
type state struct {
	hash uint64
	// asked is the number of words the prompt asked for, 0 while it did not;
	// matched is how much of asking was just read, digits whether a number is
	// being read behind it.
	asked   int
	matched int
	digits  bool
	// said counts the words of the answer; word is the one being said, part the
	// next piece of it, 0 between words.
	said, word, part int
}

// A saved sequence is the number of its positions and as many states.
const (
	countBytes = 8
	stateBytes = 7 * 8
)

// append writes the state as stateOf reads it.
func (s state) append(dst []byte) []byte {
	digits := uint64(0)
	if s.digits {
		digits = 1
	}
	for _, n := range [...]uint64{
		s.hash, uint64(s.asked), uint64(s.matched), digits, uint64(s.said), uint64(s.word), uint64(s.part),
	} {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}

func stateOf(saved []byte) state {
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(saved[i*8:]) }
	return state{
		hash: at(0), asked: int(at(1)), matched: int(at(2)), digits: at(3) != 0,
		said: int(at(4)), word: int(at(5)), part: int(at(6)),
	}
}

// read returns the state after one more token.
func (v *vocabulary) read(s state, token engine.Token) state {
	s.hash = mix(s.hash ^ uint64(token+1))
	r := v.roles[token]
	if r.word < 0 {
		s.said, s.part = 0, 0
		for _, b := range v.pieces[token] {
			s = s.readByte(b)
		}
		return s
	}
	if r.part == 0 {
		s.said, s.word = s.said+1, r.word
	}
	s.part = r.part + 1
	if r.word != s.word || s.part > len(v.spoken[r.word].rest) {
		s.part = 0
	}
	return s
}

// readByte looks for a number of words.
func (s state) readByte(b byte) state {
	switch {
	case s.matched == len(asking) && b >= '0' && b <= '9':
		if !s.digits {
			s.asked, s.digits = 0, true
		}
		s.asked = min(s.asked*10+int(b-'0'), maxAsked)
		return s
	case s.matched < len(asking) && b == asking[s.matched]:
		s.matched++
	case b == asking[0]:
		s.matched = 1
	default:
		s.matched = 0
	}
	s.digits = false
	return s
}

// Logits of what the model wants to say, of what it would say as well (less
// and less), of what it would hardly say, and of all the rest.
const (
	logitBest   = 10
	logitOther  = 9
	otherStep   = 0.5
	others      = 7
	logitHardly = 1
	logitRest   = -10
)

// best returns what the model says next at temperature 0.
func (v *vocabulary) best(s state, words int) engine.Token {
	if s.part > 0 {
		return v.spoken[s.word].rest[s.part-1]
	}
	if s.asked > 0 {
		words = s.asked
	}
	if s.said >= words {
		return tokenEnd
	}
	return v.say(s, s.hash)
}

// say returns the token that begins a word chosen by a number.
func (v *vocabulary) say(s state, n uint64) engine.Token {
	word := v.spoken[mix(n)%uint64(len(v.spoken))]
	if s.said == 0 {
		return word.bare
	}
	return word.spaced
}

// logits writes the logits of the position after s.
func (v *vocabulary) logits(dst []float32, s state, words int) {
	for i := range dst {
		dst[i] = logitRest
	}
	best := v.best(s, words)
	switch {
	case s.part > 0:
		dst[v.say(s, s.hash)] = logitHardly
	case best != tokenEnd:
		for i := range others {
			dst[v.say(s, s.hash+uint64(i)+1)] = logitOther - otherStep*float32(i)
		}
	}
	dst[best] = logitBest
}

// Text returns the first n words that a sequence with this prompt says at
// temperature 0, if it says that many.
func Text(prompt []engine.Token, n int) string {
	v := newVocabulary()
	var s state
	for _, token := range prompt {
		s = v.read(s, token)
	}
	s.asked = 0
	var text strings.Builder
	for {
		token := v.best(s, n)
		if v.EndOfGeneration(token) {
			return text.String()
		}
		text.Write(v.pieces[token])
		s = v.read(s, token)
	}
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
