package engine

// textState turns generated tokens into text: pieces, then runes, then stop
// strings. What it releases is a pure function of the tokens.
type textState struct {
	vocabulary Vocabulary
	special    bool
	runes      splitter
	stop       stopMatcher
	piece      []byte
	text       []byte
}

func newTextState(vocabulary Vocabulary, stop []string, special bool) textState {
	return textState{vocabulary: vocabulary, special: special, stop: stopMatcher{set: newStopSet(stop)}}
}

// push appends to dst the text that the token releases, and reports whether a
// stop string ended the text.
func (t *textState) push(dst []byte, token Token) (_ []byte, stopped bool) {
	t.piece = t.vocabulary.AppendPiece(t.piece[:0], token, t.special)
	t.text = t.runes.push(t.text[:0], t.piece)
	return t.stop.push(dst, t.text)
}

// flush appends what was held back, at an end that no stop string made.
func (t *textState) flush(dst []byte) []byte {
	t.text = t.runes.flush(t.text[:0])
	dst, stopped := t.stop.push(dst, t.text)
	if stopped {
		return dst
	}
	return t.stop.flush(dst)
}

// ReplayText returns the text that a sequence has released after the given
// generated tokens, by the same code as the loop's, and whether one of the stop
// strings ended it there. Text that is still held back (the beginning of a rune
// or perhaps of a stop string) is not in it.
func ReplayText(vocabulary Vocabulary, stop []string, special bool, tokens []Token) (text string, finished bool) {
	state := newTextState(vocabulary, stop, special)
	var released []byte
	for _, token := range tokens {
		if released, finished = state.push(released, token); finished {
			break
		}
	}
	return string(released), finished
}
