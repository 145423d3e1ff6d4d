package chat

import (
	"slices"
	"strings"
)

// names are the variables that a template reads from outside. On the way, what
// the template library does otherwise than Jinja2 gets other names: the filters
// tojson and string, and the method items, which a dict's own member hides. What
// is printed goes through a filter, too.
type names struct {
	// first says of each name whether it is read before it is written.
	first map[string]bool
}

func newNames() *names { return &names{first: make(map[string]bool)} }

// reads reports whether the template reads the variable.
func (n *names) reads(name string) bool { return n.first[name] }

// The filters that this package brings.
const (
	tojsonFilter = "python_tojson"
	stringFilter = "python_string"
	outputFilter = "python_output"
)

// rewrite takes the inside of a tag.
func (n *names) rewrite(tag string) string {
	var out strings.Builder
	var written []string // by the end of a set: what it reads comes first
	t := tagReader{rest: tag}
	for t.rest != "" {
		token := t.next()
		if !isLetter(token[0]) {
			out.WriteString(token)
			t.see(token)
			continue
		}
		switch {
		case t.before == "|" && token == "tojson":
			token = tojsonFilter
		case t.before == "|" && token == "string":
			token = stringFilter
		case t.before == "." && token == "items":
			if after, ok := t.emptyCall(); ok {
				written := strings.TrimRight(out.String(), blanks)
				out.Reset()
				out.WriteString(strings.TrimSuffix(written, ".") + "|items")
				t.rest = after
				t.see(")")
				continue
			}
		}
		out.WriteString(token)
		if t.variable(token) {
			switch binds := t.binds(); {
			case binds && t.first == "set":
				written = append(written, token)
			default:
				n.see(token, !binds)
			}
		}
		t.see(token)
	}
	for _, name := range written {
		n.see(name, false)
	}
	return out.String()
}

func (n *names) see(name string, read bool) {
	if _, seen := n.first[name]; !seen {
		n.first[name] = read
	}
}

// tagReader reads the tokens of a tag.
type tagReader struct {
	rest string
	// before is the last token but blanks; first is the tag's first word.
	before, first string
	// in: behind the "in" of a for.
	in bool
}

// next takes a name, a string, or any other character.
func (t *tagReader) next() string {
	n := 1
	switch c := t.rest[0]; {
	case isLetter(c):
		for n < len(t.rest) && (isLetter(t.rest[n]) || t.rest[n] >= '0' && t.rest[n] <= '9') {
			n++
		}
	case c >= '0' && c <= '9':
		for n < len(t.rest) && (isLetter(t.rest[n]) || t.rest[n] >= '0' && t.rest[n] <= '9') {
			n++
		}
	case c == '\'' || c == '"':
		for n < len(t.rest) && t.rest[n] != c {
			if t.rest[n] == '\\' {
				n++
			}
			n++
		}
		n = min(n+1, len(t.rest))
	}
	token := t.rest[:n]
	t.rest = t.rest[n:]
	return token
}

func (t *tagReader) see(token string) {
	if strings.Trim(token, blanks) == "" {
		return
	}
	if t.before == "" {
		t.first = token
	}
	t.in = t.in || t.first == "for" && token == "in"
	if token == "not" && t.before == "is" {
		return // "is not" is "is" to what follows
	}
	t.before = token
}

// emptyCall returns what is behind "()".
func (t *tagReader) emptyCall() (string, bool) {
	after, ok := strings.CutPrefix(strings.TrimLeft(t.rest, blanks), "(")
	if !ok {
		return "", false
	}
	return strings.CutPrefix(strings.TrimLeft(after, blanks), ")")
}

// variable reports whether the name that was just taken stands for a variable.
func (t *tagReader) variable(name string) bool {
	switch t.before {
	case ".", "|", "is":
		return false
	case "":
		return !slices.Contains(statements(), name)
	}
	return !slices.Contains(operators(), name)
}

// binds reports whether the variable that was just taken gets its value there:
// a target of set, a loop's variable, a parameter or a keyword argument.
func (t *tagReader) binds() bool {
	ahead := strings.TrimLeft(t.rest, blanks)
	assigned := strings.HasPrefix(ahead, "=") && !strings.HasPrefix(ahead, "==")
	switch t.first {
	case "for":
		return !t.in || assigned
	case "macro":
		return true
	case "set":
		return assigned || t.before == "set" && !strings.HasPrefix(ahead, ".")
	}
	return assigned
}

func statements() []string {
	return []string{
		"if", "elif", "else", "endif", "for", "endfor", "set", "endset", "macro", "endmacro", "call", "endcall",
		"filter", "endfilter", "break", "continue", "generation", "endgeneration", "not",
		"true", "false", "none", "True", "False", "None",
	}
}

func operators() []string {
	return []string{"and", "or", "not", "in", "is", "if", "else", "recursive", "true", "false", "none", "True", "False", "None"}
}
