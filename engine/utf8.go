package engine

import "unicode/utf8"

// splitter turns the bytes of pieces into valid UTF-8. It holds back the
// beginning of a rune until the rest comes. A byte that belongs to no rune
// becomes U+FFFD, so that the result depends on the bytes alone, not on how
// they were cut: it is what converting them to runes gives.
type splitter struct {
	tail [utf8.UTFMax - 1]byte
	held int
}

// push appends the text of b to dst.
func (s *splitter) push(dst, b []byte) []byte {
	for s.held > 0 && len(b) > 0 {
		var start [utf8.UTFMax]byte
		n := copy(start[:], s.tail[:s.held])
		n += copy(start[n:], b[:1])
		if !utf8.FullRune(start[:n]) {
			s.held = copy(s.tail[:], start[:n])
			b = b[1:]
			continue
		}
		r, size := utf8.DecodeRune(start[:n])
		dst = utf8.AppendRune(dst, r)
		if size == n {
			b = b[1:]
			s.held = 0
			break
		}
		// The held bytes begin no rune: the first of them is done, the others
		// are looked at again.
		s.held = copy(s.tail[:], s.tail[size:s.held])
	}
	for len(b) > 0 {
		if !utf8.FullRune(b) {
			s.held = copy(s.tail[:], b)
			return dst
		}
		r, size := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[size:]
	}
	return dst
}

// flush appends what is held back: a rune that will not be completed.
func (s *splitter) flush(dst []byte) []byte {
	for range s.held {
		dst = utf8.AppendRune(dst, utf8.RuneError)
	}
	s.held = 0
	return dst
}
