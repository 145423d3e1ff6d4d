package queue

import (
	"fmt"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// Slug maps any name to one token that is safe in a subject, a KV key and a
// stream's metadata: letters, digits, '_' and '-' stay, every other byte and
// '=' itself become "=XX" (upper-case hex). The empty name becomes "=".
// [Unslug] is its inverse.
func Slug(name string) string {
	if name == "" {
		return "="
	}
	plain := true
	for i := 0; i < len(name) && plain; i++ {
		plain = plainByte(name[i])
	}
	if plain {
		return name
	}
	var b strings.Builder
	b.Grow(len(name) + 8)
	for i := range len(name) {
		c := name[i]
		if plainByte(c) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('=')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// Unslug returns the name that [Slug] made slug of, or [ErrInvalid] if no name
// maps to it: there is exactly one slug per name.
func Unslug(slug string) (string, error) {
	if slug == "=" {
		return "", nil
	}
	if slug == "" {
		return "", fmt.Errorf("%w: empty slug", ErrInvalid)
	}
	var b strings.Builder
	b.Grow(len(slug))
	for i := 0; i < len(slug); i++ {
		c := slug[i]
		if plainByte(c) {
			b.WriteByte(c)
			continue
		}
		if c != '=' || i+2 >= len(slug) {
			return "", fmt.Errorf("%w: slug %q at byte %d", ErrInvalid, slug, i)
		}
		hi, lo := strings.IndexByte(upperHex, slug[i+1]), strings.IndexByte(upperHex, slug[i+2])
		if hi < 0 || lo < 0 || plainByte(byte(hi<<4|lo)) {
			return "", fmt.Errorf("%w: slug %q at byte %d", ErrInvalid, slug, i)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

func plainByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return c == '_' || c == '-'
}
