package chat

import (
	"fmt"
	"regexp"
	"strings"
)

// plain rewrites a template so that its whitespace needs no further control,
// after the rules of Jinja2's lexer with trim_blocks and lstrip_blocks on and
// keep_trailing_newline off, as transformers renders chat templates:
//
//   - "-" inside of a tag strips all whitespace on that side, "+" none;
//   - else a block or comment that begins a line strips the blanks before it,
//     and the newline after it;
//   - the newline that ends the template is dropped.
//
// Text comes out as string expressions and tags without signs, so that the
// template library, whose own control reaches past neighbouring tags, finds
// nothing to strip. The names in tags are those of names.
func plain(source string) (string, *names, error) {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	s := &scanner{rest: strings.TrimSuffix(source, "\n"), lineStart: true, names: newNames()}
	for s.rest != "" {
		if err := s.next(); err != nil {
			return "", nil, err
		}
	}
	return s.out.String(), s.names, nil
}

type scanner struct {
	out  strings.Builder
	rest string
	// lineStart is whether the text at rest begins a line.
	lineStart bool
	names     *names
}

const whitespace = " \t\n\v\f\r"

var (
	rawBegin = regexp.MustCompile(`^\{%[-+]?\s*raw\s*(-%\}\s*|%\})`)
	rawEnd   = regexp.MustCompile(`\{%([-+]?)\s*endraw\s*(\+%\}|-%\}\s*|%\}\n?)`)
)

// next takes the text up to the next tag, and the tag.
func (s *scanner) next() error {
	text, kind := s.rest, byte(0)
	for at := 0; ; {
		i := strings.IndexByte(s.rest[at:], '{')
		if i < 0 || at+i+1 >= len(s.rest) {
			break
		}
		at += i
		if c := s.rest[at+1]; c == '{' || c == '%' || c == '#' {
			text, kind = s.rest[:at], c
			break
		}
		at++
	}
	if kind == 0 {
		s.text(text)
		s.rest = ""
		return nil
	}
	tag := s.rest[len(text):]
	sign := byte(0)
	if len(tag) > 2 && (tag[2] == '-' || tag[2] == '+') {
		sign = tag[2]
	}
	s.text(s.strip(text, kind, sign))
	if kind == '%' {
		if m := rawBegin.FindString(tag); m != "" {
			return s.raw(tag[len(m):])
		}
	}
	body := tag[2:]
	if sign != 0 {
		body = body[1:]
	}
	switch kind {
	case '#':
		end := strings.Index(body, "#}")
		if end < 0 {
			return s.unclosed("comment", tag)
		}
		s.after(body[:end], body[end+2:], '#')
	default:
		inner, end := expression(body, kind)
		if end < 0 {
			return s.unclosed("tag", tag)
		}
		closing := body[end:]
		if closing[0] == '-' || closing[0] == '+' {
			closing = closing[1:]
		}
		inner = s.names.rewrite(strings.TrimSpace(inner))
		if kind == '%' {
			s.out.WriteString("{% " + inner + " %}")
		} else {
			s.out.WriteString("{{ (" + inner + ")|" + outputFilter + " }}")
		}
		s.after(body[:len(body)-len(closing)], closing[2:], kind)
	}
	return nil
}

// strip drops whitespace at the end of the text before a tag.
func (s *scanner) strip(text string, kind, sign byte) string {
	switch {
	case sign == '-':
		return strings.TrimRight(text, whitespace)
	case sign == '+' || kind == '{':
		return text
	}
	line := strings.LastIndexByte(text, '\n') + 1
	if (line > 0 || s.lineStart) && strings.Trim(text[line:], whitespace) == "" {
		return text[:line]
	}
	return text
}

// after drops whitespace behind a tag: inside is what the tag held, up to its
// sign, and rest is what follows it.
func (s *scanner) after(inside, rest string, kind byte) {
	trimmed := rest
	switch {
	case strings.HasSuffix(inside, "-"):
		trimmed = strings.TrimLeft(rest, whitespace)
	case kind == '{' || strings.HasSuffix(inside, "+"):
	default:
		trimmed = strings.TrimPrefix(rest, "\n")
	}
	taken := rest[:len(rest)-len(trimmed)]
	s.lineStart = strings.HasSuffix(taken, "\n")
	s.rest = trimmed
}

// raw takes the text up to endraw as it is.
func (s *scanner) raw(body string) error {
	m := rawEnd.FindStringSubmatchIndex(body)
	if m == nil {
		return s.unclosed("raw", body)
	}
	s.lineStart = false
	sign := byte(0)
	if m[2] < m[3] {
		sign = body[m[2]]
	}
	s.text(s.strip(body[:m[0]], '%', sign))
	s.lineStart = body[m[1]-1] == '\n'
	s.rest = body[m[1]:]
	return nil
}

func (s *scanner) unclosed(what, tag string) error {
	return fmt.Errorf("%s without an end, %d bytes before the template's", what, len(tag))
}

var quoted = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\t", `\t`)

func (s *scanner) text(text string) {
	if text != "" {
		s.out.WriteString("{{ '" + quoted.Replace(text) + "' }}")
	}
}

// expression finds the end of a tag's inside: the position of "%}" or "}}", or
// of a sign before it, that is neither in a string nor within brackets. It
// returns the inside with "} }" for a "}}" within brackets, which the template
// library would take for the end.
func expression(body string, kind byte) (inner string, end int) {
	closing := "%}"
	if kind == '{' {
		closing = "}}"
	}
	var out strings.Builder
	depth := 0
	for i := 0; i < len(body); i++ {
		c := body[i]
		if depth == 0 {
			if strings.HasPrefix(body[i:], closing) {
				return out.String(), i
			}
			if (c == '-' || c == '+' && kind == '%') && strings.HasPrefix(body[i+1:], closing) {
				return out.String(), i
			}
		}
		switch c {
		case '\'', '"':
			stop := i + 1
			for stop < len(body) && body[stop] != c {
				if body[stop] == '\\' {
					stop++
				}
				stop++
			}
			if stop >= len(body) {
				return "", -1
			}
			out.WriteString(body[i : stop+1])
			i = stop
			continue
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
		out.WriteByte(c)
		if c == '}' && i+1 < len(body) && body[i+1] == '}' {
			out.WriteByte(' ')
		}
	}
	return "", -1
}
