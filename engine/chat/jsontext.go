package chat

import (
	"encoding/json"
	"strings"
)

// verdict is what can be said of text that may go on.
type verdict int

const (
	// undecided: it depends on what follows.
	undecided verdict = iota
	yes
	no
)

// cursor reads JSON at the front of a text that may go on.
type cursor struct {
	text string
	at   int
}

// char skips blanks and takes one of the characters.
func (c *cursor) char(of string) (byte, verdict) {
	c.at += len(c.text[c.at:]) - len(strings.TrimLeft(c.text[c.at:], blanks))
	if c.at == len(c.text) {
		return 0, undecided
	}
	b := c.text[c.at]
	if strings.IndexByte(of, b) < 0 {
		return 0, no
	}
	c.at++
	return b, yes
}

// value takes a whole value.
func (c *cursor) value() (string, verdict) {
	c.at += len(c.text[c.at:]) - len(strings.TrimLeft(c.text[c.at:], blanks))
	var s jsonScan
	n, done := s.feed(c.text[c.at:])
	if !done {
		return "", undecided
	}
	value := c.text[c.at : c.at+n]
	c.at += n
	if value == "" {
		return "", no
	}
	return value, yes
}

// str takes a whole string.
func (c *cursor) str() (string, verdict) {
	if _, v := c.char(`"`); v != yes {
		return "", v
	}
	c.at--
	raw, v := c.value()
	if v != yes {
		return "", v
	}
	var s string
	if json.Unmarshal([]byte(raw), &s) != nil {
		return "", no
	}
	return s, yes
}

// jsonScan finds the end of a JSON value that arrives in pieces. It does not
// judge what is within.
type jsonScan struct {
	depth   int
	str     bool
	escaped bool
	// scalar: within a number or a word, whose end is only seen behind it.
	scalar bool
}

// feed returns how much of the piece belongs to the value, and whether it ends
// there. The value begins with the first piece, without blanks.
func (s *jsonScan) feed(piece string) (n int, done bool) {
	for i := range len(piece) {
		c := piece[i]
		switch {
		case s.escaped:
			s.escaped = false
		case s.str:
			s.escaped = c == '\\'
			if s.str = c != '"'; !s.str && s.depth == 0 {
				return i + 1, true
			}
		case s.scalar && strings.IndexByte(",]}"+blanks, c) >= 0:
			return i, true
		case c == '"':
			s.str = true
		case c == '{' || c == '[':
			s.depth++
		case c == '}' || c == ']':
			if s.depth == 0 {
				return i, true
			}
			if s.depth--; s.depth == 0 {
				return i + 1, true
			}
		case s.depth == 0 && strings.IndexByte(","+blanks, c) >= 0:
			return i, true
		case s.depth == 0:
			s.scalar = true
		}
	}
	return len(piece), false
}
