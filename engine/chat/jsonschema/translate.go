package jsonschema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// white is what \s means in ECMA 262, as members of a class of Go.
const white = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`

// translate writes a pattern of ECMA 262, which JSON Schema uses, in the
// notation of Go. What has another meaning in the two is refused, or written so
// that only what both mean is left: "." and \s differ, and validators are written
// in either.
func translate(source string) (string, error) {
	t := translator{rest: source}
	for t.rest != "" {
		if err := t.next(); err != nil {
			return "", err
		}
	}
	return t.out.String(), nil
}

type translator struct {
	rest string
	out  strings.Builder
}

// take moves n bytes of the source to the output as they are.
func (t *translator) take(n int) {
	t.out.WriteString(t.rest[:n])
	t.rest = t.rest[n:]
}

// put moves over n bytes of the source and writes others.
func (t *translator) put(n int, text string) {
	t.out.WriteString(text)
	t.rest = t.rest[n:]
}

func (t *translator) next() error {
	switch t.rest[0] {
	case '\\':
		return t.escape(`\s`, `[^`+white+`]`)
	case '(':
		return t.group()
	case '[':
		return t.class()
	case '.':
		t.put(1, `[^\n\r\x{2028}\x{2029}]`)
	default:
		_, size := utf8.DecodeRuneInString(t.rest)
		t.take(size)
	}
	return nil
}

func (t *translator) group() error {
	switch {
	case !strings.HasPrefix(t.rest, "(?"):
		t.put(1, "(?:")
	case strings.HasPrefix(t.rest, "(?:"):
		t.take(3)
	case strings.HasPrefix(t.rest, "(?="), strings.HasPrefix(t.rest, "(?!"),
		strings.HasPrefix(t.rest, "(?<="), strings.HasPrefix(t.rest, "(?<!"):
		return errors.New("looks around, which no grammar can")
	case strings.HasPrefix(t.rest, "(?<"):
		end := strings.IndexByte(t.rest, '>')
		if end < 0 {
			return errors.New("has a group name without an end")
		}
		t.put(end+1, "(?:")
	default:
		return errors.New("has a group of a kind that is not known")
	}
	return nil
}

// class translates [...]. The brackets inside of it are nothing special in ECMA.
func (t *translator) class() error {
	end := classEnd(t.rest)
	if end < 0 {
		return errors.New("has a class without an end")
	}
	body, negated := t.rest[1:end], false
	if strings.HasPrefix(body, "^") {
		body, negated = body[1:], true
	}
	if body == "" {
		if !negated {
			return errors.New("has an empty class, which nothing matches")
		}
		t.put(end+1, `[\x{0}-\x{10ffff}]`)
		return nil
	}
	space := `\s`
	if negated {
		space = white
	}
	notSpace := ""
	if negated || hasEscape(body, 's') {
		notSpace = `\S`
	}
	inner := translator{rest: body}
	for inner.rest != "" {
		if err := inner.classItem(space, notSpace); err != nil {
			return err
		}
	}
	open := "["
	if negated {
		open = "[^"
	}
	t.put(end+1, open+inner.out.String()+"]")
	return nil
}

func (t *translator) classItem(space, notSpace string) error {
	switch {
	case t.rest[0] == '[':
		t.put(1, `\[`)
	case strings.HasPrefix(t.rest, `\b`):
		t.put(2, `\x{8}`)
	case t.rest[0] == '\\':
		return t.escape(space, notSpace)
	default:
		_, size := utf8.DecodeRuneInString(t.rest)
		t.take(size)
	}
	return nil
}

// classEnd is the place of the bracket that ends a class; -1 if there is none.
func classEnd(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case ']':
			return i
		}
	}
	return -1
}

func hasEscape(text string, letter byte) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '\\' {
			if text[i+1] == letter {
				return true
			}
			i++
		}
	}
	return false
}

// escape translates what follows a backslash. \s and \S are given, because their
// meaning depends on where they stand; an empty one is refused.
func (t *translator) escape(space, notSpace string) error {
	if len(t.rest) < 2 {
		return errors.New("ends in a backslash")
	}
	c := t.rest[1]
	switch {
	case c == 's':
		t.put(2, space)
	case c == 'S' && notSpace != "":
		t.put(2, notSpace)
	case strings.IndexByte("dDwWnrtfv", c) >= 0:
		t.take(2)
	case c == 'b' || c == 'B':
		return errors.New("looks for the boundary of a word, which no grammar can")
	case c == 'u' || c == 'x' || c == 'c':
		return t.codePoint()
	case c == '0' && (len(t.rest) < 3 || t.rest[2] < '0' || t.rest[2] > '9'):
		t.put(2, `\x{0}`)
	case c >= '0' && c <= '9' || c == 'k':
		return errors.New("refers back to a group, which no grammar can")
	case c == 'p' || c == 'P':
		return t.category()
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return fmt.Errorf("has an escape that is not known here: \\%c", c)
	case c >= utf8.RuneSelf:
		t.put(1, "")
	default:
		t.take(2)
	}
	return nil
}

// codePoint translates \xHH, \uHHHH, \u{H...}, surrogate pairs and \cX.
func (t *translator) codePoint() error {
	if t.rest[1] == 'c' {
		if len(t.rest) < 3 || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(t.rest[2])) {
			return errors.New(`has \c without a letter`)
		}
		t.put(3, fmt.Sprintf(`\x{%x}`, t.rest[2]&0x1f))
		return nil
	}
	r, size, ok := hexEscape(t.rest)
	if ok && utf16.IsSurrogate(r) {
		low, more, _ := hexEscape(t.rest[size:])
		r, size = utf16.DecodeRune(r, low), size+more
		ok = r != utf8.RuneError
	}
	if !ok || r > utf8.MaxRune {
		return errors.New("has an escape that is no character")
	}
	t.put(size, fmt.Sprintf(`\x{%x}`, r))
	return nil
}

// hexEscape reads an escape with hexadecimal digits at the beginning of text.
func hexEscape(text string) (r rune, size int, ok bool) {
	var digits string
	switch {
	case strings.HasPrefix(text, `\u{`):
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return 0, 0, false
		}
		digits, size = text[3:end], end+1
	case strings.HasPrefix(text, `\u`) && len(text) >= 6:
		digits, size = text[2:6], 6
	case strings.HasPrefix(text, `\x`) && len(text) >= 4:
		digits, size = text[2:4], 4
	default:
		return 0, 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 31)
	return rune(n), size, err == nil
}

// category translates \p{L} and the like: general categories have the same
// names in both notations.
func (t *translator) category() error {
	end := strings.IndexByte(t.rest, '}')
	if !strings.HasPrefix(t.rest[2:], "{") || end < 0 || end > 5 {
		return errors.New("has a property of characters other than a general category such as \\p{L}")
	}
	t.take(end + 1)
	return nil
}
